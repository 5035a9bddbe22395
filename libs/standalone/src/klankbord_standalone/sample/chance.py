"""Chance: what a seed decides, the same on every machine and in every version of Python."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Draws from a seed.

    Only `Random.random` is drawn from: of it alone Python promises that a seed always gives the
    same numbers (https://docs.python.org/3/library/random.html#notes-on-reproducibility).
    """

    def __init__(self, seed: int) -> None:
        self._draw = Random(seed).random  # noqa: S311 - a story, not a secret

    def happens(self, share: float) -> bool:
        """Whether something happens that happens in this share of cases, 0 to 1."""
        return self._draw() < share

    def number(self, least: int, most: int) -> int:
        """A whole number between two, both included."""
        return least + int(self._draw() * (most - least + 1))

    def pick(self, choices: Sequence[T]) -> T:
        """One of these."""
        return choices[int(self._draw() * len(choices))]

    def weighed(self, weights: Mapping[T, float]) -> T:
        """One of these, the heavier the likelier."""
        left = self._draw() * sum(weights.values())
        for choice, weight in weights.items():
            left -= weight
            if left < 0:
                return choice
        return next(reversed(list(weights)))

    def delay(self, median: timedelta) -> timedelta:
        """A waiting time between a sixth and six times the median, in whole seconds."""
        factor = 6 ** (self._draw() + self._draw() - 1)
        return timedelta(seconds=int(median.total_seconds() * factor))
