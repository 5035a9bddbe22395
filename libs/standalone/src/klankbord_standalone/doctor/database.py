"""What PostgreSQL says: each service's schema asked as that service, the rest as who provisions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from klankbord_runtime import audit
from klankbord_runtime.db import Connection, load_queries
from klankbord_runtime.migrate import migrations
from klankbord_runtime.provision import READER
from klankbord_standalone.doctor.finding import Unknown, why
from klankbord_standalone.explained import ExplainedError
from klankbord_standalone.servers import Installation
from klankbord_standalone.services import SERVICES

queries = load_queries("klankbord_standalone")

PATIENCE = 5.0
LAST_ENTRIES = 1000
"""How much of the audit log's end is verified; `klankbord audit verify` verifies it whole."""


@dataclass(frozen=True)
class Feed:
    """How a source that is fetched is doing."""

    source: str
    healthy: bool


@dataclass(frozen=True)
class SchemaFacts:
    """One service's schema."""

    missing: list[str]
    """Migrations that this build needs and that were not applied."""
    changed: list[str]
    """Migrations that were applied and are others in this build."""
    newer: list[str]
    """Migrations that were applied and that this build does not know."""
    pending: int
    """Events that wait to be published."""
    age: timedelta
    """How long the oldest of them has waited."""
    outbox_bytes: int
    accepted: dict[str, tuple[str, bytes]]
    """The digest and the bytes of each file in force, by its name."""
    feeds: list[Feed]


@dataclass(frozen=True)
class DatabaseFacts:
    """PostgreSQL."""

    version: str
    major: int
    ahead: timedelta
    """How far its clock is ahead of this machine's."""
    durable: dict[str, str]
    """The settings by which a commit is on the disk, by name."""
    missing_roles: list[str]
    lacking: list[str]
    """What a role may not do and must, in words."""
    excess: list[str]
    """What a role can reach and should not, in words."""
    schemas: dict[str, SchemaFacts | Unknown]
    """By service."""
    audit: list[audit.Entry] | Unknown
    """The last entries, and the one before them."""


async def gather(installation: Installation) -> DatabaseFacts:
    """Ask PostgreSQL.

    Raises:
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: it is not there, or does not let us
            in.
    """
    wanted = [f"klankbord_{name}" for name in (*SERVICES, READER)]
    async with _connected(installation.admin_url) as connection:
        begun = datetime.now(UTC)
        server = await connection.fetchrow(queries.doctor_server)
        assert server is not None
        middle = begun + (datetime.now(UTC) - begun) / 2
        roles = {row["role"] for row in await connection.fetch(queries.doctor_roles)}
        return DatabaseFacts(
            version=server["version"],
            major=server["major"],
            ahead=server["now"] - middle,
            durable={
                name: server[name] for name in ("fsync", "synchronous_commit", "full_page_writes")
            },
            missing_roles=[role for role in wanted if role not in roles],
            lacking=await _lacking(connection, roles),
            excess=[
                row["excess"]
                for row in await connection.fetch(
                    queries.doctor_excess, sorted(roles & set(wanted)), list(SERVICES)
                )
            ],
            schemas={name: await _schema(installation, name) for name in SERVICES},
            audit=await _audit(installation),
        )


async def _lacking(connection: Connection, roles: set[str]) -> list[str]:
    found: list[str] = []
    for service in SERVICES:
        if (role := f"klankbord_{service}") in roles:
            rows = await connection.fetch(queries.doctor_lacking, role, service)
            found += [row["lacking"] for row in rows]
    if f"klankbord_{READER}" in roles:
        rows = await connection.fetch(queries.doctor_reader_lacking, list(SERVICES))
        found += [row["lacking"] for row in rows]
    return found


async def _schema(installation: Installation, service: str) -> SchemaFacts | Unknown:
    try:
        async with _connected(installation.postgres_url(service)) as connection:
            return await _looked_into(connection, service)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ExplainedError) as error:
        return Unknown(why(error))


async def _looked_into(connection: Connection, service: str) -> SchemaFacts:
    needed = migrations(f"klankbord_{service}")
    if not await connection.fetchval(queries.doctor_is_migrated):
        names = [migration.name for migration in needed]
        return SchemaFacts(names, [], [], 0, timedelta(), 0, {}, [])
    applied = {
        (row["package"], row["name"]): row["checksum"]
        for row in await connection.fetch(queries.doctor_migrations)
    }
    known = {(migration.package, migration.name): migration.checksum for migration in needed}
    outbox = await connection.fetchrow(queries.doctor_outbox)
    assert outbox is not None
    return SchemaFacts(
        missing=[name for package, name in known if (package, name) not in applied],
        changed=[
            name
            for (package, name), checksum in known.items()
            if applied.get((package, name), checksum) != checksum
        ],
        newer=[name for package, name in applied if (package, name) not in known],
        pending=outbox["pending"],
        age=outbox["age"],
        outbox_bytes=outbox["bytes"],
        accepted={
            row["name"]: (row["digest"], row["body"])
            for row in await connection.fetch(queries.doctor_accepted)
        },
        feeds=await _feeds(connection) if service == "ingest" else [],
    )


async def _feeds(connection: Connection) -> list[Feed]:
    rows = await connection.fetch(queries.doctor_feeds)
    return [Feed(row["source"], row["healthy"]) for row in rows]


async def _audit(installation: Installation) -> list[audit.Entry] | Unknown:
    try:
        return await installation.audit_log(LAST_ENTRIES + 1)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ExplainedError) as error:
        return Unknown(why(error))


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url, timeout=PATIENCE, command_timeout=PATIENCE)
    try:
        yield connection
    finally:
        await connection.close()
