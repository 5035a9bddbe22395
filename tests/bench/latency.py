"""How long a post takes from the door's answer until it is counted, at a given rate: an open loop.

Counted is the moment at which the bus carries metrics' acknowledgement of the post's event: metrics
acknowledges after its commit and not before, and whoever listens to acknowledgements disturbs
nobody. The sender's clock is the same one. A post is sent at its time whether or not earlier ones
are through, so that a slow moment delays no question (no coordinated omission).
"""

import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.door import Door
from bench.ground import Ground
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from klankbord_runtime.puller import delivery_of
from klankbord_schemas import topology

CONNECTIONS = 64
COUNTED = topology.consumer("metrics-posts")
PATIENCE = 60.0
PART = 500


@dataclass(frozen=True)
class Latency:
    """What an open loop came to; times are milliseconds."""

    p50: float
    p99: float
    posts: int
    """How many posts these are the times of."""
    late: int
    """How many requests were sent later than they should have been, by more than a tenth second."""


async def latency(
    ground: Ground, door: Door, bodies: Iterator[tuple[bytes, int]], rate: float, seconds: float
) -> Latency:
    """Send requests at that rate, and see when their posts are counted."""
    acknowledged: dict[int, float] = {}

    async def note(message: Msg) -> None:
        message.reply = message.subject  # the place in the stream stands in the subject
        acknowledged.setdefault(delivery_of(message).stream_sequence, time.monotonic())

    first = (await ground.bus.jetstream().stream_info(COUNTED.stream)).state.last_seq + 1
    address = f"{COUNTED.stream}.{COUNTED.name}.>"
    subscriptions = [
        await ground.bus.subscribe(f"$JS.ACK.{address}", cb=note),
        await ground.bus.subscribe(f"$JS.ACK.*.*.{address}", cb=note),
    ]
    await ground.bus.flush()
    try:
        answered, late = await _send(door, bodies, rate, seconds)
        async with asyncio.timeout(PATIENCE):
            while len(acknowledged) < len(answered):
                await asyncio.sleep(0.05)
    finally:
        for subscription in subscriptions:
            await subscription.unsubscribe()
    names = await _native_ids(ground, first, len(answered))
    taken = sorted(
        1000 * (acknowledged[sequence] - answered[name]) for sequence, name in names.items()
    )
    return Latency(statistics.median(taken), taken[int(0.99 * len(taken))], len(taken), late)


async def _send(
    door: Door, bodies: Iterator[tuple[bytes, int]], rate: float, seconds: float
) -> tuple[dict[str, float], int]:
    """When each post was answered for, by its native id; and how many were sent late."""
    answered: dict[str, float] = {}
    late = 0
    requests = [next(bodies)[0] for _ in range(max(1, int(rate * seconds)))]
    names = [[post["nativeId"] for post in json.loads(body)["posts"]] for body in requests]

    async with door.connections(CONNECTIONS) as made, asyncio.TaskGroup() as group:
        free = asyncio.Queue[int]()
        for index in range(len(made)):
            free.put_nowait(index)

        async def deliver(number: int, index: int) -> None:
            answer = await made[index].ask(door.signed(requests[number]))
            at = time.monotonic()
            if answer.status != 202:
                raise RuntimeError(f"the door says {answer.status}: {answer.body.decode()[:500]}")
            answered.update(dict.fromkeys(names[number], at))
            free.put_nowait(index)

        begun = time.monotonic()
        for number in range(len(requests)):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            index = await free.get()
            late += time.monotonic() - due > 0.1
            group.create_task(deliver(number, index))
    return answered, late


async def _native_ids(ground: Ground, first: int, count: int) -> dict[int, str]:
    """What the posts are called that stand in the stream from that place on, by place."""
    found: dict[int, str] = {}
    subscription = await ground.bus.jetstream().pull_subscribe(
        "klankbord.post.received.>",
        stream=COUNTED.stream,
        config=ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=first,
            ack_policy=AckPolicy.NONE,
        ),
    )
    try:
        while len(found) < count:
            for message in await subscription.fetch(PART, timeout=5):
                event = json.loads(message.data)
                found[delivery_of(message).stream_sequence] = event["data"]["nativeId"]
    finally:
        await subscription.unsubscribe()
    return found
