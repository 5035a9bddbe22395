"""Running what the product is compared with: the small programs in `yardsticks`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGTERM
from typing import Literal, TypeAlias

from bench.ground import Ground
from bench.pace import acknowledged, pace
from nats.js.api import AckPolicy, ConsumerConfig

from klankbord_runtime.bus import reachable
from klankbord_runtime.permissions import PROVISION
from klankbord_schemas import topology
from klankbord_schemas.topology import inbox_prefix
from klankbord_standalone.child import Child

TESTS = Path(__file__).parents[1]
PATIENCE = 15.0
RAW = "bench-raw"
MODERATION = topology.consumer("moderation-posts")


@asynccontextmanager
async def program(
    ground: Ground, name: str, command: Sequence[str], told: Mapping[str, str] | None = None
) -> AsyncIterator[Child]:
    """A program that runs for as long as this lasts.

    Args:
        ground: where its log goes.
        name: what it is called.
        command: the program and its arguments.
        told: environment variables.
    """
    child = await Child.start(
        name,
        command,
        log=ground.home.logs / f"{name}.log",
        dies_by=SIGTERM,
        environment={"PATH": os.environ["PATH"], "PYTHONPATH": str(TESTS), **(told or {})},
        folder=ground.home.data,
    )
    try:
        yield child
    finally:
        if child.crashed and await child.wait():
            raise child.failed("ended by itself")
        await child.end(SIGTERM, patience=PATIENCE)


async def until_reachable(address: str) -> None:
    """Wait until a program that was just started listens there, and leave it the processor."""
    async with asyncio.timeout(PATIENCE):
        while not await reachable(address):
            await asyncio.sleep(0.05)


Loop: TypeAlias = Literal["asyncio", "uvloop"]


async def raw_pace(ground: Ground, seconds: float, until: int, loop: Loop = "asyncio") -> float:
    """How many posts a second nats-py fetches and acknowledges on that loop, doing nothing else."""
    jetstream = ground.bus.jetstream()
    config = ConsumerConfig(
        durable_name=RAW,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=MODERATION.ack_wait,
        max_ack_pending=MODERATION.max_ack_pending,
        filter_subjects=list(MODERATION.filters),
    )
    await jetstream.add_consumer(MODERATION.stream, config)
    installation = ground.installation
    told = (installation.nats_url, str(installation.seed_file(PROVISION)), inbox_prefix(PROVISION))
    try:
        module = (sys.executable, "-m", "bench.yardsticks.raw")
        async with program(ground, "raw", (*module, loop, *told, MODERATION.stream, RAW)):
            return await pace(acknowledged(ground, MODERATION.stream, RAW), seconds, until)
    finally:
        await jetstream.delete_consumer(MODERATION.stream, RAW)
