"""Rounds: everything that is compared is measured in the same round; a row's value is the median.

A round in which the machine was not ours (see `machine`) is done again, at most twice. If it still
was not, it is noisy: it counts only where no round was quiet, and its row says so.
"""

import statistics
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bench import machine
from bench.goals import GOALS
from figures import Row

AGAIN = 2
"""How often a disturbed round is done again."""


@dataclass
class Round:
    """What one round found, by row, and what a reader of a row should know of it."""

    values: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    disturbance: str = ""
    """Why it says little; empty for a quiet one."""
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    """What a row was taken from, where that is told as well."""

    def compare(self, name: str, own: float, other: float, unit: str = "/s") -> None:
        """Note how many times the yardstick something does."""
        self.values[name] = own / other
        self.notes[name] = f"{own:,.0f}{unit} ÷ {other:,.0f}{unit}"


Say = Callable[[str], None]
Measure = Callable[[], Awaitable[Round]]


@dataclass
class Spare:
    """Seconds that may go into playing disturbed rounds again."""

    left: float

    def allows(self, seconds: float) -> bool:
        """Whether there is time for a round that takes so long; takes it."""
        if self.left < seconds:
            return False
        self.left -= seconds
        return True


async def play(measure: Measure, rounds: int, say: Say, spare: Spare) -> list[Round]:
    """Play that many rounds.

    Args:
        measure: plays one.
        rounds: how many.
        say: where progress is told.
        spare: the time there is for disturbed ones.
    """
    found: list[Round] = []
    for number in range(1, rounds + 1):
        for again in range(1 + AGAIN):
            before = machine.read()
            played = await measure()
            spent = machine.between(before, machine.read())
            played.disturbance = spent.disturbance
            told = ", ".join(f"{name} {value:,.4g}" for name, value in played.values.items())
            say(f"  round {number}: {told}  ({spent.seconds:.0f} s)")
            if not played.disturbance:
                break
            say(f"  noisy: {played.disturbance}")
            if again == AGAIN or not spare.allows(spent.seconds):
                break
        found.append(played)
    return found


def rows(played: Sequence[Round], wanted: Iterable[str]) -> list[Row]:
    """The rows that these rounds give."""
    return [_row(name, played) for name in wanted if any(name in one.values for one in played)]


def _row(name: str, played: Sequence[Round]) -> Row:
    has_it = [one for one in played if name in one.values]
    quiet = [one for one in has_it if not one.disturbance]
    counted = quiet or has_it
    values = [one.values[name] for one in counted]
    value = statistics.median(values)
    middle = min(counted, key=lambda one: abs(one.values[name] - value))
    notes = [middle.notes[name]] if name in middle.notes else []
    if len(values) > 1:
        notes.append("rounds " + " ".join(f"{one:,.3g}" for one in values))
    if noisy := [one for one in has_it if one.disturbance]:
        what = "noisy" if not quiet else f"{len(noisy)} noisy left out"
        notes.append(f"{what}: {noisy[-1].disturbance}")
    unit, goal = GOALS[name]
    return Row(name, value, unit, goal, note="; ".join(notes), parts=_parts(name, counted))


def _parts(name: str, counted: Sequence[Round]) -> dict[str, float]:
    """The median of each part by itself."""
    told = [one.parts.get(name, {}) for one in counted]
    return {part: statistics.median(one[part] for one in told) for part in told[0]}
