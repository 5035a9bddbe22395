"""The demo's community on a real installation, which talks on while alarms are forced."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import cycle
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from alarms.watcher import watcher
from prometheus import Prometheus, exporter, targets_at

from klankbord_runtime.permissions import PROVISION
from klankbord_standalone import standalone
from klankbord_standalone.child import free_port
from klankbord_standalone.home import Home
from klankbord_standalone.postgres_server import PostgresServer
from klankbord_standalone.sample import CONFIGURATION, SEED, sample
from klankbord_standalone.sender import Sender, make_secret
from klankbord_standalone.servers import Servers
from klankbord_standalone.services import ServiceProcess
from klankbord_standalone.standalone import Standalone

FEED = "blog"
PAUSE = 0.3
"""Seconds between two posts."""
SOME = 50
"""Posts that there are before anything is forced."""


@dataclass
class Scene:
    """What alarms are forced on."""

    folder: Path
    """Where `klankbord` is called, as an operator would: beside `klankbord-data`."""
    everything: Standalone
    watcher: Prometheus
    talking: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while members post."""

    @property
    def servers(self) -> Servers:
        """NATS and PostgreSQL."""
        assert self.everything.servers is not None
        return self.everything.servers

    def service(self, name: str) -> ServiceProcess:
        """One of the four."""
        return {process.name: process for process in self.everything.processes}[name]

    async def change(self, stream: str, **settings: Any) -> dict[str, Any]:
        """Set something about a stream; gives its state."""
        info = await self.ask(f"STREAM.INFO.{stream}")
        if settings:
            await self.ask(f"STREAM.UPDATE.{stream}", info["config"] | settings)
        state: dict[str, Any] = info["state"]
        return state

    async def ask(self, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream, as whoever provisions it."""
        async with self.everything.installation.client(PROVISION) as client:
            payload = json.dumps(body).encode() if body else b""
            answer = await client.request(f"$JS.API.{subject}", payload, timeout=10)
        told: dict[str, Any] = json.loads(answer.data)
        if "error" in told:
            raise RuntimeError(f"{subject}: {told['error']['description']}")
        return told

    async def execute(self, service: str, statement: str) -> None:
        """Change something in a service's own tables."""
        connection = await asyncpg.connect(self.everything.installation.postgres_url(service))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """Start everything, and let members talk; everything is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="klankbord-alarms-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    home = Home.at(folder / "klankbord-data", folder / "klankbord")
    try:
        async with AsyncExitStack() as stack:
            keys = _prepare(home)
            everything = await stack.enter_async_context(standalone.start(home))
            assert everything.servers is not None
            port = free_port()
            monitored = everything.servers.nats.monitor_url
            await stack.enter_async_context(exporter(monitored, port, home.logs / "exporter.log"))
            targets = targets_at(everything.running.ports, port)
            watching = await stack.enter_async_context(watcher(folder / "prometheus", targets))
            made = Scene(folder, everything, watching)
            made.talking.set()
            talk = asyncio.create_task(_talk(made, keys))
            try:
                while (await made.change("POSTS"))["messages"] < SOME:
                    await asyncio.sleep(0.5)
                yield made
            finally:
                talk.cancel()
                await asyncio.gather(talk, return_exceptions=True)
    finally:
        PostgresServer(home.data / "postgres", "").erase()
        shutil.rmtree(folder)


def _prepare(home: Home) -> dict[str, bytes]:
    """The demo's configuration and a feed that nobody can read; gives its sources' keys."""
    home.prepare()
    community = CONFIGURATION["communities"][0]["slug"]
    feed = {"name": FEED, "community": community, "kind": "feed"}
    unreachable = feed | {"url": "https://blog.invalid/feed.xml", "every": "1m"}
    configuration = dict(CONFIGURATION) | {"sources": [*CONFIGURATION["sources"], unreachable]}
    # YAML 1.2 contains JSON
    (home.config / "klankbord.yaml").write_text(json.dumps(configuration), "utf-8")
    return {
        source["name"]: make_secret(home.secrets, source["name"])
        for source in CONFIGURATION["sources"]
    }


async def _talk(scene: Scene, keys: Mapping[str, bytes]) -> None:
    """Let the sample's members say what they say, one after the other, again and again."""
    played = await asyncio.to_thread(sample, SEED, date.today())  # noqa: DTZ011
    address = scene.everything.running.address("ingest")
    async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
        senders = {name: Sender(http, address, name, key) for name, key in keys.items()}
        for number, delivery in enumerate(cycle(played.deliveries(at_most=1))):
            await scene.talking.wait()
            for post in delivery.body.get("posts", ()):
                post["nativeId"] = f"{post['nativeId']}-{number}"  # another post each time round
            await senders[delivery.source].send(delivery.body)
            await asyncio.sleep(PAUSE)
