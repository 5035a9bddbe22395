"""A backup comes back whole and counts once, and whoever was erased since stays refused."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from nats.aio.client import Client
from stage import CONFIG, Stage, fresh_home, submission
from typing_in import klankbord

from klankbord_runtime.permissions import PROVISION
from klankbord_standalone import backup, standalone
from klankbord_standalone.backup import Source, back_up
from klankbord_standalone.home import Home
from klankbord_standalone.manifest import Manifest
from klankbord_standalone.postgres_server import PostgresServer
from klankbord_standalone.sender import Sender, make_secret
from klankbord_standalone.services import SERVICES
from klankbord_standalone.snapshot import durables
from klankbord_standalone.subscribers import invite, wanted

BUG = "The app crashes on start: error 500 every time."
BATCH = 20
GONE = "member-5"


@asynccontextmanager
async def running(home: Home, key: bytes) -> AsyncIterator[Stage]:
    """The installation in that folder, until the end of this."""
    async with (
        standalone.start(home) as everything,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        yield Stage(
            home, everything, Sender(http, everything.running.address("ingest"), "forum", key)
        )


async def post(scene: Stage, numbers: range) -> dict[str, int]:
    return await scene.forum.send({"posts": [submission(n, f"{BUG} ({n})") for n in numbers]})


def wipe(home: Home) -> None:
    PostgresServer(home.data / "postgres", "").erase()
    shutil.rmtree(home.data)
    shutil.rmtree(home.config)


async def ids(scene: Stage, stream: str) -> list[str]:
    return [event["id"] for event in await scene.events(stream)]


async def numbers(scene: Stage) -> dict[str, int]:
    """What every service counts of the posts."""
    return {
        service: (await scene.fetch(service, f"select count(*) from {table}"))[0][0]
        for service, table in {
            "ingest": "post",
            "moderation": "heard_post",
            "routing": "feedback",
            "metrics": "post",
        }.items()
    }


class Posting:
    """Posts batch after batch, and knows which were acknowledged."""

    def __init__(self, scene: Stage) -> None:
        self._scene = scene
        self.sent = 0

    async def batches(self, count: int) -> None:
        for _ in range(count):
            await post(self._scene, range(self.sent, self.sent + BATCH))
            self.sent += BATCH

    async def until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.batches(1)
            await asyncio.sleep(0.2)  # all of it is counted twice more


@pytest.mark.trial
async def test_a_backup_under_load_comes_back_and_what_came_after_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "backup"
    async with fresh_home(CONFIG) as home:
        key = make_secret(home.secrets, "forum")
        async with running(home, key) as scene:
            posting = Posting(scene)
            guest = await let_read(scene, posting)
            acknowledged = await backed_up_under_load(scene, posting, kept, monkeypatch)
        assert {file.stat().st_mode & 0o077 for file in kept.rglob("*")} == {0}
        wipe(home)

        code, out, err = await klankbord(home, "restore", str(kept), "--json")
        assert code == 0, err
        restored = json.loads(out)
        async with running(home, key) as scene:
            await scene.settled()
            found = await numbers(scene)
            assert acknowledged <= found["ingest"] <= posting.sent
            assert set(found.values()) == {found["ingest"]}
            assert found["ingest"] == Manifest.read(kept).rows["ingest.post"]
            assert restored["published"] >= BATCH, "said after the streams were copied"

            assert (await post(scene, range(acknowledged)))["received"] == 0
            for start in range(0, posting.sent, BATCH):
                await post(scene, range(start, start + BATCH))
            await scene.settled()
            assert await numbers(scene) == dict.fromkeys(found, posting.sent)
            for stream in ("POSTS", "ROUTING", "METRICS"):
                said = await ids(scene, stream)
                assert len(said) == len(set(said)) >= (posting.sent, 0)[stream == "METRICS"]
            assert (await place_of(scene, guest)) == BATCH, "a third party goes on where it was"
            acts = [entry.act for entry in await scene.everything.installation.audit_log()]
            assert acts.count("backup.taken") == acts.count("backup.restored") == 1
            await erased(scene)
        await stays_erased(home, kept)


async def erased(scene: Stage) -> None:
    """Somebody is erased after the backup."""
    erase = ("erase-member", "--community", "acme", "--platform", "forum", "--native-id", GONE)
    code, _, err = await klankbord(scene.home, *erase, "--yes")
    assert code == 0, err


async def stays_erased(home: Home, kept: Path) -> None:
    """Restored once more, in place of what is there: the member is known as erased everywhere."""
    code, _, err = await klankbord(home, "restore", str(kept))
    assert (code, "give --replace" in err) == (2, True)
    code, out, err = await klankbord(home, "restore", str(kept), "--replace", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert "member.erased" in [one["act"] for one in told["acts_lost"]]
    (erased_later,) = told["erased_later"]
    async with standalone.embedded(home) as servers:
        connection = await asyncpg.connect(servers.installation.admin_url)
        try:
            for service in SERVICES:
                digests = await connection.fetch(f"select person from {service}.erased")
                assert [row["person"] for row in digests] == [erased_later["member_digest"]]
        finally:
            await connection.close()


@pytest.mark.trial
async def test_who_is_erased_while_a_backup_is_taken_is_named_when_it_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The streams were copied before, and so their copies have what the member wrote."""
    kept = tmp_path / "backup"
    copy_streams = backup._copy_streams
    async with fresh_home(CONFIG) as home:
        key = make_secret(home.secrets, "forum")
        async with running(home, key) as scene:
            await Posting(scene).batches(1)
            await scene.settled()

            async def then_erased(client: Client, folder: Path, say: Any) -> Any:
                copied = await copy_streams(client, folder, say)
                await erased(scene)
                return copied

            monkeypatch.setattr(backup, "_copy_streams", then_erased)
            source = Source(scene.everything.installation, scene.home)
            await back_up(source, kept, lambda _: None, with_credentials=True)
            assert len(await ids(scene, "POSTS")) == BATCH - 1
        wipe(home)

        code, out, err = await klankbord(home, "restore", str(kept), "--json")
        assert code == 0, err
        (told,) = json.loads(out)["erased_later"]
        async with running(home, key) as scene:
            assert len(await ids(scene, "POSTS")) == BATCH, "what the operator must erase again"
            (digest,) = await scene.fetch("ingest", "select person from erased")
            assert told["member_digest"] == digest["person"]
            await erased(scene)
            assert len(await ids(scene, "POSTS")) == BATCH - 1


async def let_read(scene: Stage, posting: Posting) -> str:
    """A third party that has read the first batch."""
    installation = scene.everything.installation
    guest = wanted("product", ("klankbord.feedback.routed.v1.*.product",))
    await invite(installation, guest, None)
    await posting.batches(1)
    await scene.settled()
    async with installation.client(guest.user) as client:
        reading = await client.jetstream().pull_subscribe_bind(guest.user, guest.stream)
        for message in await reading.fetch(BATCH, timeout=20):
            await message.ack_sync()
    return guest.user


async def place_of(scene: Stage, guest: str) -> int:
    async with scene.everything.installation.client(PROVISION) as client:
        (place,) = [one for one in await durables(client, "ROUTING") if one.name == guest]
    return place.acknowledged


async def backed_up_under_load(
    scene: Stage, posting: Posting, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> int:
    """Back up while posts come in and metrics is away; gives how many were acknowledged before."""
    metrics = next(one for one in scene.everything.processes if one.name == "metrics")
    await metrics.stop()
    await posting.batches(2)
    copy_streams = backup._copy_streams

    async def then_more(client: Client, folder: Path, say: Any) -> Any:
        copied = await copy_streams(client, folder, say)
        before = len(await ids(scene, "ROUTING"))
        await posting.batches(1)
        while len(await ids(scene, "ROUTING")) < before + BATCH:
            await asyncio.sleep(0.1)
        return copied

    monkeypatch.setattr(backup, "_copy_streams", then_more)
    acknowledged, stop = posting.sent, asyncio.Event()
    load = asyncio.create_task(Posting.until(posting, stop))
    source = Source(scene.everything.installation, scene.home)
    await back_up(source, kept, lambda _: None, with_credentials=True)
    stop.set()
    await load
    return acknowledged
