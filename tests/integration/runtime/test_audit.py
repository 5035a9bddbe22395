"""The audit log in a real PostgreSQL: who may append, that nobody may do more, what is in it."""

import asyncio

import asyncpg
import pytest
from trust.audit import audit
from world import Migrated

from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.audit import NoAuditError, append, problems
from klankbord_runtime.db import Database
from klankbord_schemas.topology import SERVICES
from klankbord_standalone.servers import Installation

SERVICE_NAMES = [service.name for service in SERVICES]


async def test_one_changed_byte_is_found_in_every_column(installation: Installation) -> None:
    assert await audit(installation.admin_url) == 1


async def test_what_the_database_computes_is_what_is_checked_also_with_many_at_once(
    installation: Installation,
) -> None:
    async def act(service: str) -> None:
        connection = await asyncpg.connect(installation.postgres_url(service))
        try:
            for number in range(10):
                await append(connection, "thing.done", number=number, text='ü, "quoted"\n 👍')
        finally:
            await connection.close()

    await asyncio.gather(*(act(name) for name in SERVICE_NAMES))
    entries = await installation.audit_log()
    assert list(problems(entries, entries[-1].hash)) == []
    done = [entry.role for entry in entries if entry.act == "thing.done"]
    assert sorted(done) == sorted(f"klankbord_{name}" for name in SERVICE_NAMES for _ in range(10))


@pytest.mark.parametrize("name", [*SERVICE_NAMES, "reader"])
async def test_a_role_appends_and_changes_nothing(installation: Installation, name: str) -> None:
    connection = await asyncpg.connect(installation.postgres_url(name))
    try:
        for denied in (
            "insert into audit.entry values (99, now(), 'me', 'a.b', '{}', '', '')",
            "update audit.entry set act = 'a.b'",
            "delete from audit.entry",
            "truncate audit.entry",
            "alter table audit.entry disable trigger entry_stays",
            "drop function audit.append",
            "create or replace function audit.refuse() returns trigger language sql as ''",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(denied)
        if name == "reader":
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await append(connection, "thing.done")
        else:
            assert len(await append(connection, "thing.done")) == 64
    finally:
        await connection.close()


@pytest.mark.parametrize("change", ["update audit.entry set act = 'a.b'", "delete from audit.entry",
                                    "truncate audit.entry"])  # fmt: skip
async def test_not_even_its_owner_changes_an_entry_by_mistake(
    installation: Installation, change: str
) -> None:
    connection = await asyncpg.connect(installation.admin_url)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only ever appended to"):
            await connection.execute(change)
    finally:
        await connection.close()


async def test_an_act_that_rolls_back_was_none(installation: Installation) -> None:
    connection = await asyncpg.connect(installation.postgres_url("ingest"))
    before = len(await installation.audit_log())
    try:
        transaction = connection.transaction()
        await transaction.start()
        await append(connection, "thing.done")
        await transaction.rollback()
    finally:
        await connection.close()
    assert len(await installation.audit_log()) == before


async def test_whoever_is_named_is_written_down_as_a_digest(installation: Installation) -> None:
    them = "p-" + "1" * 32
    await installation.note("subscriber.added", subjects=[f"klankbord.member.seen.v1.acme.{them}"])
    (entry,) = await installation.audit_log(last=1)
    assert them not in entry.details
    assert "klankbord.member.seen.v1.acme.sha256:" in entry.details


async def test_what_comes_into_force_is_written_down(
    installation: Installation, migrated: Migrated
) -> None:
    database = Database(await migrated("moderation"), "moderation")
    await database.connect()
    try:
        async with database.transaction() as connection:
            digest = await AcceptedFile("policy", bytes.decode).apply(connection, b"a: 1")
    finally:
        await database.close()
    entries = await installation.audit_log()
    (applied,) = [entry for entry in entries if entry.act == "file.applied"]
    assert applied.role == "klankbord_moderation"
    assert applied.as_json()["details"] == {"file": "policy", "digest": digest}
    acts = {entry.act for entry in entries}
    assert acts == {
        "database.provisioned", "bus.provisioned", "migration.applied", "file.applied"
    }  # fmt: skip


async def test_a_database_without_the_log_says_what_to_do(installation: Installation) -> None:
    connection = await asyncpg.connect(installation.admin_url)
    try:
        await connection.execute("drop schema audit cascade")
        with pytest.raises(NoAuditError, match="run `klankbord provision` first"):
            await append(connection, "thing.done")
    finally:
        await connection.close()
