"""`klankbord restore`: make an installation what a backup holds.

1. Everything is checked, and nothing is changed before.
2. The database is loaded in one transaction. Who was erased in what it replaces stays refused.
3. The streams are put back, and each consumer behind what it had acknowledged.
4. What the database knows to be said and the streams do not have is published.

Meanwhile no service starts: from 2 on a table in each schema says so (`migrate.check`). Then it
runs as if it had stopped at the moment of the backup.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from klankbord_runtime import audit
from klankbord_runtime.bus import publish
from klankbord_runtime.migrate import UNFINISHED_RESTORE
from klankbord_runtime.permissions import PROVISION
from klankbord_runtime.provision import apply
from klankbord_runtime.relay import by_stream
from klankbord_schemas.topology import CONSUMERS, SERVICES, STREAMS, Stream
from klankbord_standalone.backup import (
    SCHEMAS,
    Connection,
    Say,
    copy_private,
    count_rows,
    files_of,
    made_schemas,
)
from klankbord_standalone.dump import load, programs
from klankbord_standalone.explained import ExplainedError, UsageError
from klankbord_standalone.home import Home
from klankbord_standalone.manifest import (
    CONFIG,
    CREDENTIALS,
    DUMP,
    SECRETS,
    BackupRefusedError,
    Manifest,
    digest_of_key,
)
from klankbord_standalone.manifest import STREAMS as STREAMS_FOLDER
from klankbord_standalone.servers import CONNECT_TIMEOUT, Installation
from klankbord_standalone.snapshot import (
    ANSWER_PATIENCE,
    is_empty,
    put_back,
    put_consumers_back,
    remove,
    server_version,
)

KEEPS_ITSELF = ("migration", "accepted_file")
"""Tables that say nothing of a community: they have rows in an installation that is empty."""
SETS_CONSUMERS_BACK = (2, 14)
"""The first version of nats-server that can let a consumer go on elsewhere."""
LAST_BROUGHT = "provision.nk"
"""The credential that every installation has, and that is brought when all others are there."""
ERASING = timedelta(hours=1)
"""How long an erasure may take, from its note in the database until the streams have nothing."""
BATCH = 1000
IDLE = timedelta(minutes=5).total_seconds()
"""Seconds after which nats-server forgets a consumer that nobody asks."""


@dataclass
class Restored:
    """What came of it."""

    manifest: Manifest
    published: int = 0
    """Events that were said, and that the streams did not have."""
    lost: list[audit.Entry] = field(default_factory=list)
    """What administrators did after the backup, as far as what was replaced knew it."""
    erased_later: list[tuple[str, str, datetime]] = field(default_factory=list)
    """Community, digest and moment of each member who was erased after the streams were copied, or
    so shortly before that the copies may have what the member wrote."""
    head: str = ""
    """The hash that vouches for the audit log now."""


async def restore(
    installation: Installation,
    manifest: Manifest,
    folder: Path,
    say: Say,
    *,
    replicas: int,
    streams: Sequence[Stream],
) -> Restored:
    """Make the installation what the backup holds. `may_be_replaced` was asked before.

    Args:
        installation: its servers run, and its services do not.
        manifest: of the backup; verified.
        folder: the backup.
        say: told what is being done.
        replicas: how many servers of the cluster keep each stream.
        streams: the topology's, each with how long and how much it is to keep.

    Raises:
        BackupRefusedError: it cannot be restored on these servers.
        DumpError: the database could not be loaded; it is as it was.
        ProvisionError: a stream could not be put back: restore again.
    """
    result = Restored(manifest)
    connection = await asyncpg.connect(installation.admin_url, timeout=CONNECT_TIMEOUT)
    try:
        server = connection.get_server_version().major
        await require_fit(connection, manifest)
        async with installation.client(PROVISION) as client:
            require_fit_bus(server_version(client), manifest)
        binaries = programs(max(server, manifest.postgres))
        result.lost = await _acts_since(connection, manifest)
        before, after = await _around(connection, manifest)
        say("loading the database")
        url = installation.admin_url
        await load(binaries, url, folder / DUMP, server, before, after)
        await _compare(connection, manifest)
        # who was erased before in what was replaced is noted there too by now
        result.erased_later = await _erased_since(connection, manifest.said_since - ERASING)
        async with installation.client(PROVISION) as client:
            for stream in STREAMS:
                await remove(client, stream.name)
            for copy in manifest.streams:
                say(f"putting stream {copy.name} back")
                await put_back(client, copy, folder / STREAMS_FOLDER / copy.name, replicas)
                await put_consumers_back(client, copy)
            await apply(client, replicas, streams)
            say("publishing what the streams do not have yet")
            result.published = await publish_missing(connection, client, manifest.said_since)
        await _forget_attempts(connection, manifest)
        await connection.execute(_of_each(manifest, "drop table {}"))
    finally:
        await connection.close()
    await installation.provision(
        replicas, streams
    )  # grants, and passwords, are those of this installation
    await installation.note(
        "backup.restored",
        as_of=manifest.as_of.isoformat(),
        audit_head=manifest.audit_head,
        published=result.published,
        acts_lost=len(result.lost),
    )
    result.head = await installation.audit_head()
    return result


async def require_replaceable(installation: Installation, *, replace: bool) -> None:
    """Make sure that nothing runs there, and that nothing is there unless it is to be replaced.

    Raises:
        UsageError: something is; says what to do.
    """
    connection = await asyncpg.connect(installation.admin_url, timeout=CONNECT_TIMEOUT)
    try:
        running = await connection.fetch(
            "select distinct application_name as name from pg_stat_activity"
            " where datname = current_database() and application_name = any ($1)",
            [f"klankbord-{service.name}" for service in SERVICES],
        )
        if running:
            names = ", ".join(row["name"].removeprefix("klankbord-") for row in running)
            raise UsageError(
                f"{names} still works with this database: stop the services (klankbord up: Ctrl-C; "
                "containers: docker compose stop; Kubernetes: scale to zero), then restore"
            )
        async with installation.client(PROVISION) as client:
            empty = await is_empty(client) and not await _has_rows(connection)
    finally:
        await connection.close()
    if not (empty or replace):
        raise UsageError(
            "there is an installation with data here, and a restore deletes all of it: back it up "
            "if you may want it, then give --replace"
        )


def require_stopped(home: Home) -> None:
    """Make sure that nothing runs in these folders.

    Raises:
        UsageError: it does; says how to stop it.
    """
    if (running := home.running()) is not None:
        raise UsageError(f"it runs here, as process {running.pid}: stop it first (Ctrl-C)")


def require_same_key(manifest: Manifest, installation: Installation) -> None:
    """Make sure that members will have the pseudonyms that they have in the backup.

    Raises:
        BackupRefusedError: the installation has another key; says where to put the right one.
    """
    file = installation.credentials.pseudonym_key_file
    if digest_of_key(file.read_bytes()) != manifest.pseudonym_key:
        raise BackupRefusedError(
            f"{file} is not the key that this backup's pseudonyms were made with, and with another "
            "every member becomes a stranger: put the right one there (from credentials/ of a "
            "backup --with-credentials, or from where you keep it), then restore"
        )


async def require_fit(connection: Connection, manifest: Manifest) -> None:
    """Make sure that this database can take the backup.

    Raises:
        BackupRefusedError: it cannot; says why.
    """
    server = connection.get_server_version().major
    if server < manifest.postgres:
        raise BackupRefusedError(
            f"this backup is of PostgreSQL {manifest.postgres}, and this server is {server}: "
            "restore it on the same or a newer one"
        )
    role = await connection.fetchval("select quote_ident(current_user)")
    if role != manifest.owner:
        raise BackupRefusedError(
            f"this backup's audit log belongs to the role {manifest.owner}, and you are {role}: "
            "restore as that role"
        )


def require_fit_bus(server: str, manifest: Manifest) -> None:
    """Make sure that this nats-server can take the backup.

    Args:
        server: its version.
        manifest: of the backup.

    Raises:
        BackupRefusedError: it is too old.
    """
    needed = max(SETS_CONSUMERS_BACK, _major_minor(manifest.nats))
    if _major_minor(server) < needed:
        raise BackupRefusedError(
            f"this backup is of nats-server {manifest.nats}, and this one is {server}: restoring "
            f"needs {'.'.join(map(str, needed))} or newer"
        )


def _major_minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


async def publish_missing(connection: Connection, client: Client, since: datetime) -> int:
    """Publish what the outboxes hold since then and the streams do not have; says how many.

    Raises:
        nats.errors.Error, TimeoutError: not all were stored; do it again, nothing doubles.
    """
    on_the_bus: set[UUID] = set()
    for stream in STREAMS:
        async for ids in _ids(client, stream.name, since):
            on_the_bus |= ids
    published = 0
    for service in await made_schemas(connection):
        async for rows in _said(connection, service, since):
            missing = [row for row in rows if row["id"] not in on_the_bus]
            for messages in by_stream(missing).values():
                await publish(client, messages)
                published += len(messages)
        # nobody says anything meanwhile: whatever was to be sent is on the bus now; were there
        # anything from before, by a clock that was far off, the relay would send it
        await connection.execute(
            f"delete from {service}.outbox_pending where recorded >= $1",  # noqa: S608
            since,
        )
    return published


async def _said(
    connection: Connection, service: str, since: datetime
) -> AsyncIterator[list[asyncpg.Record]]:
    """What a service said since then, in its order."""
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(
            f"select id, subject, body from {service}.outbox"  # noqa: S608
            " where recorded >= $1 order by batch, position",
            since,
        )
        while rows := await cursor.fetch(BATCH):
            yield rows


async def _ids(client: Client, stream: str, since: datetime) -> AsyncIterator[set[UUID]]:
    """The ids of the events that a stream took since then; no bodies are read."""
    config = ConsumerConfig(
        name=f"restore-{uuid4().hex}",
        deliver_policy=DeliverPolicy.BY_START_TIME,
        opt_start_time=since.isoformat(),  # type: ignore[arg-type]
        ack_policy=AckPolicy.NONE,
        headers_only=True,
        inactive_threshold=IDLE,
        mem_storage=True,
    )
    jetstream = client.jetstream()
    consumer = await jetstream.add_consumer(stream, config)
    # not the runtime's puller, which leaves headers unread
    reading = await jetstream.pull_subscribe_bind(consumer.name, stream)
    try:
        left = consumer.num_pending or 0
        while left:
            messages = await reading.fetch(BATCH, timeout=ANSWER_PATIENCE)
            left = messages[-1].metadata.num_pending
            told = ((message.headers or {}).get("Nats-Msg-Id", "") for message in messages)
            yield {UUID(one) for one in told if _is_id(one)}
    finally:
        await reading.unsubscribe()
        await jetstream.delete_consumer(stream, consumer.name)


def _is_id(told: str) -> bool:
    """Dead letters and replays have ids that are none of an event."""
    try:
        UUID(told)
    except ValueError:
        return False
    return True


async def _around(connection: Connection, manifest: Manifest) -> tuple[str, str]:
    """SQL before and after the load: what is there goes, and who was erased stays refused."""
    database = await connection.fetchval("select quote_ident(current_database())")
    before, after = [], []
    for service in await made_schemas(connection):
        if await connection.fetchval("select to_regclass($1) is not null", f"{service}.erased"):
            before.append(f"create temporary table erased_{service} as table {service}.erased")
            after.append(
                f"insert into {service}.erased (scope, person, erased)"  # noqa: S608
                f" select scope, person, erased from pg_temp.erased_{service}"
                " on conflict (scope, person) do nothing"
            )
    before.insert(0, "set client_min_messages = warning")  # what goes is told by nobody else
    before.append(f"drop schema if exists {', '.join(SCHEMAS)} cascade")
    for name in (service.name for service in SERVICES):
        # a role must be able to make the schema that it is given
        before.append(f"grant create on database {database} to klankbord_{name}")
        after.append(f"revoke create on database {database} from klankbord_{name}")
    after.append(_of_each(manifest, "create table if not exists {} ()"))
    return ";\n".join(before) + ";\n", ";\n".join(after) + ";\n"


def _of_each(manifest: Manifest, statement: str) -> str:
    """The statement for the mark of an unfinished restore in each schema of the backup."""
    names = [service.name for service in SERVICES if service.name in manifest.migrations]
    marks = (f"{name}.{UNFINISHED_RESTORE}" for name in names)
    return ";\n".join(statement.format(mark) for mark in marks)


async def _forget_attempts(connection: Connection, manifest: Manifest) -> None:
    """Forget attempts at places that the copied streams did not have: another event is there."""
    ends = {copy.name: copy.last_sequence for copy in manifest.streams}
    for consumer in CONSUMERS:
        if consumer.service in manifest.migrations and consumer.stream in ends:
            await connection.execute(
                f"delete from {consumer.service}.attempt"  # noqa: S608
                " where consumer = $1 and stream_sequence > $2",
                consumer.name,
                ends[consumer.stream],
            )


async def _compare(connection: Connection, manifest: Manifest) -> None:
    found = await count_rows(connection)
    for table, expected in manifest.rows.items():
        has = found.get(table, 0)
        # whoever was erased since the backup is refused still: that table may have grown
        if has < expected if table.endswith(".erased") else has != expected:
            raise ExplainedError(
                f"{table} has {has} rows and should have {expected}: the dump was "
                "loaded, and something else writes there. Stop it, and restore again"
            )


async def _acts_since(connection: Connection, manifest: Manifest) -> list[audit.Entry]:
    """What was done after the backup, as far as this database knows."""
    if not await connection.fetchval("select to_regclass('audit.entry') is not null"):
        return []
    entries = await audit.read(connection)
    hashes = [entry.hash for entry in entries]
    if manifest.audit_head not in hashes:
        return []  # the log of another installation, or of none
    return entries[hashes.index(manifest.audit_head) + 1 :]


async def _erased_since(
    connection: Connection, moment: datetime
) -> list[tuple[str, str, datetime]]:
    if "ingest" not in await made_schemas(connection):
        return []
    rows = await connection.fetch(
        "select scope, person, erased from ingest.erased where erased > $1 order by erased", moment
    )
    return [(row["scope"], row["person"], row["erased"]) for row in rows]


async def _has_rows(connection: Connection) -> bool:
    for table, rows in (await count_rows(connection)).items():
        schema, _, name = table.partition(".")
        if schema in {s.name for s in SERVICES} and name not in KEEPS_ITSELF and rows:
            return True
    return False


def bring_files(home: Home, folder: Path) -> None:
    """Put configuration, credentials and webhook secrets where a new installation looks for them.

    What is there already stays. Where an installation has its credentials, none are brought: one
    that is missing there may have been taken away since, such as a removed third party's.

    Raises:
        BackupRefusedError: there is no pseudonym key, neither there nor in the backup.
    """
    credentials = home.data / CREDENTIALS
    key = "pseudonym.key"
    if not (credentials / key).exists() and not (folder / CREDENTIALS / key).exists():
        raise BackupRefusedError(
            f"this backup was taken without credentials, and {credentials / key} is not there: put "
            "the key there that its pseudonyms were made with (mode 0600), then restore"
        )
    places = {CONFIG: home.config}
    if not (credentials / LAST_BROUGHT).exists():
        places |= {SECRETS: home.secrets, CREDENTIALS: credentials}
    for name, place in places.items():
        for file in sorted(files_of(folder / name), key=lambda file: file.name == LAST_BROUGHT):
            if not (place / file.name).exists():
                copy_private(file, place / file.name)


def forget_imports(home: Home) -> None:
    """Forget how far imports came: they would pass over rows that are not there any more."""
    for file in (home.data / "imports").glob("*.checkpoint"):
        file.unlink()


def as_json(result: Restored) -> dict[str, Any]:
    """For a script."""
    return {
        "as_of": result.manifest.as_of.isoformat(),
        "published": result.published,
        "acts_lost": [entry.as_json() for entry in result.lost],
        "erased_later": [
            {"community": community, "member_digest": digest, "erased": erased.isoformat()}
            for community, digest, erased in result.erased_later
        ],
        "audit_head": result.head,
    }
