"""How fast something gets on, watched from outside."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.ground import Ground

LOOK_EVERY = 0.1
WARM = 0.1
PATIENCE = 60.0
SHARE = 0.05
"""How much of the time may go into looking."""

Done = Callable[[], Awaitable[int]]


async def pace(done: Done, seconds: float, until: int) -> float:
    """How many a second get done, for so many seconds, or until all are done.

    The first tenth of the time is not measured: connections, caches and plans are made then. What
    is over by then is timed from the last look at which nothing was done.
    """
    idle = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        while not await done():
            idle = time.monotonic()
            await asyncio.sleep(LOOK_EVERY / 10)
    await asyncio.sleep(seconds * WARM)
    first, begun = await done(), time.monotonic()
    if first >= until:
        return first / (begun - idle)
    last, at = first, begun
    while last < until and at - begun < seconds:
        await asyncio.sleep(LOOK_EVERY)
        last, at = await done(), time.monotonic()
    if last == first:
        raise RuntimeError(f"nothing moved in {seconds} s: {first} of {until} are done")
    return (last - first) / (at - begun)


def acknowledged(ground: Ground, stream: str, consumer: str) -> Done:
    """Up to where a durable consumer has acknowledged its stream, without a gap."""
    jetstream = ground.bus.jetstream()

    async def done() -> int:
        state = await jetstream.consumer_info(stream, consumer)
        return (state.ack_floor.stream_seq if state.ack_floor else None) or 0

    return done


async def reach(done: Done, number: int, patience: float) -> tuple[float, int]:
    """Wait until so many are done: at what moment that was seen, and how many there were.

    It looks often, but gives no more than a twentieth of the time to looking.
    """
    async with asyncio.timeout(patience):
        while True:
            asked = time.monotonic()
            found = await done()
            at = time.monotonic()
            if found >= number:
                return at, found
            await asyncio.sleep(max(LOOK_EVERY, (at - asked) / SHARE))
