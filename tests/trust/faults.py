"""What is done to an installation: a schedule that a seed gives, one fault after the other."""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import httpx
import psutil
from stage import Staged, Understudy
from trust.part import Say

from klankbord_runtime.permissions import PROVISION
from klankbord_runtime.provision import consumer_config
from klankbord_schemas.topology import CONSUMERS, Consumer
from klankbord_standalone.credentials import Credentials

STOP_WITHIN = 25.0
"""Seconds in which a service that is told to stop must have ended by itself."""
NOTICED_WITHIN = 60.0
DOWN = 0.5
WRONG_CREDENTIALS = 5.0
HALF_OPEN = 15.0
STALLED = 10.0
OUTAGE = 130.0
"""Longer than nats-py tries to reconnect unless told otherwise: 60 times, every 2 seconds."""
QUICK = ("worker_kills", "rolling_restarts", "nats_kills", "postgres_kills")
"""Not worth a line each."""
ROOM = 60
"""How many more messages a stream takes that is made full."""
FULL_FOR = 5.0


class Faults:
    """The faults of one run."""

    def __init__(self, scene: Staged, plan: Mapping[str, int], seed: int, say: Say) -> None:
        """Nothing is done yet.

        Args:
            scene: what to do it to.
            plan: how often each: the keys of `acts`.
            seed: what gives their order, their victims and the pauses.
            say: told of each that takes long.
        """
        self._scene = scene
        self._servers = scene.servers
        self._chance = random.Random(seed)
        self._say = say
        self._acts = self.acts()
        self._schedule = self.schedule(plan)
        self._needs_posts = 0.0
        self.done: Counter[str] = Counter()
        self.forced_kills = 0
        """Services that did not end in time when they were told to stop."""
        self.ended_at = 0.0

    def acts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Every fault that there is, by the name that a plan gives it."""
        return {
            "worker_kills": self._kill_worker,
            "rolling_restarts": self._restart_worker,
            "nats_kills": self._kill_nats,
            "postgres_kills": self._kill_postgres,
            "nats_half_open": self._stop_nats,
            "nats_outage": self._nats_outage,
            "postgres_stalled": self._stall_postgres,
            "wrong_credentials": self._wrong_credentials,
            "consumer_deleted": self._delete_consumer,
            "consumer_drifted": self._drift_consumer,
            "stream_full": self._fill_stream,
        }

    def schedule(self, plan: Mapping[str, int]) -> list[str]:
        """In which order: any, but for a stream that gets full only while there are posts left."""
        order = [
            name for name, count in plan.items() for _ in range(count) if name != "stream_full"
        ]
        self._chance.shuffle(order)
        middle = len(order) // 2
        order[middle:middle] = ["stream_full"] * plan.get("stream_full", 0)
        return order

    @property
    def progress(self) -> float:
        """Which part of the schedule is done."""
        if self.ended_at:
            return 1.0
        return min(0.99, self.done.total() / (len(self._schedule) + 1) + self._needs_posts)

    async def run(self) -> None:
        """Do them all."""
        for name in self._schedule:
            await asyncio.sleep(self._chance.uniform(0.1, 1.0))
            if name not in QUICK:
                self._say(f"{name.replace('_', ' ')} ({self.done.total()} faults done)")
            try:
                await self._acts[name]()
            except Exception as error:
                self._say(f"{name} could not be done: {type(error).__name__}: {error}")
                raise
            self.done[name] += 1
        self.ended_at = asyncio.get_running_loop().time()

    async def stop(self, process: Understudy) -> int:
        """Tell a service to stop, and wait until it has ended: its exit status."""
        ending = asyncio.ensure_future(process.ended())
        if process.pid is not None:
            os.kill(process.pid, SIGTERM)
        try:
            return await asyncio.wait_for(asyncio.shield(ending), STOP_WITHIN)
        except TimeoutError:
            self.forced_kills += 1
            self._say(f"{process.name} does not stop within {STOP_WITHIN:.0f} s")
            if process.pid is not None:
                os.kill(process.pid, SIGKILL)
            return await ending

    # -- services --------------------------------------------------------------------------------

    async def _alive(self) -> Understudy:
        while not (alive := [p for p in self._scene.replicas if p.pid is not None]):
            await asyncio.sleep(0.05)
        return self._chance.choice(alive)

    async def _kill_worker(self) -> None:
        process = await self._alive()
        assert process.pid is not None
        os.kill(process.pid, SIGKILL)

    async def _restart_worker(self) -> None:
        """One that dies of something else meanwhile does not count."""
        while await self.stop(process := await self._alive()) != 0:
            await asyncio.sleep(0.2)
        while process.pid is None:
            await asyncio.sleep(0.05)

    # -- servers ---------------------------------------------------------------------------------

    async def _kill_nats(self) -> None:
        await self._servers.nats.kill()
        await asyncio.sleep(DOWN)
        await self._servers.nats.start()

    async def _nats_outage(self) -> None:
        await self._servers.nats.kill()
        await asyncio.sleep(OUTAGE)
        await self._servers.nats.start()

    async def _stop_nats(self) -> None:
        process = psutil.Process(self._servers.nats.pid)
        process.suspend()
        await asyncio.sleep(HALF_OPEN)
        process.resume()

    async def _kill_postgres(self) -> None:
        await self._servers.postgres.kill()
        await asyncio.sleep(DOWN)
        await self._servers.postgres.start()

    async def _stall_postgres(self) -> None:
        postmaster = psutil.Process(self._servers.postgres.pid)
        stalled = [postmaster, *postmaster.children(recursive=True)]
        for process in stalled:
            process.suspend()
        await asyncio.sleep(STALLED)
        for process in reversed(stalled):
            process.resume()

    async def _wrong_credentials(self) -> None:
        nats = self._servers.nats
        right = nats.authorization
        strangers = Credentials.create(Path(self._scene.home.data / "strangers"))
        nats.authorization = strangers.authorization()
        await nats.restart()
        await asyncio.sleep(WRONG_CREDENTIALS)
        nats.authorization = right
        await nats.restart()

    # -- streams and consumers -------------------------------------------------------------------

    async def _delete_consumer(self) -> None:
        consumer = self._chance.choice(CONSUMERS)
        await self._ask(f"CONSUMER.DELETE.{consumer.stream}.{consumer.name}", {})
        await self._mend(consumer, "does not exist")

    async def _drift_consumer(self) -> None:
        consumer = self._chance.choice(CONSUMERS)
        await self._ask(
            f"CONSUMER.DURABLE.CREATE.{consumer.stream}.{consumer.name}",
            {
                "stream_name": consumer.stream,
                "config": consumer_config(consumer) | {"max_ack_pending": 10},
            },
        )
        await self._mend(consumer, "max_ack_pending is 10")

    async def _mend(self, consumer: Consumer, said: str) -> None:
        """Wait until every replica says what is wrong, and do what it says."""
        problem = await self._told(consumer, said, holds=True)
        if "run `klankbord provision`" not in problem:
            raise AssertionError(f"{consumer.service} does not say what to do: {problem}")
        await self._scene.everything.installation.provision()
        await self._told(consumer, said, holds=False)

    async def _told(self, consumer: Consumer, said: str, *, holds: bool) -> str:
        """Wait until every replica of a service says this of a consumer, or no longer does."""
        problems = ""
        for process in self._scene.replicas:
            if process.name != consumer.service:
                continue
            try:
                async with asyncio.timeout(NOTICED_WITHIN):
                    problems = await self._problems(process)
                    while (f"{consumer.name} {said}" in problems) is not holds:
                        await asyncio.sleep(0.2)
                        problems = await self._problems(process)
            except TimeoutError:
                raise AssertionError(
                    f"{consumer.name} {said}: {process.name} at {process.address} "
                    f"{'does not notice' if holds else 'still says so'}: {problems or 'ready'}"
                ) from None
        return problems

    async def _problems(self, process: Understudy) -> str:
        """Why that replica is not ready; that it is being started again is a reason, too."""
        async with httpx.AsyncClient(timeout=3, trust_env=False) as http:
            try:
                answer = await http.get(f"{process.address}/readyz")
            except httpx.TransportError as error:
                return f"it does not answer ({type(error).__name__})"
        return "; ".join(answer.json()["problems"])

    async def _fill_stream(self) -> None:
        """Let POSTS take only a few more messages until its outbox has had to wait."""
        info = await self._ask("STREAM.INFO.POSTS", {})
        config = info["config"]
        await self._ask(
            "STREAM.UPDATE.POSTS", config | {"max_msgs": info["state"]["messages"] + ROOM}
        )
        self._needs_posts = 0.1
        try:
            async with asyncio.timeout(NOTICED_WITHIN):
                while not await self._outbox_waits():
                    await asyncio.sleep(0.2)
            await asyncio.sleep(FULL_FOR)
        except TimeoutError:
            raise AssertionError("POSTS is full, and ingest's outbox does not wait") from None
        finally:
            self._needs_posts = 0.0
            await self._ask("STREAM.UPDATE.POSTS", config)

    async def _outbox_waits(self) -> bool:
        (row,) = await self._scene.fetch(
            "ingest",
            "select exists (select from outbox_pending"
            " where recorded < now() - interval '1 second') as waits",
        )
        return bool(row["waits"])

    async def _ask(self, subject: str, body: Mapping[str, object]) -> dict[str, Any]:
        async with self._scene.everything.installation.client(PROVISION) as client:
            payload = json.dumps(body).encode() if body else b""
            answer = await client.request(f"$JS.API.{subject}", payload, timeout=10)
        told: dict[str, Any] = json.loads(answer.data)
        if "error" in told:
            raise AssertionError(f"{subject}: {told['error']}")
        return told
