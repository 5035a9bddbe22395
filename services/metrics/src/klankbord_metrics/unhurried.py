"""Something that may take long is done only so often that other work gets its turn."""

from collections.abc import Callable
from time import monotonic


class Unhurried:
    """Times what is done `with` it; it has rested after so many times as long."""

    def __init__(self, rest: float, clock: Callable[[], float] = monotonic) -> None:
        """Nothing was done yet, so there is nothing to rest from.

        Args:
            rest: how many times as long it rests as it took.
            clock: seconds that only go forward.
        """
        self._rest = rest
        self._clock = clock
        self._begun = 0.0
        self._rested = clock()

    @property
    def has_rested(self) -> bool:
        """Whether it may be done again."""
        return self._clock() >= self._rested

    def __enter__(self) -> None:
        self._begun = self._clock()

    def __exit__(self, *_: object) -> None:
        took = self._clock() - self._begun
        self._rested = self._begun + took * (1 + self._rest)
