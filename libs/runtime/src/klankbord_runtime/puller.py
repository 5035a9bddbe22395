"""Pulls a durable consumer's messages into batches.

nats-py's own fetch makes a task and a timer per message, lingers for a full batch and may drop a
partial one until ack_wait; half of a consumer's time went there (docs/adr/0003). Here the server
is asked ahead, what it delivers is put into a buffer as it is read, and whoever takes gets whatever
has arrived: one event when it is quiet, a full batch under load, and never a wait for more.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from klankbord_runtime import wire

log = logging.getLogger(__name__)

EXPIRES = 5.0
"""Seconds that one request for messages stays open at the server."""
PAUSE = 1.0
"""Seconds to wait when the server refuses a request."""


class Delivery(NamedTuple):
    """What the reply subject says of a delivered message (nats.go, `parseMetadata`)."""

    stream_sequence: int
    deliveries: int
    """How often the message was delivered, this time included."""


def delivery_of(message: Msg) -> Delivery:
    """Read `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>…`, or its longer second form."""
    tokens = message.reply.split(".")
    offset = 4 if len(tokens) < 11 else 6
    return Delivery(int(tokens[offset + 1]), int(tokens[offset]))


class Puller:
    """The messages of one durable consumer, in batches of at most `size`."""

    def __init__(self, client: Client, stream: str, consumer: str, size: int) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._name = consumer
        self._size = size
        self._buffer: deque[Msg] = deque()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._asked = 0
        self._asked_until = 0.0
        self._not_before = 0.0
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._end: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Open the inbox that messages arrive in."""
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(
            self._inbox,
            cb=self._hear,
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )
        self._end = wire.hand_over(self._client, self._subscription, self._receive)

    async def take(self, least: int = 1) -> list[Msg]:
        """What has arrived, at most one batch; waits up to a second until it is so much.

        An empty list says that it is less, so that the caller can look at its own state.
        """
        await self._ask()
        if len(self._buffer) < least and not await self._has_arrived(least):
            return []
        taken = [self._buffer.popleft() for _ in range(min(self._size, len(self._buffer)))]
        await self._ask()
        return taken

    @property
    def waiting(self) -> list[Msg]:
        """What arrived and was not taken: someone must keep its ack_wait from ending."""
        return list(self._buffer)

    def reconnected(self) -> None:
        """Requests died with the connection: ask anew."""
        self._asked = 0

    async def stop(self) -> list[Msg]:
        """Ask no more; gives back what arrived and was not taken."""
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            try:
                await subscription.unsubscribe()
            finally:
                self._end()
        left = list(self._buffer)
        self._buffer.clear()
        return left

    async def _has_arrived(self, least: int) -> bool:
        waiter = (least, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            await asyncio.wait_for(waiter[1], timeout=1.0)
        except TimeoutError:
            return False
        finally:
            self._waiters.remove(waiter)
        return len(self._buffer) >= least  # another taker may have been first

    async def _ask(self) -> None:
        now = time.monotonic()
        if self._asked and now > self._asked_until:
            self._asked = 0  # the server must have given up on these long ago
        if now < self._not_before or self._asked + len(self._buffer) > self._size // 2:
            return
        request = {"batch": self._size, "expires": int(EXPIRES * 1e9)}
        await self._client.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)
        self._asked += self._size
        self._asked_until = now + EXPIRES + 2

    def _receive(self, message: Msg) -> None:
        self._asked = max(0, self._asked - 1)
        self._buffer.append(message)
        for least, waiter in self._waiters:
            if len(self._buffer) >= least and not waiter.done():
                waiter.set_result(None)

    async def _hear(self, message: Msg) -> None:
        """What the server says of a request."""
        headers = message.headers or {}
        status = headers.get("Status")
        if status == "408":  # this request's time was up
            self._asked = max(0, self._asked - int(headers.get("Nats-Pending-Messages", "0")))
        elif status != "100":
            told = "nobody leads it" if status == "503" else headers.get("Description")
            log.warning("%s: the server says %s: %s", self._name, status, told)
            self._asked = 0
            self._not_before = time.monotonic() + PAUSE
