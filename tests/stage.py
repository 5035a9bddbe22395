"""A whole installation for a test: every service as a process of its own, and a door to post to."""

import asyncio
import json
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any

import asyncpg
import httpx

from klankbord_standalone import standalone
from klankbord_standalone.home import Home
from klankbord_standalone.postgres_server import PostgresServer
from klankbord_standalone.sender import Sender, make_secret
from klankbord_standalone.standalone import Standalone
from klankbord_standalone.status import Status, read_status

BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)
SETTLE_PATIENCE = 180.0

CONFIG = {
    "communities": [
        {"slug": "acme", "name": "Acme", "time_zone": "Europe/Amsterdam", "languages": ["en"]}
    ],
    "sources": [{"name": "forum", "community": "acme", "kind": "webhook"}],
}


def submission(number: int, content: str) -> dict[str, Any]:
    """A post as a forum hands it in."""
    return {
        "nativeId": str(number),
        "published": (BEGIN + timedelta(seconds=10 * number)).isoformat(),
        "attributedTo": {"id": f"member-{number % 97}", "preferredUsername": f"m{number % 97}"},
        "content": content,
    }


@dataclass
class Stage:
    """An installation under test."""

    home: Home
    everything: Standalone
    forum: Sender

    @property
    def servers(self) -> Any:
        assert self.everything.servers is not None
        return self.everything.servers

    async def status(self) -> Status:
        return await read_status(self.everything.installation, self.everything.running)

    async def settled(self) -> None:
        """Wait until nothing is on its way any more."""
        async with asyncio.timeout(SETTLE_PATIENCE):
            quiet = 0
            while quiet < 3:
                await asyncio.sleep(0.7)
                found = await self.status()
                healthy = all(service.ready for service in found.services.values())
                quiet = quiet + 1 if found.waiting == 0 and healthy else 0

    async def fetch(self, service: str, query: str, *arguments: Any) -> list[Any]:
        """What a service's own tables say."""
        connection = await asyncpg.connect(self.everything.installation.postgres_url(service))
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def events(self, stream: str) -> list[dict[str, Any]]:
        """Every event that a stream keeps."""
        async with self.everything.installation.client("operator") as client:
            jetstream = client.jetstream()
            info = await jetstream.stream_info(stream)
            found: list[dict[str, Any]] = []
            subscription = await jetstream.pull_subscribe(
                info.config.subjects[0] if info.config.subjects else ">", stream=stream
            )
            state = await subscription.consumer_info()
            left = state.num_pending or 0
            while left > 0:
                messages = await subscription.fetch(500, timeout=5)
                left -= len(messages)
                found += [json.loads(message.data) for message in messages]
                for message in messages:
                    await message.ack()
            return found

    def logs(self) -> dict[str, list[dict[str, Any]]]:
        """Every log line of every service."""
        return {
            log.stem: [
                json.loads(line)
                for line in log.read_text(encoding="utf-8").splitlines()
                if line.startswith("{")
            ]
            for log in self.home.logs.glob("*.log")
        }


@asynccontextmanager
async def stage(config: dict[str, Any] | None = None) -> AsyncIterator[Stage]:
    """Start everything in a folder of its own; everything is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="klankbord-stage-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    home = Home.at(folder / "data", folder / "config")
    home.prepare()
    # YAML 1.2 contains JSON
    (home.config / "klankbord.yaml").write_text(json.dumps(config or CONFIG), encoding="utf-8")
    key = make_secret(home.secrets, "forum")
    try:
        async with (
            standalone.start(home) as everything,
            httpx.AsyncClient(timeout=20, trust_env=False) as http,
        ):
            forum = Sender(http, everything.running.address("ingest"), "forum", key)
            yield Stage(home, everything, forum)
    finally:
        PostgresServer(home.data / "postgres", "").erase()
        shutil.rmtree(folder)


@dataclass
class Faults:
    """What was done to an installation."""

    kills: dict[str, int]
    nats_restarts: int
    postgres_restarts: int


async def kill_at_random(
    scene: Stage, seed: int, kills: int, restarts: int, names: Sequence[str] | None = None
) -> Faults:
    """Kill services (SIGKILL) and restart their servers, in an order that the seed gives."""
    chance = random.Random(seed)
    plan = ["kill"] * kills + ["nats", "postgres"] * restarts
    chance.shuffle(plan)
    processes = [p for p in scene.everything.processes if names is None or p.name in names]
    faults = Faults({process.name: 0 for process in processes}, 0, 0)
    for act in plan:
        await asyncio.sleep(chance.uniform(0.1, 0.8))
        if act == "nats":
            await scene.servers.nats.kill()
            await scene.servers.nats.start()
            faults.nats_restarts += 1
        elif act == "postgres":
            await scene.servers.postgres.kill()
            await scene.servers.postgres.start()
            faults.postgres_restarts += 1
        else:
            process = chance.choice(processes)
            while (pid := process.pid) is None:  # it is being started again
                await asyncio.sleep(0.05)
            os.kill(pid, SIGKILL)
            faults.kills[process.name] += 1
    return faults
