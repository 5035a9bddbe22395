"""How much of a file was read, for whoever waits for the rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class Meter:
    """How many bytes there are and how many were read; one for each reading."""

    def __init__(self) -> None:
        self.total: int | None = None
        """How many there are, as far as is known."""
        self._before = 0
        self._stream: BinaryIO | None = None

    @property
    def read(self) -> int:
        """How many were read."""
        stream = self._stream
        try:
            return self._before + (stream.tell() if stream else 0)
        except ValueError:  # just closed, by the thread that reads
            return self._before

    @contextmanager
    def open(self, path: Path) -> Iterator[BinaryIO]:
        """Open a file, to be counted."""
        with path.open("rb") as stream, self.reading(stream):
            if self.total is None:
                self.total = path.stat().st_size
            yield stream

    @contextmanager
    def reading(self, stream: BinaryIO) -> Iterator[None]:
        """Count what is read of a stream."""
        self._stream = stream
        try:
            yield
        finally:
            self._before, self._stream = self.read, None
