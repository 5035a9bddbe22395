"""`python -m bench`: measure, print the table, write build/bench.json; 1 where a row fails."""

import argparse
import asyncio
import sys
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from signal import SIGTERM
from typing import Protocol

import uvloop
from bench import (
    capacity,
    consumer,
    growth,
    imports,
    kinds,
    pipeline,
    queries,
    replicas,
    rules,
    webhook,
)
from bench.goals import GOALS
from bench.rounds import Round, Spare, play, rows
from bench.sizes import FULL, SHORT, TINY, Size
from figures import Figures, Row

SEED = 20261122


class Part(Protocol):
    """Something on a ground of its own that can be measured round by round."""

    async def round(self, wanted: Collection[str]) -> Round:
        """Measure these rows, and what they rest on, once."""


@dataclass(frozen=True)
class Scene:
    """Rows that are measured together."""

    names: Sequence[str]
    open: Callable[[Size, int], AbstractAsyncContextManager[Part]]


SCENES = (
    Scene(consumer.NAMES, consumer.consumers),
    Scene(pipeline.NAMES, pipeline.pipeline),
    Scene(rules.NAMES, rules.rules),
    Scene(queries.NAMES, queries.queries),
    Scene(webhook.NAMES, webhook.webhook),
    Scene(kinds.NAMES, kinds.kinds),
    Scene(imports.NAMES, imports.imports),
    Scene(growth.NAMES, growth.growth),
    Scene(replicas.NAMES, replicas.replicas),
)


def say(text: str) -> None:
    """Tell of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


async def measure(size: Size, wanted: Collection[str]) -> Figures:
    """Measure the wanted rows. SIGTERM ends it as Ctrl-C does: nothing is left running."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(SIGTERM, task.cancel)
    begun, figures, spare = time.monotonic(), Figures(SEED), Spare(size.spare)
    without = {name: why for name, why in consumer.missing().items() if name in wanted}
    for scene in SCENES:
        names = [name for name in scene.names if name in wanted and name not in without]
        if not names:
            continue
        say(", ".join(names))
        try:
            async with scene.open(size, SEED) as part:
                played = await play(partial(part.round, names), size.rounds, say, spare)
            figures.rows += rows(played, names)
        except Exception as error:  # noqa: BLE001 - its rows say why; the others are measured
            traceback.print_exc()
            why = f"{type(error).__name__}: {error}"
            figures.rows += [Row(name, None, *GOALS[name], failed=why) for name in names]
    figures.rows += [Row(name, None, *GOALS[name], skipped=why) for name, why in without.items()]
    order = list(GOALS)
    figures.rows.sort(key=lambda row: order.index(row.name))
    figures.took_s = time.monotonic() - begun
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--full", action="store_true", help="the full sizes (≤ 45 min)")
    sizes.add_argument("--quick", action="store_true", help="whether it runs at all; no figures")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=list(GOALS), help="only these rows"
    )
    parser.add_argument(
        "--docs", action="store_true", help="measure nothing: write the last run into the page"
    )
    given = parser.parse_args(arguments)
    if given.docs:
        capacity.write_page()
        return 0
    size = FULL if given.full else TINY if given.quick else SHORT
    try:
        figures = uvloop.run(measure(size, given.only or list(GOALS)))
    except asyncio.CancelledError:
        return 130
    print(figures.table())
    for row in figures.rows:
        if row.parts:
            print(f"\n{row.name}:\n\n{kinds.table(row.parts)}")
    print(f"\nwritten to {figures.write('bench')}; took {figures.took_s:.0f} s")
    for row in figures.breaches:
        why = f"failed: {row.failed}" if row.failed else f"is {row.value:,.4g}, not {row.goal}"
        say(f"{row.name} {why}")
    return 1 if figures.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
