"""Floods: the same text or link again and again, by one author or by many.

What was said is compared by key: 64 bits of a hash, so that no text needs to be kept. The counts
look both ways in time, because posts are not heard in the order in which they were written: of
n posts that say the same within a window, n - count + 1 are noticed in whatever order they come.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from klankbord_schemas.identity import fingerprint


def key(*parts: str) -> int:
    """What these parts are compared by: a signed 64-bit number.

    Among a million texts two different ones share a key with a chance of 1 in 37 million.
    """
    return int.from_bytes(fingerprint(*parts, size=8), signed=True)


class Sighting(NamedTuple):
    """A post in which something that has a key was seen."""

    key: int
    author: str | None
    counted_at: datetime


class Sightings:
    """Who was seen with what, and when."""

    def __init__(self, sightings: Iterable[Sighting] = ()) -> None:
        self._seen: dict[int, dict[str | None, list[datetime]]] = {}
        for sighting in sightings:
            self.add(sighting)

    def add(self, sighting: Sighting) -> None:
        """Count one more post."""
        authors = self._seen.setdefault(sighting.key, {})
        insort(authors.setdefault(sighting.author, []), sighting.counted_at)

    def times(self, key: int) -> int:
        """How many posts were seen with the same, whenever that was."""
        return sum(map(len, self._seen.get(key, {}).values()))

    def posts(self, sighting: Sighting, window: timedelta) -> int:
        """How many posts of its author were seen with the same, no further apart than `window`."""
        moments = self._seen.get(sighting.key, {}).get(sighting.author, [])
        return _within(moments, sighting.counted_at, window)

    def authors(self, sighting: Sighting, window: timedelta) -> int:
        """How many known authors were seen with the same, no further apart than `window`."""
        return sum(
            author is not None and _within(moments, sighting.counted_at, window) > 0
            for author, moments in self._seen.get(sighting.key, {}).items()
        )


def _within(moments: list[datetime], moment: datetime, window: timedelta) -> int:
    return bisect_right(moments, moment + window) - bisect_left(moments, moment - window)
