"""Bluesky's own server, heard by the whole of ingest: each version is one event."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from heard import Ear
from peers.atproto import Cutter, Peer, is_installed, peer
from world import Migrated, eventually

from klankbord_schemas import MemberErased, PostReceived
from klankbord_standalone.servers import Installation

POST, LIKE = "app.bsky.feed.post", "app.bsky.feed.like"

pytestmark = pytest.mark.skipif(not is_installed(), reason="npm ci --prefix tests/peers/pds")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Peer]:
    async with peer(tmp_path / "pds") as running:
        yield running


@pytest.fixture
async def cutter(server: Peer) -> AsyncIterator[Cutter]:
    async with Cutter(server.port) as running:
        yield running


@pytest.fixture
async def ear(
    installation: Installation, migrated: Migrated, tmp_path: Path, cutter: Cutter
) -> AsyncIterator[Ear]:
    await migrated("ingest")
    ear = Ear.of(installation, tmp_path, cutter.port, {})
    yield ear
    await ear.end()


async def test_each_version_is_one_event_through_breaks_and_restarts_of_either_side(
    ear: Ear, cutter: Cutter, server: Peer
) -> None:
    url = server.firehose.replace(str(server.port), str(cutter.port))
    entry = {"kind": "bluesky", "url": url, "everything": True, "appview": None}
    await ear.begin(entry)
    ada = await server.join("ada.test")
    first = await server.say(ada, POST, {"text": "De export is stuk", "langs": ["nl"]})
    await ear.heard(first)

    cutter.cut()
    about = {"uri": first, "cid": "bafyreicav7mtsrigsxfhqdclmpjl7iragv74usb3e45csz4proo7hh7c5i"}
    reply = {"root": about, "parent": about}
    second = await server.say(ada, POST, {"text": "Samma problem", "reply": reply})
    await ear.heard(second)

    await ear.end()
    like = await server.say(ada, LIKE, {"subject": about})
    await server.change(ada, first, {"text": "De export is heel"})
    await server.delete(ada, second)
    await ear.begin(entry)
    await ear.heard(like)

    await server.kill()
    await server.start()
    third = await server.say(ada, POST, {"text": "En nu?"})
    await ear.heard(third)

    assert await ear.versions() == {
        ("create", first): 1,
        ("create", second): 1,
        ("like", like): 1,
        ("update", first): 1,
        ("delete", second): 1,
        ("create", third): 1,
    }
    posts = [
        PostReceived.from_json(json.dumps(one).encode())
        for one in await ear.events()
        if one["type"] == PostReceived.type_name()
    ]
    answer = next(one for one in posts if one.data.content == "Samma problem")
    assert (answer.data.in_reply_to, answer.data.context) == (first, first)
    assert answer.data.platform == "bluesky"
    assert answer.data.published_trust == "claimed"

    await server.remove(ada)

    async def is_erased() -> bool:
        return any(one["type"] == MemberErased.type_name() for one in await ear.events())

    await eventually(is_erased, 30)
