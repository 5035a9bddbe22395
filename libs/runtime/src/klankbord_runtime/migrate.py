"""Migrations: numbered SQL files, forward only, each applied once and never changed after.

A service's schema is made by two packages: the runtime's tables (inbox, outbox) and its own.
Migrations only expand, so that the build of yesterday runs on the schema of today
(docs/adr/0004): a build starts when everything it needs is applied, and tolerates more.
"""

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from klankbord_runtime import audit
from klankbord_runtime.db import Connection
from klankbord_runtime.faults import TRANSIENT

log = logging.getLogger(__name__)

RUNTIME = "klankbord_runtime"
LOCK_TIMEOUT = "5s"
UNFINISHED_RESTORE = "unfinished_restore"
"""A table that is in a schema while `klankbord restore` puts the streams back that belong to it."""


@dataclass(frozen=True)
class Migration:
    """One file: which package it belongs to, its name `0001_what_it_does`, its SQL."""

    package: str
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL, in hexadecimal: an applied file must not change."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


class MigrationChangedError(RuntimeError):
    """A migration that was applied is another one today."""


class SchemaBehindError(RuntimeError):
    """The database lacks migrations that this build needs, or the streams that belong to it."""


def migrations(package: str) -> list[Migration]:
    """The runtime's migrations and the package's own, in the order in which they are applied."""
    found: list[Migration] = []
    for owner in (RUNTIME, package):
        folder = files(owner).joinpath("sql", "migrations")
        names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
        found += [
            Migration(owner, name.removesuffix(".sql"), folder.joinpath(name).read_text("utf-8"))
            for name in names
        ]
    return found


async def migrate(url: str, package: str, schema: str) -> list[str]:
    """Apply what is missing, one transaction a file, and say what was applied.

    Several replicas may call this at once: an advisory lock lets one work and the others wait.

    Raises:
        MigrationChangedError: an applied file has other content today.
        NoAuditError: the database was not provisioned by this build.
        asyncpg.PostgresError: a file failed; it was rolled back and those before it stand.
    """
    connection = await asyncpg.connect(url, timeout=10, server_settings={"search_path": schema})
    try:
        await connection.execute("select pg_advisory_lock(hashtext($1))", f"migrate {schema}")
        await connection.execute(
            "create table if not exists migration (package text, name text, checksum text not null,"
            " applied timestamptz not null default now(), primary key (package, name))"
        )
        missing = await _missing(connection, package)
        for migration in missing:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
                await connection.execute(migration.sql)
                await connection.execute(
                    "insert into migration (package, name, checksum) values ($1, $2, $3)",
                    migration.package,
                    migration.name,
                    migration.checksum,
                )
                await audit.append(
                    connection,
                    "migration.applied",
                    migration=f"{migration.package}/{migration.name}",
                    checksum=migration.checksum,
                )
        return [f"{migration.package}/{migration.name}" for migration in missing]
    finally:
        await connection.close()


async def check(connection: Connection, package: str) -> None:
    """Make sure that the schema is current.

    Raises:
        SchemaBehindError: migrations are missing, or a restore is not done; says which, and the
            command to give.
        MigrationChangedError: an applied file has other content today.
    """
    if await connection.fetchval("select to_regclass($1) is not null", UNFINISHED_RESTORE):
        raise SchemaBehindError(
            "`klankbord restore` puts this installation back, or was interrupted at that: let it "
            "come to its end, or give it again with --replace"
        )
    if not await connection.fetchval("select to_regclass('migration') is not null"):
        missing = migrations(package)
    else:
        missing = await _missing(connection, package)
    if missing:
        names = ", ".join(migration.name for migration in missing)
        command = package.replace("_", "-")
        raise SchemaBehindError(
            f"the database lacks {len(missing)} migrations ({names}): run `{command} migrate` first"
        )


async def wait(url: str, package: str, schema: str, seconds: float = 2.0) -> None:
    """Return when the database is there and its schema is current; nothing is applied.

    For a build that is started together with the job that migrates.

    Args:
        url: of the database, as the service's own role.
        package: the service's package.
        schema: the service's schema.
        seconds: between two looks.

    Raises:
        MigrationChangedError: an applied file has other content today.
    """
    told = ""
    while True:
        reason = await _why_not(url, package, schema)
        if reason is None:
            return
        if reason != told:
            log.info("waiting: %s", reason)
            told = reason
        await asyncio.sleep(seconds)


async def _why_not(url: str, package: str, schema: str) -> str | None:
    try:
        connection = await asyncpg.connect(url, timeout=10, server_settings={"search_path": schema})
        try:
            await check(connection, package)
        finally:
            await connection.close()
    except SchemaBehindError as error:
        return str(error)
    except (*TRANSIENT, asyncpg.InvalidAuthorizationSpecificationError) as error:
        # a role that is not made yet is refused as one with a wrong password is
        return f"{type(error).__name__}: {error}"
    return None


async def _missing(connection: Connection, package: str) -> list[Migration]:
    rows = await connection.fetch("select package, name, checksum from migration")
    applied = {(row["package"], row["name"]): row["checksum"] for row in rows}
    missing: list[Migration] = []
    for migration in migrations(package):
        checksum = applied.get((migration.package, migration.name))
        if checksum is None:
            missing.append(migration)
        elif checksum != migration.checksum:
            raise MigrationChangedError(
                f"{migration.package}/{migration.name}.sql was changed after it was applied: "
                "restore the file, and put the change into a new migration"
            )
    return missing
