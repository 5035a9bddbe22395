"""An installation to measure: its servers, and each service as a process when it is wanted."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
import httpx
from bench.talk import COMMUNITY, SOURCE, policy
from nats.aio.client import Client
from stage import Understudy, fresh_home

from klankbord_runtime.bus import MAX_ATOMIC_BATCH, Message, publish
from klankbord_runtime.permissions import PROVISION
from klankbord_schemas import PostReceived
from klankbord_schemas.topology import CONSUMERS, STREAMS
from klankbord_standalone.child import free_port
from klankbord_standalone.home import Home
from klankbord_standalone.sender import make_secret
from klankbord_standalone.servers import Installation, Servers
from klankbord_standalone.services import SERVICES, ServiceProcess
from klankbord_standalone.standalone import embedded, environment

KEPT = ("migration", "accepted_file")
"""Tables that `empty` leaves as they are."""


@dataclass
class Ground:
    """Servers that run, a database with every table, and no service yet."""

    home: Home
    servers: Servers
    key: bytes
    """What the forum signs with."""
    bus: Client = field(repr=False)
    """A connection that may do everything."""
    database: "asyncpg.Connection[Any]" = field(repr=False)
    """The superuser's."""
    http: httpx.AsyncClient = field(repr=False)

    @property
    def installation(self) -> Installation:
        return self.servers.installation

    @asynccontextmanager
    async def running(
        self,
        *names: str,
        replicas: int = 1,
        ready: bool = True,
        told: Mapping[str, str] | None = None,
        program: Sequence[str] = (),
    ) -> AsyncIterator[list[ServiceProcess]]:
        """These services; they drain and end afterwards, the doors first.

        Args:
            names: which.
            replicas: how many processes of each.
            ready: whether to wait until they say that they are ready.
            told: environment variables beside the usual.
            program: what Python runs for a service, instead of the service as it is shipped.
        """
        processes = [
            self._process(name, free_port(), told or {}, program)
            for name in names
            for _ in range(replicas)
        ]
        async with AsyncExitStack() as stack:
            for process in reversed(processes):
                stack.push_async_callback(process.stop)
            for process in processes:
                await process.start()
            if ready:
                for process in processes:
                    await process.ready(self.http)
            yield processes

    @property
    def policy(self) -> Path:
        """The policy that moderation judges by from its next start on."""
        return self.home.config / "policy.yaml"

    async def fill(self, events: Iterable[PostReceived]) -> int:
        """Put posts on the bus as ingest would; gives how many."""
        filled, batch = 0, list[Message]()
        for event in events:
            batch.append(Message(event.id, event.bus_subject, event.to_json()))
            if len(batch) == MAX_ATOMIC_BATCH:
                await publish(self.bus, batch)
                filled, batch = filled + len(batch), []
        if batch:
            await publish(self.bus, batch)
        return filled + len(batch)

    async def empty(self, *, keep: Sequence[str] = ()) -> None:
        """Forget what was handled: tables are empty, and streams, but for those to keep.

        Streams are deleted, not purged: a purged one still refuses the ids that it has seen.
        """
        for stream in STREAMS:
            if stream.name not in keep:
                await self.bus.request(f"$JS.API.STREAM.DELETE.{stream.name}", timeout=10)
        for consumer in CONSUMERS:
            if consumer.stream in keep:
                subject = f"$JS.API.CONSUMER.DELETE.{consumer.stream}.{consumer.name}"
                await self.bus.request(subject, timeout=10)
        await self.installation.provision()
        rows = await self.database.fetch(
            "select format('%I.%I', schemaname, tablename) as name from pg_tables"
            " where schemaname = any ($1::text[]) and tablename <> all ($2::text[])",
            list(SERVICES),
            list(KEPT),
        )
        await self.database.execute(f"truncate {', '.join(row['name'] for row in rows)}")
        await self.database.execute("checkpoint")

    async def count(self, table: str, where: str = "true") -> int:
        """How many rows there are."""
        number: int = await self.database.fetchval(f"select count(*) from {table} where {where}")
        return number

    def _process(
        self,
        name: str,
        port: int,
        more: Mapping[str, str] = MappingProxyType({}),
        program: Sequence[str] = (),
    ) -> ServiceProcess:
        told = {**environment(self.home, self.installation, name), **more}
        log = self.home.logs / f"{name}.log"
        if program:
            return Understudy(name, told, log, program)
        return ServiceProcess(name, port, told, log)


@asynccontextmanager
async def ground(communities: Sequence[str] = (COMMUNITY,)) -> AsyncIterator[Ground]:
    """Start the servers in a folder of their own; everything is gone afterwards."""
    config = {
        "communities": [
            {"slug": slug, "name": slug, "time_zone": "Europe/Amsterdam", "languages": ["en"]}
            for slug in communities
        ],
        "sources": [{"name": SOURCE, "community": communities[0], "kind": "webhook"}],
    }
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(fresh_home(config))
        (home.config / "policy.yaml").write_bytes(policy(1_000))
        servers = await stack.enter_async_context(embedded(home))
        bus = await stack.enter_async_context(servers.installation.client(PROVISION))
        database = await asyncpg.connect(servers.installation.admin_url)
        stack.push_async_callback(database.close)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=5, trust_env=False))
        made = Ground(home, servers, make_secret(home.secrets, SOURCE), bus, database, http)
        async with asyncio.TaskGroup() as group:
            for name in SERVICES:
                group.create_task(made._process(name, 0).migrate())
        yield made
