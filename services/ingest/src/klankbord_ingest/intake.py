"""How much the doors hold at once: bodies that are being read, or that wait for the database.

A slow database must slow down whoever sends, and not fill the memory: beyond a limit senders are
told to come back.
"""

from collections.abc import Iterator
from contextlib import contextmanager

REQUEST_BYTES = 16 * 1024
"""What a request takes besides its body."""


class FullError(Exception):
    """The doors hold as much as they may."""


class Intake:
    """Counts what is held, over all doors of this process."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.held = 0
        """Bytes held now."""

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """A request's place, from before its body is read until it is answered.

        Raises:
            FullError: there is none.
        """
        place = Place(self)
        try:
            place.take(REQUEST_BYTES)
            yield place
        finally:
            self.held -= place.taken

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more can be held."""
        return self.held + size <= self._max_bytes


class Place:
    """What one request holds."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.taken = 0

    def expect(self, size: int) -> None:
        """See that there is room for a body of that size. What does not come takes none.

        Raises:
            FullError: there is none.
        """
        if not self._intake.has_room(size):
            raise FullError

    def take(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            FullError: there is no room for them.
        """
        self.expect(size)
        self._intake.held += size
        self.taken += size
