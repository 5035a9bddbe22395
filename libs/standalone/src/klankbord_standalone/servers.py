"""The two servers that everything stands on, and how each service gets into them."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import nats
from nats.aio.client import Client

from klankbord_runtime import audit, wire
from klankbord_runtime.bus import reachable
from klankbord_runtime.permissions import PROVISION
from klankbord_runtime.provision import Change, apply, create_database, provision_database
from klankbord_schemas.topology import STREAMS, Stream, inbox_prefix
from klankbord_standalone.credentials import SUPERUSER, Credentials
from klankbord_standalone.nats_server import NatsServer
from klankbord_standalone.postgres_server import PostgresServer

log = logging.getLogger(__name__)

DATABASE = "klankbord"
CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True)
class Installation:
    """Where NATS and the database are, and with what keys and passwords to come in."""

    nats_url: str
    """The server, or those of a cluster, separated by commas."""
    admin_url: str = field(repr=False)
    """The database, as a role that may make roles and schemas."""
    credentials: Credentials

    def seed_file(self, name: str) -> Path:
        """The nkey seed of a service, of `provision` or of `operator`."""
        return self.credentials.seed_file(name)

    def postgres_url(self, name: str) -> str:
        """The database, as a service's own role or as `reader`."""
        return self.credentials.database_url(self.admin_url, name)

    def environment(self, service: str) -> dict[str, str]:
        """The variables that tell a service of them.

        The database's URI stands in a file, so that a running service learns of a new password;
        where no file can be written, as into a mounted secret, it is told the URI itself.
        """
        try:
            url_file = self.credentials.write_database_url(self.admin_url, service)
        except OSError:
            database = {"KLANKBORD_POSTGRES__URL": self.postgres_url(service)}
        else:
            database = {"KLANKBORD_POSTGRES__URL_FILE": str(url_file)}
        return {
            "KLANKBORD_NATS__URL": self.nats_url,
            "KLANKBORD_NATS__SEED_FILE": str(self.seed_file(service)),
            **database,
        }

    @asynccontextmanager
    async def client(
        self, user: str, *, reconnect: bool = False, seed: str | None = None
    ) -> AsyncIterator[Client]:
        """A connection to NATS as that user, for as long as this lasts.

        Args:
            user: a service, `provision`, `operator` or a subscriber.
            reconnect: connect again, however long the server is away.
            seed: another nkey seed than the one of today.

        Raises:
            nats.errors.Error, OSError: it is not there, or does not let this user in.
        """
        if not await reachable(self.nats_url):  # nats-py would try for ever
            raise ConnectionRefusedError(f"NATS does not answer at {self.nats_url}")

        async def on_lost() -> None:
            if seed is None:  # it may have been rotated since
                wire.show_key(client, self.seed_file(user))

        client = await nats.connect(
            self.nats_url.split(","),
            name=f"klankbord-{user}",
            nkeys_seed=None if seed else str(self.seed_file(user)),
            nkeys_seed_str=seed,
            inbox_prefix=inbox_prefix(user),
            allow_reconnect=reconnect,
            reconnect_time_wait=1,
            max_reconnect_attempts=-1,
            error_cb=_raised_anyway,
            disconnected_cb=on_lost if reconnect else None,
        )
        try:
            yield client
        finally:
            await client.close()

    async def provision(
        self, replicas: int = 1, streams: Sequence[Stream] = STREAMS, *, shrink: bool = False
    ) -> list[Change]:
        """Make streams, consumers, roles and schemas what they should be; says what was changed.

        Args:
            replicas: how many servers of the cluster keep each stream.
            streams: the topology's, each with how long and how much it is to keep.
            shrink: make a stream smaller even where events are lost by it.
        """
        changes = await provision_database(self.admin_url, self.credentials.database_passwords())
        async with self.client(PROVISION) as client:
            on_the_bus = await apply(client, replicas, streams, shrink=shrink)
        done = [str(change) for change in on_the_bus if change.kind != "kept"]
        if done:
            await self.note("bus.provisioned", changes=done)
        return changes + on_the_bus

    async def note(self, act: str, **details: object) -> None:
        """Write an act down in the audit log: before it is done, so that none goes unwritten.

        Raises:
            asyncpg.PostgresError, OSError: the database does not take it; do not act.
        """
        connection = await asyncpg.connect(self.admin_url, timeout=CONNECT_TIMEOUT)
        try:
            await audit.append(connection, act, **details)
        finally:
            await connection.close()

    async def audit_log(self, last: int | None = None) -> list[audit.Entry]:
        """The last entries of the audit log, or all, the oldest first."""
        connection = await asyncpg.connect(self.postgres_url("reader"), timeout=CONNECT_TIMEOUT)
        try:
            return await audit.read(connection, last)
        finally:
            await connection.close()

    async def audit_head(self) -> str:
        """The hash that vouches for the whole audit log, up to its last entry."""
        last = await self.audit_log(last=1)
        return last[0].hash if last else audit.BEGINNING


async def _raised_anyway(_error: Exception) -> None:
    """nats-py would print a traceback of what it raises to its caller too, or mends itself."""


class Servers:
    """A nats-server and a PostgreSQL in one data folder, provisioned: `async with Servers(folder)`.

    A second start on the same folder continues it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nats_port: int = 0,
        postgres_port: int = 0,
        postgres_settings: Mapping[str, str] | None = None,
        streams: Sequence[Stream] = STREAMS,
    ) -> None:
        """Makes the credentials where they are missing; nothing is started yet.

        Args:
            folder: holds `credentials`, `nats` and `postgres`.
            nats_port: for clients; 0 chooses a free one.
            postgres_port: likewise.
            postgres_settings: more of PostgreSQL's settings, by name.
            streams: the topology's, each with how long and how much it is to keep.
        """
        self._streams = streams
        self.credentials = Credentials.create(folder / "credentials")
        self.nats = NatsServer(folder / "nats", self.credentials.authorization(), port=nats_port)
        self.postgres = PostgresServer(
            folder / "postgres",
            self.credentials.password(SUPERUSER),
            port=postgres_port,
            settings=postgres_settings,
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def installation(self) -> Installation:
        """Where they are, once they are started."""
        server = urlsplit(self.postgres.url)
        return Installation(
            nats_url=self.nats.url,
            admin_url=urlunsplit(server._replace(path=f"/{DATABASE}")),
            credentials=self.credentials,
        )

    async def start(self) -> list[Change]:
        """Start both and provision them; says what had to be made or changed.

        Raises:
            ServerFailedError, ProvisionError: why it does not work; nothing is left running.
        """
        try:
            await self.nats.start()
            await self.postgres.start()
            await create_database(self.postgres.url, DATABASE)
            changes = await self.provision()
        except BaseException:
            await self.stop()
            raise
        for change in changes:
            if change.kind == "kept":
                log.warning("%s\n  `klankbord provision --shrink` does it all the same", change)
        return changes

    async def provision(self) -> list[Change]:
        """Make everything on them what it should be; says what had to be made or changed."""
        return await self.installation.provision(streams=self._streams)

    async def stop(self) -> None:
        """Stop both in order."""
        await self.nats.stop()
        await self.postgres.stop()
