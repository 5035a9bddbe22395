"""One consumer at its speed: moderation's real one, and what it is compared with.

All of them read the same posts, which wait on the bus (in Redis, for Celery), and store to the same
table. Before each, the tables are emptied and the consumer is made anew.
"""

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from bench.ground import Ground, ground
from bench.pace import acknowledged, pace
from bench.rounds import Round
from bench.sizes import Size
from bench.talk import Talk
from bench.yardstick import MODERATION, program, raw_pace, until_reachable

from klankbord_standalone.child import LOOPBACK, free_port

REDIS = shutil.which("redis-server")
NO_REDIS = "there is no redis-server here: make setup-system"
NAMES = (
    "consumer_vs_raw",
    "consumer_vs_raw_on_uvloop",
    "consumer_vs_tutorial",
    "consumer_vs_celery",
    "telemetry_overhead",
)


class Consumers:
    """Posts that wait on the bus, and what may read them."""

    def __init__(self, ground: Ground, size: Size) -> None:
        self._ground = ground
        self._size = size

    async def round(self, wanted: Collection[str]) -> Round:
        """Each once, moderation before what it is compared with."""
        found = Round()
        if "telemetry_overhead" in wanted:
            await self._compare_telemetry(found)
        if not set(wanted) - {"telemetry_overhead"}:
            return found
        own = await self.own()
        if "consumer_vs_raw" in wanted:
            raw = await raw_pace(self._ground, self._size.window, self._size.events)
            found.compare("consumer_vs_raw", own, raw)
        if "consumer_vs_raw_on_uvloop" in wanted:
            window = self._size.short_window
            raw = await raw_pace(self._ground, window, self._size.events, "uvloop")
            found.compare("consumer_vs_raw_on_uvloop", own, raw)
        if "consumer_vs_tutorial" in wanted:
            found.compare("consumer_vs_tutorial", own, await self.tutorial())
        if "consumer_vs_celery" in wanted and REDIS is not None:
            found.compare("consumer_vs_celery", own, await self.celery())
        return found

    async def own(self) -> float:
        """Posts a second that moderation has handled and acknowledged."""
        await self._ground.empty(keep=[MODERATION.stream])
        async with self._ground.running("moderation", ready=False):
            return await self._pace(self._size.window)

    async def _compare_telemetry(self, found: Round) -> None:
        """What is lost by telling: without, with, with, without, so that a drift cancels out."""
        untold = await self.untold()
        told = await self.told() + await self.told()
        untold += await self.untold()
        found.values["telemetry_overhead"] = 1 - told / untold
        found.notes["telemetry_overhead"] = f"1 - {told / 2:,.0f}/s ÷ {untold / 2:,.0f}/s"

    async def told(self) -> float:
        """Posts a second where everything is told: metrics, and one trace in a hundred, by OTLP."""
        await self._ground.empty(keep=[MODERATION.stream])
        port = free_port()
        address = f"http://{LOOPBACK}:{port}"
        sink = (sys.executable, "-m", "bench.yardsticks.sink", str(port))
        variables = {
            "KLANKBORD_TELEMETRY__OTLP_ENDPOINT": address,
            "KLANKBORD_TELEMETRY__METRICS_EVERY": "1",  # a minute is longer than this is measured
        }
        async with program(self._ground, "sink", sink):
            await until_reachable(address)
            async with self._ground.running("moderation", ready=False, told=variables):
                return await self._pace(self._size.short_window)

    async def untold(self) -> float:
        """The same where nothing is: no span is made, and nothing counted."""
        await self._ground.empty(keep=[MODERATION.stream])
        untold = ("-m", "bench.yardsticks.untold")
        async with self._ground.running("moderation", ready=False, program=untold):
            return await self._pace(self._size.short_window)

    async def tutorial(self) -> float:
        """The same of the handler that FastStream teaches."""
        await self._ground.empty(keep=[MODERATION.stream])
        installation = self._ground.installation
        command = (
            *(sys.executable, "-m", "bench.yardsticks.tutorial"),
            *(installation.nats_url, str(installation.seed_file("moderation"))),
            *(installation.postgres_url("moderation"), str(self._ground.policy)),
        )
        async with program(self._ground, "tutorial", command):
            return await self._pace(self._size.short_window)

    async def celery(self) -> float:
        """Posts a second that Celery has judged and stored, of those that wait in Redis."""
        await self._ground.empty(keep=[MODERATION.stream])
        async with self._redis() as told:
            talk, now = Talk(seed=3), datetime.now(UTC)
            bodies = [
                talk.event(number, now).to_json().decode() for number in range(self._size.tasks)
            ]
            sender = (sys.executable, "-m", "bench.yardsticks.chain")
            worker = (
                *(sys.executable, "-m", "celery", "-A", "bench.yardsticks.chain", "worker"),
                *("--loglevel", "WARNING", "--concurrency", str(os.cpu_count())),
            )
            waiting = self._ground.home.data / "bodies.json"
            waiting.write_text(json.dumps(bodies), encoding="utf-8")
            async with program(self._ground, "sender", (*sender, str(waiting)), told) as child:
                if await child.wait():
                    raise child.failed("could not send to Redis")
            async with program(self._ground, "celery", worker, told):
                stored = partial(self._ground.count, "moderation.heard_post")
                return await pace(stored, self._size.short_window, self._size.tasks)

    async def _pace(self, seconds: float) -> float:
        done = acknowledged(self._ground, MODERATION.stream, MODERATION.name)
        return await pace(done, seconds, self._size.events)

    @asynccontextmanager
    async def _redis(self) -> AsyncIterator[dict[str, str]]:
        """A Redis of its own; gives the variables that tell Celery of everything."""
        assert REDIS is not None
        port = free_port()
        address = f"redis://{LOOPBACK}:{port}/0"
        command = (REDIS, "--port", str(port), "--bind", LOOPBACK, "--save", "")
        async with program(self._ground, "redis", command):
            await until_reachable(address)
            yield {
                "BENCH_REDIS": address,
                "BENCH_POLICY": str(self._ground.policy),
                "BENCH_DATABASE": self._ground.installation.postgres_url("moderation"),
            }


@asynccontextmanager
async def consumers(size: Size, seed: int) -> AsyncIterator[Consumers]:
    """A ground with posts that wait."""
    async with ground() as made:
        talk, now = Talk(seed), datetime.now(UTC)
        await made.fill(talk.event(number, now) for number in range(size.events))
        yield Consumers(made, size)


def missing() -> dict[str, str]:
    """The rows that cannot be had here, and why."""
    return {} if REDIS else {"consumer_vs_celery": NO_REDIS}
