"""A rotation that ends half-way leaves nobody with a key or a password that is not good."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from stage import both_servers

from klankbord_standalone import rotation
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.explained import UsageError
from klankbord_standalone.servers import Installation, Servers
from klankbord_standalone.standalone import _welcome


def nothing(_told: str) -> None:
    pass


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with both_servers() as started:
        welcoming = asyncio.create_task(_welcome(started, asyncio.Lock()))
        yield started
        welcoming.cancel()


async def test_what_the_database_did_not_learn_it_learns_when_the_rotation_is_finished(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation, names = servers.installation, ("ingest",)
    old = installation.postgres_url("ingest")

    async def away(*_: object) -> None:
        raise ConnectionRefusedError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(rotation, "provision_database", away)
        with pytest.raises(ConnectionRefusedError):
            await rotation.begin(installation, names, nothing)
    with pytest.raises(UsageError, match="give --finish first"):
        await rotation.begin(installation, names, nothing)

    await rotation.finish(installation, names, nothing)
    await (await asyncpg.connect(installation.postgres_url("ingest"))).close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(old)


async def test_a_finish_that_was_killed_is_made_good_by_the_next(tmp_path: Path) -> None:
    credentials = Credentials.create(tmp_path / "credentials")
    credentials.make_next_seed("ingest")
    credentials.take_next_seed("ingest")
    _, retired = sorted(
        credentials.public_keys("ingest"), key=lambda key: key != credentials.public_key("ingest")
    )
    authorization = credentials.write_authorization()
    credentials.drop_old_seed("ingest")  # and here it was killed
    with pytest.raises(UsageError, match="no rotation of ingest"):
        await rotation.finish(Installation("", "", credentials), ("ingest",), nothing)
    assert retired not in authorization.read_text()
