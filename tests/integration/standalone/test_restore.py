"""A restore that is interrupted is begun again, and no service works on half of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from stage import both_servers

from klankbord_runtime import migrate
from klankbord_runtime.provision import ProvisionError
from klankbord_schemas.topology import STREAMS
from klankbord_standalone import backup, restore
from klankbord_standalone.backup import Source, back_up
from klankbord_standalone.home import Home
from klankbord_standalone.manifest import Manifest
from klankbord_standalone.servers import Installation
from klankbord_standalone.services import SERVICES

SUBJECT = "klankbord.post.received.v1.acme.forum"


def nothing(_told: str) -> None:
    pass


@dataclass
class Scene:
    """The two servers with every schema, and a folder for a backup."""

    installation: Installation
    home: Home
    kept: Path

    async def back_up(self) -> None:
        source = Source(self.installation, self.home)
        await back_up(source, self.kept, nothing, with_credentials=False)

    async def restore(self) -> None:
        manifest = Manifest.read(self.kept)
        await restore.restore(
            self.installation, manifest, self.kept, nothing, replicas=1, streams=STREAMS
        )

    @asynccontextmanager
    async def connected(self, service: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
        connection = await asyncpg.connect(
            self.installation.postgres_url(service), server_settings={"search_path": service}
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def may_start(self, service: str) -> None:
        async with self.connected(service) as connection:
            await migrate.check(connection, f"klankbord_{service}")

    async def say(self, *ids: str) -> None:
        """Publish events without the outbox, as those of a service that are on the bus."""
        async with self.installation.client("ingest") as client:
            for one in ids:
                await client.jetstream().publish(SUBJECT, b"{}", headers={"Nats-Msg-Id": one})


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with both_servers() as servers:
        for service in SERVICES:
            url = servers.installation.postgres_url(service)
            await migrate.migrate(url, f"klankbord_{service}", service)
        home = Home(tmp_path / "data", tmp_path / "config")
        yield Scene(servers.installation, home, tmp_path / "backup")


async def test_no_service_starts_on_what_an_interrupted_restore_left(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.back_up()

    async def fails(*_: object) -> None:
        raise ProvisionError("the server went away")

    with monkeypatch.context() as patched:
        patched.setattr(restore, "put_back", fails)
        with pytest.raises(ProvisionError):
            await scene.restore()
    await scene.installation.provision()  # as whatever starts an installation does
    for service in SERVICES:
        with pytest.raises(migrate.SchemaBehindError, match="klankbord restore"):
            await scene.may_start(service)
    await scene.restore()
    for service in SERVICES:
        await scene.may_start(service)


async def test_attempts_at_events_that_get_another_place_are_not_counted_for_their_successors(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was said after the streams were copied is published again, not always in its order."""
    await scene.say("one", "two")
    while_backing_up(monkeypatch, lambda: attempts_at(scene, 2, 3))
    await scene.back_up()
    await scene.restore()
    async with scene.connected("metrics") as connection:
        rows = await connection.fetch("select stream_sequence from attempt")
    assert [row["stream_sequence"] for row in rows] == [2]


def while_backing_up(monkeypatch: pytest.MonkeyPatch, do: Callable[[], Any]) -> None:
    """Do this when the streams are copied and the database is not."""
    copy_streams = backup._copy_streams

    async def then(*arguments: Any) -> Any:
        copied = await copy_streams(*arguments)
        await do()
        return copied

    monkeypatch.setattr(backup, "_copy_streams", then)


async def attempts_at(scene: Scene, *places: int) -> None:
    async with scene.connected("metrics") as connection:
        for place in places:
            await connection.execute(
                "insert into attempt (consumer, stream_sequence, attempts)"
                " values ('metrics-posts', $1, 3)",
                place,
            )


async def test_what_waited_from_before_the_clocks_were_right_is_left_to_the_relay(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    while_backing_up(monkeypatch, lambda: waits(scene, "2020-01-01"))
    await scene.back_up()
    await scene.restore()
    async with scene.connected("routing") as connection:
        assert await connection.fetchval("select count(*) from outbox_pending") == 1


async def waits(scene: Scene, recorded: str) -> None:
    """An event of a service whose clock is years behind."""
    async with scene.connected("routing") as connection:
        await connection.execute(
            f"""
            insert into outbox_pending (batch, recorded, size) values (1, '{recorded}', 1);
            insert into outbox (batch, position, recorded, id, subject, body) values
                (1, 1, '{recorded}', gen_random_uuid(), 'klankbord.x.y.v1.a.b', '')
            """
        )
