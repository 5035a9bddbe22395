"""`make trust`: break it on purpose, and see whether it keeps its promise.

    python -m trust                     every part but upgrade; writes build/trust.json
    python -m trust chaos fuzz          these parts
    python -m trust --seed 7            another order of things
    python -m trust --broken inbox-off  break one line of the guarantee: the auditor must see it
    python -m trust --docs              write the last table into docs/guarantees.md

Exit codes: 0 everything holds (with --broken: the auditor saw it), 1 something does not.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from functools import partial

from figures import Figures, Row
from trust import (
    audit,
    broken,
    chaos,
    cluster,
    compatibility,
    controls,
    docs,
    doors,
    erasure,
    fuzz,
    powercut,
    upgrade,
)
from trust.part import Part

from klankbord_runtime import noise

SEED = 20261122

PARTS = (
    Part("controls", "the auditor sees handlers that are wrong", controls.OWES, controls.run),
    Part("powercut", "what was acknowledged survives a power cut", powercut.OWES, powercut.run),
    Part("chaos", "the pipeline under every fault", chaos.OWES, chaos.run),
    Part(
        "cluster", "the same on a cluster of three nodes that are killed", cluster.OWES, cluster.run
    ),
    Part("fuzz", "whatever comes in is read or refused", fuzz.OWES, fuzz.run),
    Part("doors", "who gets in, and what gets out", doors.OWES, doors.run),
    Part(
        "compatibility",
        "yesterday's events and today's readers, and the other way round",
        compatibility.OWES,
        compatibility.run,
    ),
    Part("erasure", "of an erased member no byte is left", erasure.OWES, erasure.run),
    Part("audit", "a byte changed in the audit log is found", audit.OWES, audit.run),
    Part(
        "upgrade",
        "yesterday's build becomes today's under load",
        upgrade.OWES,
        upgrade.run,
        by_name=True,
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="trust", description="Break it on purpose.")
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(p.name for p in PARTS))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--broken", choices=broken.KINDS, help="break this: the auditor must see it"
    )
    parser.add_argument("--docs", action="store_true", help="write the last table into the docs")
    given = parser.parse_args()
    unknown = set(given.parts) - {part.name for part in PARTS}
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if given.docs:
        docs.write()
        return 0
    # a supervisor says of each process that it starts it again: here that is the plan
    logging.getLogger("klankbord_standalone").setLevel(logging.ERROR)
    noise.leave_out()
    if given.broken:
        return asyncio.run(_broken(given.broken, given.seed))
    return asyncio.run(_run(chosen(given.parts), given.seed))


def chosen(names: Sequence[str]) -> list[Part]:
    """The parts of these names; without names all but those that run only by name."""
    named = [part for part in PARTS if part.name in names]
    return named or [part for part in PARTS if not part.by_name]


async def _run(parts: Sequence[Part], seed: int) -> int:
    begun = time.monotonic()
    figures = Figures(seed)
    for number, part in enumerate(parts, start=1):
        _say(begun, "", f"{number}/{len(parts)} {part.name}: {part.does}")
        figures.rows += await part.rows(seed, partial(_say, begun, f"{part.name}: "))
    figures.took_s = time.monotonic() - begun
    path = figures.write("trust")
    print(f"\n{figures.table()}\n\nseed {seed}, {figures.took_s:.0f} s, {path}")
    return verdict(figures.rows)


def verdict(rows: Sequence[Row]) -> int:
    for row in rows:
        if row.skipped:
            print(f"NOT RUN HERE: {row.name}: {row.skipped}")
    breaches = [row for row in rows if row.holds is False]
    for row in breaches:
        print(f"BREACH: {row.name} is {row.failed or row.value}, and must be {row.goal or 'there'}")
    if not breaches:
        print("everything holds")
    return 1 if breaches else 0


async def _broken(kind: str, seed: int) -> int:
    begun = time.monotonic()
    _say(begun, "", f"breaking {kind}: {broken.KINDS[kind]}")
    figures = Figures(seed, await broken.run(kind, seed, partial(_say, begun, "")))
    print(f"\n{figures.table()}\n")
    if not figures.breaches:
        print(f"NOT SEEN: {kind} is broken, and every row holds")
        return 1
    print(f"seen: {kind} breaks {', '.join(row.name for row in figures.breaches)}")
    return 0


def _say(begun: float, who: str, text: str) -> None:
    print(f"{time.monotonic() - begun:6.1f} s  {who}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
