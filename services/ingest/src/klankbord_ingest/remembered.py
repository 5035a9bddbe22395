"""What a platform calls a post only in passing: kept in a cursor, the newest of it.

Some platforms say of a deleted post only a number of their own, or nothing by which it could be
known that anyone here ever heard it. What is kept here of each post that was heard tells.
"""

from collections.abc import Iterable

from pydantic import JsonValue

MAX_BYTES = 40_000
"""What is kept takes no more as JSON, of the 64 kB that a cursor may have."""
OVERHEAD = 6
"""Bytes that a pair takes in JSON beside its words: brackets, quotation marks, commas."""


class Remembered:
    """Pairs of words, the oldest forgotten where there is no room."""

    def __init__(self, cursor: JsonValue, max_bytes: int = MAX_BYTES) -> None:
        """Begin with what a cursor holds; anything that is no list of pairs is nothing."""
        self._max_bytes = max_bytes
        self._known: dict[str, str] = {}
        self._size = 0
        for pair in cursor if isinstance(cursor, list) else []:
            match pair:
                case [str(key), str(value)]:
                    self.keep([(key, value)])

    def keep(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Remember these, as the newest."""
        for key, value in pairs:
            self.forget(key)
            self._known[key] = value
            self._size += _size(key, value)
        while self._size > self._max_bytes and self._known:
            self.forget(next(iter(self._known)))

    def forget(self, key: str) -> None:
        """Remember it no more."""
        value = self._known.pop(key, None)
        if value is not None:
            self._size -= _size(key, value)

    def get(self, key: str) -> str | None:
        """What was kept under it."""
        return self._known.get(key)

    @property
    def cursor(self) -> list[JsonValue]:
        """All of it, the oldest first, for a cursor."""
        return [[key, value] for key, value in self._known.items()]


def _size(key: str, value: str) -> int:
    return len(key.encode()) + len(value.encode()) + OVERHEAD
