"""Server-sent events, read as they come.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from collections.abc import Iterator
from typing import NamedTuple

MAX_EVENT_BYTES = 1024 * 1024
"""The largest event."""


class TooLargeError(ValueError):
    """An event is larger than is read."""


class ServerSent(NamedTuple):
    """One event."""

    event: str
    """Its name; `message` where it has none."""
    data: str
    id: str
    """The last id that was said."""


class ServerSentReader:
    """Makes events of the bytes of one stream."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._name = ""
        self._data: list[str] = []
        self._id = ""
        self._size = 0

    def read(self, chunk: bytes) -> Iterator[ServerSent | None]:
        """The events that end in this chunk; None for a comment, which is a sign of life.

        Raises:
            TooLargeError: an event is larger than 1 MiB.
        """
        # What is there of a line is not copied again with each byte that a server sends by itself.
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            line = bytes(self._rest + piece)
            self._rest.clear()
            self._size += len(line)
            self._check()
            yield from self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))
        self._rest += rest
        self._check()

    def _check(self) -> None:
        if self._size + len(self._rest) > MAX_EVENT_BYTES:
            raise TooLargeError(f"an event is larger than {MAX_EVENT_BYTES:,} bytes")

    def _line(self, line: str) -> Iterator[ServerSent | None]:
        if not line:
            if self._data:
                yield ServerSent(self._name or "message", "\n".join(self._data), self._id)
            self._name, self._data, self._size = "", [], 0
            return
        label, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match label:
            case "":
                yield None
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id":
                self._id = value
