"""Posts through the webhook door: a small HTTP client, and a load that honours pushback.

The client is a protocol of its own because it must not be what is measured: a hundredth of a
millisecond of its time per request, where a general client takes one.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlsplit

from klankbord_ingest.signature import sign

NOT_NOW = (429, 503)


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection that is kept open; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionResetError("the door closed"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not found:
            return
        status, *lines = head.split(b"\r\n")
        pairs = (line.split(b": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in pairs}
        length = int(headers.get(b"content-length", b"0"))
        if len(rest) >= length and self._waiting is not None:
            self._received.clear()
            self._waiting.set_result(Answer(int(status.split(b" ")[1]), headers, rest))

    async def ask(self, request: bytes) -> Answer:
        """Send a request; gives the answer."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()


@dataclass(frozen=True)
class Door:
    """A webhook door, and the key of the source that posts there."""

    address: str
    source: str
    key: bytes = field(repr=False)

    @asynccontextmanager
    async def connections(self, count: int) -> AsyncIterator[list[Connection]]:
        """That many connections, for as long as this lasts."""
        place = urlsplit(self.address)
        host, port = str(place.hostname), place.port or 80
        loop = asyncio.get_running_loop()
        made: list[Connection] = []
        try:
            for _ in range(count):
                _, one = await loop.create_connection(Connection, host, port)
                made.append(one)
            yield made
        finally:
            for one in made:
                one.close()

    def signed(self, body: bytes) -> bytes:
        """The request that delivers this body, signed now."""
        delivery, now = f"msg_{secrets.token_hex(12)}", datetime.now(UTC)
        head = (
            f"POST /v1/sources/{self.source} HTTP/1.1\r\n"
            f"host: {urlsplit(self.address).netloc}\r\n"
            "content-type: application/json\r\n"
            f"webhook-id: {delivery}\r\n"
            f"webhook-timestamp: {int(now.timestamp())}\r\n"
            f"webhook-signature: {sign(self.key, delivery, now, body)}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass
class Poured:
    """What the door took in."""

    posts: int = 0
    turned_away: int = 0
    """How often it said: not now."""
    seconds: float = 0.0


async def pour(
    door: Door,
    bodies: Iterator[tuple[bytes, int]],
    *,
    connections: int,
    seconds: float = float("inf"),
    posts: float = float("inf"),
) -> Poured:
    """Deliver as fast as the door lets us, for so long or until so many are in: a closed loop.

    A sender that is told to wait waits as long as it is told, and sends the same body again.
    """
    found, begun = Poured(), time.monotonic()

    def is_over() -> bool:
        return time.monotonic() - begun >= seconds or found.posts >= posts

    async def send(connection: Connection) -> None:
        while not is_over():
            body, count = next(bodies)
            while not is_over():
                answer = await connection.ask(door.signed(body))
                if answer.status not in NOT_NOW:
                    break
                found.turned_away += 1
                wait = float(answer.headers.get(b"retry-after", b"1"))
                await asyncio.sleep(min(wait, max(0.0, seconds - (time.monotonic() - begun))))
            else:
                return
            if answer.status != 202:
                raise RuntimeError(f"the door says {answer.status}: {answer.body.decode()[:500]}")
            receipt = json.loads(answer.body)
            if receipt["received"] != count:
                raise RuntimeError(f"the door took {receipt} of a delivery of {count} new posts")
            found.posts += count

    async with door.connections(connections) as made, asyncio.TaskGroup() as group:
        for connection in made:
            group.create_task(send(connection))
    found.seconds = time.monotonic() - begun
    return found
