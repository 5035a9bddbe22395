"""`python -m bench`: measure, print the table, write build/bench.json; 1 where a row fails."""

import argparse
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import uvloop
from bench import capacity, consumer, growth, pipeline, replicas, rules, webhook
from bench.goals import GOALS
from bench.rounds import Round, play, rows, skipped
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
    Scene(webhook.NAMES, webhook.webhook),
    Scene(growth.NAMES, growth.growth),
    Scene(replicas.NAMES, replicas.replicas),
)


def say(text: str) -> None:
    """Tell of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


async def measure(size: Size, wanted: Collection[str]) -> Figures:
    """Measure the wanted rows."""
    begun, figures = time.monotonic(), Figures(SEED)
    missing = consumer.missing()
    for scene in SCENES:
        names = [name for name in scene.names if name in wanted and name not in missing]
        if not names:
            continue
        say(f"{', '.join(names)}")
        async with scene.open(size, SEED) as part:
            played = await play(
                lambda part=part, names=names: part.round(names),  # type: ignore[misc]
                size.rounds,
                say,
                lambda: time.monotonic() - begun < size.seconds,
            )
        figures.rows += rows(played, names)
    figures.rows += skipped({name: why for name, why in missing.items() if name in wanted})
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
    figures = uvloop.run(measure(size, given.only or list(GOALS)))
    print(figures.table())
    print(f"\nwritten to {figures.write('bench')}; took {figures.took_s:.0f} s")
    return _verdict(figures.breaches)


def _verdict(breaches: Sequence[Row]) -> int:
    for row in breaches:
        say(f"{row.name} is {row.value:,.4g}, not {row.goal}")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
