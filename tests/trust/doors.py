"""Who gets in and what gets out: signatures, outgoing requests, and permissions on the bus.

The tables (signatures.py, outgoing.py, bus.py) are written by hand, from what was promised, and not
derived from the code.
"""

from figures import Row
from trust.bus import bus
from trust.outgoing import outgoing
from trust.part import Say
from trust.signatures import signatures
from trust.tried import Tried

OWES = ("doors_cases", "doors_failures")


async def run(seed: int, say: Say) -> list[Row]:
    """All three, in some 15 s."""
    tried = Tried()
    signatures(tried)
    say(f"{tried.cases} signatures; outgoing requests")
    await outgoing(tried)
    say(f"{tried.cases} cases; permissions on the bus")
    await bus(tried)
    found = "; ".join(tried.failures)[:500]
    return [
        Row("doors_cases", tried.cases, "cases", ">= 1000"),
        Row("doors_failures", len(tried.failures), "cases", "== 0", note=found),
    ]
