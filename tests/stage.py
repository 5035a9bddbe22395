"""A whole installation for a test: every service as a process of its own, and a door to post to.

`stage` starts what `klankbord up` starts. `staged` starts its servers bare, so that nobody but the
test starts them again, and any number of replicas of each service, through a program of the test's.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from nats.aio.msg import Msg

from klankbord_runtime.permissions import PROVISION, Subscriber
from klankbord_runtime.provision import apply_consumer, subscriber_config
from klankbord_standalone import standalone
from klankbord_standalone.child import free_port
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.home import Home, Running
from klankbord_standalone.postgres_server import PostgresServer
from klankbord_standalone.sender import Sender, make_secret
from klankbord_standalone.servers import Installation, Servers
from klankbord_standalone.services import SERVICES, ServiceProcess
from klankbord_standalone.standalone import Standalone
from klankbord_standalone.status import Status, read_status

BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)
SETTLE_PATIENCE = 180.0

CONFIG: dict[str, Any] = {
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
    def servers(self) -> Servers:
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

    async def messages(self, stream: str) -> list[Msg]:
        """Every message that a stream keeps, in its order."""
        async with self.everything.installation.client("operator") as client:
            subscription = await client.jetstream().pull_subscribe(">", stream=stream)
            left = (await subscription.consumer_info()).num_pending or 0
            found: list[Msg] = []
            while len(found) < left:
                messages = await subscription.fetch(500, timeout=5)
                found += messages
                for message in messages:
                    await message.ack()
            return found

    async def events(self, stream: str) -> list[dict[str, Any]]:
        """Every event that a stream keeps."""
        return [json.loads(message.data) for message in await self.messages(stream)]

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
async def both_servers() -> AsyncIterator[Servers]:
    """NATS and PostgreSQL alone, with nothing in them; everything is gone afterwards."""
    # not pytest's tmp_path, which is private: PostgreSQL runs as another user when we are root
    folder = Path(tempfile.mkdtemp(prefix="klankbord-"))
    folder.chmod(0o755)
    servers = Servers(folder)
    try:
        async with servers:
            yield servers
    finally:
        servers.postgres.erase()
        shutil.rmtree(folder)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Start everything in a folder of its own; everything is gone afterwards."""
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(fresh_home(CONFIG))
        key = make_secret(home.secrets, "forum")
        everything = await stack.enter_async_context(standalone.start(home))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=20, trust_env=False))
        forum = Sender(http, everything.running.address("ingest"), "forum", key)
        yield Stage(home, everything, forum)


@dataclass(frozen=True)
class Build:
    """A checkout of Klankbord that is installed."""

    python: Path
    """The interpreter that it is installed for."""
    tests: Path
    """Its tests, to import from."""


TODAY = Build(Path(sys.executable), Path(__file__).parent)


class Understudy(ServiceProcess):
    """A service that is started through a program of the test's, with the test's folder to import
    from: `python <program> <service> <verb>`."""

    def __init__(
        self,
        name: str,
        environment: Mapping[str, str],
        log: Path,
        program: Sequence[str],
        build: Build = TODAY,
    ) -> None:
        super().__init__(name, free_port(), environment, log)
        self._program = list(program)
        self.become(build)

    def become(self, build: Build) -> None:
        """Be of that build from the next start on."""
        self._build = build
        self._environment = {**self._environment, "PYTHONPATH": str(build.tests)}

    def _command(self, verb: str) -> list[str]:
        return [str(self._build.python), *self._program, self.name, verb]

    async def let_go(self) -> None:
        """Start it no more when it ends."""
        assert self._keeper is not None
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)

    async def ended(self) -> int:
        """Wait until the process that runs now ends by itself: its exit status."""
        assert self._child is not None
        return await self._child.wait()


@dataclass
class Staged(Stage):
    """An installation whose servers and services are in the hands of the test."""

    key: bytes
    """What the forum signs with."""
    replicas: Sequence[Understudy]


@asynccontextmanager
async def staged(
    program: Sequence[str],
    *,
    replicas: int,
    prepare: Callable[[Installation], Awaitable[None]],
    subscribers: Sequence[Subscriber] = (),
    folder: Path | None = None,
    servers_in: Callable[[Path], Servers] = Servers,
    build: Build = TODAY,
) -> AsyncIterator[Staged]:
    """Start the servers and so many replicas of every service; everything is gone afterwards.

    Args:
        program: what Python runs for a service; its name and the verb follow.
        replicas: how many of each.
        prepare: done before the services start, and after their tables are made.
        subscribers: third parties that are let in, each with a durable consumer.
        folder: where to keep everything; none makes one.
        servers_in: NATS and PostgreSQL for the data folder that it is given.
        build: of which build the services are.
    """
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(fresh_home(CONFIG, folder))
        key = make_secret(home.secrets, "forum")
        credentials = Credentials.create(home.data / "credentials")
        for subscriber in subscribers:
            credentials.add_subscriber(subscriber)
        servers = await stack.enter_async_context(servers_in(home.data))
        installation = servers.installation
        async with installation.client(PROVISION) as client:
            for subscriber in subscribers:
                await apply_consumer(client, subscriber.stream, subscriber_config(subscriber))
        processes = [
            Understudy(
                name,
                standalone.environment(home, installation, name),
                home.logs / f"{name}-{number}.log",
                program,
                build,
            )
            for number in range(1, replicas + 1)
            for name in SERVICES
        ]
        for process in processes[: len(SERVICES)]:
            await process.migrate()
        await prepare(installation)
        for process in processes:
            stack.push_async_callback(process.stop)
            await process.start()
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=20, trust_env=False))
        for process in processes:
            await process.ready(http)
        ports = {p.name: p.port for p in reversed(processes)}
        running = Running(
            pid=os.getpid(),
            nats_url=installation.nats_url,
            admin_url=installation.admin_url,
            credentials=str(installation.credentials.folder),
            ports=ports,
        )
        everything = standalone.Standalone(running, installation, processes, servers)
        forum = Sender(http, processes[0].address, "forum", key)
        yield Staged(home, everything, forum, key, processes)


@asynccontextmanager
async def fresh_home(config: dict[str, Any], parent: Path | None = None) -> AsyncIterator[Home]:
    """The folders of an installation with this klankbord.yaml; everything is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="klankbord-", dir=parent))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    home = Home.at(folder / "data", folder / "config")
    home.prepare()
    # YAML 1.2 contains JSON
    (home.config / "klankbord.yaml").write_text(json.dumps(config), encoding="utf-8")
    try:
        yield home
    finally:
        PostgresServer(home.data / "postgres", "").erase()
        shutil.rmtree(folder)
