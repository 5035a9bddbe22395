"""Break one line of the guarantee on purpose: the auditor must see it, else it proves nothing.

The code is the product's, with one thing changed in the process that runs it (`understudy.py`), or
in the configuration of NATS. What is broken is held open for a moment, so that a fault of the run
comes just then; nothing else differs from a run of `chaos` or `powercut`.
"""

from figures import Row
from trust import powercut
from trust.chaos import Plan, play, rows
from trust.crowd import Size
from trust.part import Say

SYNC = "sync-interval-default"
KINDS = {
    "publish-before-commit": "events are on the bus before their transaction has committed",
    "ack-before-commit": "events are acknowledged before their effect has committed",
    "inbox-off": "every delivery of an event is taken for its first",
    SYNC: "nats-server confirms what is only in memory",
}
JUDGED = (
    "lost",
    "doubled",
    "out_of_nowhere",
    "dead_letters_unexplained",
    "terminated_silently",
    "powercut_lost",
)
"""A small run has too few posts and faults for the other goals, and they are not what is asked."""


def plan(kind: str) -> Plan:
    """A run that is small, and hard on what is broken."""
    return Plan(
        Size(posts=2_000, hasty=50 if kind == "publish-before-commit" else 1, per_delivery=20),
        {"worker_kills": 12, "nats_kills": 2, "postgres_kills": 8, "consumer_deleted": 1},
        replicas=2,
        lasts=40,
        broken=kind,
    )


async def run(kind: str, seed: int, say: Say) -> list[Row]:
    """Run what must see it; gives the rows that judge it."""
    if kind != SYNC:
        found = rows([await play(plan(kind), seed, say)])
    elif problem := powercut.why_not():
        raise SystemExit(f"{kind}: {problem}")
    else:
        with powercut.default_sync():
            found = powercut.rows(await powercut.cut(say))
    return [row for row in found if row.name in JUDGED]
