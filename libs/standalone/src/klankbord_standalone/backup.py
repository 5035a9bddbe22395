"""`klankbord backup`: PostgreSQL and the streams, while everything runs.

The order makes one moment of them (docs/operations.md):

1. what every service has still to say, and how far every consumer is, is written down;
2. the streams are copied, DEAD first;
3. the database is dumped. What was committed by then is in the backup.

So a consumer stands nowhere beyond what the database knows to be handled, and what the database
knows to be said and the streams do not have yet stands in its outbox. A dead letter that is made
meanwhile is made again, since its event is behind the consumer's place; one that is replayed
meanwhile is there, and in the inbox.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
from nats.aio.client import Client

from klankbord_runtime import audit
from klankbord_runtime.permissions import DEAD, PROVISION
from klankbord_schemas.topology import SERVICES, STREAMS
from klankbord_standalone.dump import dump, programs
from klankbord_standalone.explained import UsageError
from klankbord_standalone.home import CONFIGS, Home
from klankbord_standalone.manifest import (
    CONFIG,
    CREDENTIALS,
    DUMP,
    SECRETS,
    Manifest,
    build_version,
    digest_of_key,
    sha256_of,
)
from klankbord_standalone.manifest import FILE as MANIFEST
from klankbord_standalone.manifest import STREAMS as STREAMS_FOLDER
from klankbord_standalone.retention import NAME as RETENTION
from klankbord_standalone.servers import CONNECT_TIMEOUT, Installation
from klankbord_standalone.snapshot import StreamCopy, durables, server_version, take

AUDIT = "audit"
SCHEMAS = (*(service.name for service in SERVICES), AUDIT)
CLOCKS = timedelta(minutes=5)
"""How far the clocks of services, PostgreSQL and NATS may be apart."""
NOT_INCLUDED = (
    "the pseudonym key and the other credentials: without that key every member becomes a stranger "
    "(--with-credentials copies them)"
)

Say = Callable[[str], None]
Connection: TypeAlias = "asyncpg.Connection[Any]"


@dataclass(frozen=True)
class Source:
    """What is to be backed up."""

    installation: Installation
    home: Home


async def back_up(source: Source, folder: Path, say: Say, *, with_credentials: bool) -> Manifest:
    """Write a backup; the folder is one when this comes back, and none before.

    Args:
        source: what of.
        folder: where to; made, or empty.
        say: told what is being done.
        with_credentials: whether keys, passwords and webhook secrets go with it.

    Raises:
        UsageError: the folder holds something.
        DumpError: PostgreSQL's programs are missing, or failed.
        ProvisionError: nats-server does not give a stream.
        asyncpg.PostgresError, OSError: a server, or the disk, does not do its part.
    """
    make_room(folder)
    await source.installation.note("backup.taken", with_credentials=with_credentials)
    connection = await asyncpg.connect(source.installation.admin_url, timeout=CONNECT_TIMEOUT)
    try:
        binaries = programs(connection.get_server_version().major)
        since = await said_since(connection)
        async with source.installation.client(PROVISION) as client:
            nats = server_version(client)
            streams, files = await _copy_streams(client, folder, say)
        say("dumping the database")
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            snapshot = await connection.fetchval("select pg_export_snapshot()")
            manifest = Manifest(
                klankbord=build_version(),
                nats=nats,
                postgres=connection.get_server_version().major,
                owner=await _owner(connection),
                as_of=await connection.fetchval("select clock_timestamp()"),
                said_since=since,
                pseudonym_key=digest_of_key(
                    source.installation.credentials.pseudonym_key_file.read_bytes()
                ),
                audit_head=await _head(connection),
                migrations=await applied_migrations(connection),
                rows=await count_rows(connection),
                streams=streams,
                files={},
            )
            url = source.installation.admin_url
            await dump(binaries, url, SCHEMAS, snapshot, folder / DUMP)
    finally:
        await connection.close()
    files[DUMP] = await asyncio.to_thread(sha256_of, folder / DUMP)
    files |= await asyncio.to_thread(_copy_files, source, folder, with_credentials=with_credentials)
    await asyncio.to_thread(_to_disk, folder, files)
    manifest = manifest.model_copy(update={"files": files})
    manifest.write(folder)
    await asyncio.to_thread(_to_disk, folder, [MANIFEST])
    return manifest


def make_room(folder: Path) -> None:
    """Make the folder, readable by this user only.

    Raises:
        UsageError: it holds something.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty: a backup goes into a folder of its own")
    (folder / STREAMS_FOLDER).mkdir(mode=0o700)


async def said_since(connection: Connection) -> datetime:
    """From when on something that was said may not be on the bus yet.

    An event has the time at which its transaction began, so the oldest one that runs counts too.
    """
    moments: list[datetime] = [
        await connection.fetchval(
            "select coalesce(min(xact_start), now()) from pg_stat_activity"
            " where datname = current_database() and backend_type = 'client backend'"
        )
    ]
    for service in await made_schemas(connection):
        oldest = await connection.fetchval(f"select min(recorded) from {service}.outbox_pending")  # noqa: S608
        moments += [oldest] if oldest is not None else []
    return min(moments) - CLOCKS


async def made_schemas(connection: Connection) -> list[str]:
    """The services whose tables are there."""
    rows = await connection.fetch(
        "select nspname from pg_namespace where nspname = any ($1)"
        " and to_regclass(nspname || '.migration') is not null"
        " and to_regclass(nspname || '.outbox_pending') is not null",
        [service.name for service in SERVICES],
    )
    found = {row["nspname"] for row in rows}
    return [service.name for service in SERVICES if service.name in found]


async def applied_migrations(connection: Connection) -> dict[str, dict[str, str]]:
    """By service, the checksum of each migration that was applied, by its name."""
    found: dict[str, dict[str, str]] = {}
    for service in await made_schemas(connection):
        rows = await connection.fetch(f"select package, name, checksum from {service}.migration")  # noqa: S608
        found[service] = {f"{row['package']}/{row['name']}": row["checksum"] for row in rows}
    return found


async def count_rows(connection: Connection) -> dict[str, int]:
    """How many rows each table has, by its name."""
    tables = await connection.fetch(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables t"
        " join pg_class c on c.oid = format('%I.%I', schemaname, tablename)::regclass"
        " where schemaname = any ($1) and not c.relispartition order by 1",
        list(SCHEMAS),
    )
    return {
        row["name"]: await connection.fetchval(f"select count(*) from {row['name']}")  # noqa: S608
        for row in tables
    }


async def _copy_streams(
    client: Client, folder: Path, say: Say
) -> tuple[list[StreamCopy], dict[str, str]]:
    names = sorted((stream.name for stream in STREAMS), key=lambda name: name != DEAD)
    places = {name: await durables(client, name) for name in names}
    copies, files = [], {}
    for name in names:
        say(f"copying stream {name}")
        file = f"{STREAMS_FOLDER}/{name}"
        copy, files[file] = await take(client, name, places[name], folder / file)
        copies.append(copy)
    return copies, files


def _copy_files(source: Source, folder: Path, *, with_credentials: bool) -> dict[str, str]:
    """Copy what lies in files; gives the SHA-256 of each, by its path in the folder."""
    names = (*CONFIGS, RETENTION)
    wanted = {f"{CONFIG}/{name}": source.home.config / name for name in names}
    if with_credentials:
        for name, place in {
            CREDENTIALS: source.installation.credentials.folder,
            SECRETS: source.home.secrets,
        }.items():
            wanted |= {f"{name}/{file.name}": file for file in files_of(place)}
    digests = {}
    for name, file in wanted.items():
        if file.exists():
            copy_private(file, folder / name)
            digests[name] = sha256_of(folder / name)
    return digests


def files_of(folder: Path) -> list[Path]:
    """The files in a folder; none where there is no folder."""
    return sorted(file for file in folder.glob("*") if file.is_file())


def copy_private(file: Path, copy: Path) -> None:
    """Copy a file to where only this user may read it; the folder is made where it is missing."""
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with file.open("rb") as source, os.fdopen(descriptor, "wb") as output:
        shutil.copyfileobj(source, output)


def _to_disk(folder: Path, files: Iterable[str]) -> None:
    """A power cut after a backup was told to be there must not take it away."""
    written = [folder / file for file in files]
    for place in {folder, *written, *(file.parent for file in written)}:
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


async def _owner(connection: Connection) -> str:
    owner: str = await connection.fetchval(
        "select nspowner::regrole::text from pg_namespace where nspname = $1", AUDIT
    )
    return owner


async def _head(connection: Connection) -> str:
    entries = await audit.read(connection, last=1)
    return entries[0].hash if entries else audit.BEGINNING
