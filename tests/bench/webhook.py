"""The webhook door, one post a request, against an endpoint that does nothing on that server."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice

from bench.door import Door
from bench.ground import Ground, ground
from bench.rounds import Round
from bench.sizes import Size
from bench.talk import SOURCE, Talk
from bench.yardstick import program, until_reachable

from klankbord_standalone.child import LOOPBACK, free_port

NAMES = ("webhook_vs_bare",)
CONNECTIONS = 64
MOST_PER_SECOND = 4_000
"""Requests per second that are written and signed beforehand."""


@dataclass(frozen=True)
class Answered:
    """How many requests were answered, a second, and how busy that kept the client."""

    per_s: float
    client: float
    """Its share of one core. Near one, the client was the limit and not the server."""


class Webhook:
    """The door of a running ingest."""

    def __init__(self, ground: Ground, address: str, size: Size, seed: int) -> None:
        self._ground = ground
        self._door = Door(address, SOURCE, ground.key)
        self._seconds = size.short_window
        self._bodies = Talk(seed).bodies(0, 1)

    async def round(self, wanted: Collection[str]) -> Round:
        """Both once."""
        bodies = islice(self._bodies, int(self._seconds * MOST_PER_SECOND))
        requests = [self._door.signed(body) for body, _ in bodies]
        own = await hammer(self._door, requests, 202, self._seconds)
        port = free_port()
        bare_door = Door(f"http://{LOOPBACK}:{port}", SOURCE, self._ground.key)
        command = (sys.executable, "-m", "bench.yardsticks.bare", str(port))
        async with program(self._ground, "bare", command):
            await until_reachable(bare_door.address)
            bare = await hammer(bare_door, cycle(requests), 204, self._seconds)
        found = Round()
        found.compare("webhook_vs_bare", own.per_s, bare.per_s)
        found.notes["webhook_vs_bare"] += f"; client busy {own.client:.0%}, {bare.client:.0%}"
        return found


async def hammer(door: Door, requests: Iterable[bytes], status: int, seconds: float) -> Answered:
    """Send requests over every connection, each as soon as the one before is answered."""
    waiting, answered = iter(requests), 0
    begun, busy = time.monotonic(), time.process_time()

    async with door.connections(CONNECTIONS) as made:

        async def send(index: int) -> None:
            nonlocal answered
            for request in waiting:
                answer = await made[index].ask(request)
                if answer.status != status:
                    raise RuntimeError(f"{answer.status}: {answer.body.decode()[:500]}")
                answered += 1
                if time.monotonic() - begun >= seconds:
                    break

        async with asyncio.TaskGroup() as group:
            for index in range(len(made)):
                group.create_task(send(index))
    took = time.monotonic() - begun
    return Answered(answered / took, (time.process_time() - busy) / took)


@asynccontextmanager
async def webhook(size: Size, seed: int) -> AsyncIterator[Webhook]:
    """Ingest alone."""
    async with ground() as made, made.running("ingest") as (ingest,):
        yield Webhook(made, ingest.address, size, seed)
