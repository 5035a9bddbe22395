"""PostgreSQL: one pool per service, SQL kept in files, one transaction at a time.

`search_path` is the service's own schema, so that no SQL names a schema and none can reach
another service's tables.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from klankbord_runtime.faults import is_of_database

Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"

CONNECT_TIMEOUT = 3.0
COMMAND_TIMEOUT = 10.0
IDLE_TIMEOUT = 300.0
"""Seconds after which a connection that nobody uses is closed. A new one costs both sides some
20 ms of processor time, so load that comes and goes must not make them anew each minute."""
SESSION = {
    "statement_timeout": "10000",
    "idle_in_transaction_session_timeout": "30000",
    "timezone": "UTC",
    "jit": "off",  # compiling one of these short statements cost 430 ms, running it a few
}


class Queries(Mapping[str, str]):
    """The SQL of a package, by name: `queries.fetch_case`."""

    def __init__(self, statements: Mapping[str, str]) -> None:
        self._statements = dict(statements)

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"no block `-- name: {name}` in the package's sql files") from None

    def __getitem__(self, name: str) -> str:
        return self._statements[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)


def load_queries(package: str) -> Queries:
    """Read the blocks that begin with `-- name: …` from the package's `sql/*.sql`.

    Raises:
        ValueError: two blocks have one name.
    """
    statements: dict[str, str] = {}
    for file in sorted(files(package).joinpath("sql").iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        _, *blocks = re.split(r"^-- name: *(\w+) *$", file.read_text("utf-8"), flags=re.MULTILINE)
        for name, statement in zip(blocks[::2], blocks[1::2], strict=True):
            if name in statements:
                raise ValueError(f"{package}: two SQL blocks are named {name}; rename one")
            statements[name] = statement.strip()
    return Queries(statements)


_queries = load_queries("klankbord_runtime")


class Database:
    """A pool of connections to one service's schema. It heals by itself after an outage."""

    def __init__(
        self,
        url: str | Callable[[], str],
        schema: str,
        pool_size: int = 8,
        on_fault: Callable[[], None] = lambda: None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: the server, the database, and the role to be; or what gives it: asked for each new
                connection, so that a password may change while this runs.
            schema: the service's own.
            pool_size: the most connections at once.
            on_fault: told of each transient fault of the database that a caller gets.
        """
        self._url = url
        self._schema = schema
        self._pool_size = pool_size
        self._on_fault = on_fault
        self._pool: asyncpg.Pool[Any] | None = None

    async def connect(self) -> None:
        """Open the pool.

        Raises:
            OSError, asyncpg.PostgresError: the database is not there, or refuses.
        """
        self._pool = await asyncpg.create_pool(
            connect=self._connect,
            min_size=1,
            max_size=self._pool_size,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            max_inactive_connection_lifetime=IDLE_TIMEOUT,
            init=_make_ready,
            reset=_keep_session,
            server_settings={
                **SESSION,
                "search_path": self._schema,
                "application_name": f"klankbord-{self._schema}",
            },
        )

    async def _connect(self, *_: object, **options: Any) -> "asyncpg.Connection[Any]":
        url = self._url if isinstance(self._url, str) else self._url()
        return await asyncpg.connect(url, **options)

    async def close(self) -> None:
        """Give every connection back and close the pool."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside any transaction.

        Raises:
            ConnectionResetError: the connection was lost under way. asyncpg says so with the same
                InterfaceError as for a wrong argument, and only one of the two is worth a retry.
        """
        if self._pool is None:
            raise RuntimeError("the database is not connected: await Database.connect() first")
        try:
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT + COMMAND_TIMEOUT) as connection:
                try:
                    yield connection
                except asyncpg.InterfaceError as error:
                    # a wrong argument is a ValueError too; all else is a connection that is gone,
                    # which the pool's proxy cannot even be asked about any more
                    if isinstance(error, ValueError) or "server expects" in str(error):
                        raise
                    raise ConnectionResetError(str(error)) from error
        except Exception as error:
            if is_of_database(error):
                self._on_fault()
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction, committed on the way out and rolled back on an error."""
        async with self.connection() as connection, connection.transaction():
            yield connection


async def _make_ready(connection: Connection) -> None:
    await _speak_json(connection)
    await connection.prepare(_queries.name_array_types)


async def _speak_json(connection: Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )


async def _keep_session(_connection: Connection) -> None:
    """Sessions carry no state between uses; a reset would cost a round trip each time."""
