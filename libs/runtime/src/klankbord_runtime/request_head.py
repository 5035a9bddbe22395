"""The doors' patience: how large the head of an HTTP request may be, and how long it may take.

uvicorn reads a head of any size, for as long as its sender likes. Whoever sends one without end
would fill the memory before anyone asks who it is.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""How much of a head may have come and still not be all. One read of the socket may come on top."""
HEAD_SECONDS = 10.0
"""How long a head may take, from the connection or from its first byte."""


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's protocol, but heads are bounded."""

    _head_bytes = 0
    _in_head = True
    _completed = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection is there: its first head is due."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, and nothing is due any more."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came; those of a head are counted."""
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response(f"the head of a request is at most {MAX_HEAD_BYTES} bytes")
            return
        self._completed = False
        super().data_received(data)
        # what ended a request is not counted as the head of the next
        if self._in_head and not self._completed and not self.transport.is_closing():
            self._head_bytes += len(data)
            self._expect_head()

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._in_head = False
        self._head_is_there()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is complete; what comes now is the head of the next."""
        super().on_message_complete()
        self._in_head = self._completed = True
        self._head_bytes = 0

    def _expect_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_is_there(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
