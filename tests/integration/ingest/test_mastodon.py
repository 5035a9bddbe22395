"""An instance of Mastodon, heard by the whole of ingest: by stream, asking and webhook, once."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from conformance.platform import NOW
from conformance.platforms.mastodon import Streaming, Webhook
from heard import Ear
from world import Migrated, eventually

from klankbord_standalone.servers import Installation


class Instance(Streaming):
    """An instance and where it is."""

    base = ""


@pytest.fixture
async def instance() -> AsyncIterator[Instance]:
    instance = Instance()
    async with instance.running() as base:
        instance.base = base
        yield instance


@pytest.fixture
async def ear(
    installation: Installation, migrated: Migrated, tmp_path: Path, instance: Instance
) -> AsyncIterator[Ear]:
    await migrated("ingest")
    port = urlsplit(instance.base).port
    assert port is not None
    secrets = {
        "place": instance.secrets["signature"],
        "place.token": instance.secrets["token"],
    }
    ear = Ear.of(installation, tmp_path, port, secrets)
    yield ear
    await ear.end()


async def test_a_post_is_one_whatever_way_it_comes_and_gaps_of_the_stream_are_filled(
    ear: Ear, instance: Instance
) -> None:
    entry = {"kind": "mastodon", "every": "1s", **instance.options(instance.base)}
    await ear.begin(entry)
    await eventually(lambda: instance.is_listened_to)

    first = instance.say("1001", "De export is stuk")
    await instance.tell(first)
    await ear.heard(instance.native_id("1001"))
    await eventually(lambda: _was_asked(ear), 10)
    webhook = Webhook()
    request = webhook.signed(webhook.said(first), webhook.secrets, NOW)
    headers = {name.decode(): value.decode() for name, value in request.headers}
    door = f"http://127.0.0.1:{ear.own.http.port}/v1/sources/place"
    async with httpx.AsyncClient(trust_env=False) as client:
        told = await client.post(door, content=request.body, headers=headers)
        assert told.status_code == 202, told.text
        forged = await client.post(door, content=request.body + b" ", headers=headers)
        assert forged.status_code == 401

    await instance.break_off()
    instance.say("1002", "Hier ook")  # nobody streams it
    await ear.heard(instance.native_id("1002"))

    await ear.end()
    await instance.break_off()
    instance.say("1003", "En hier")
    await ear.begin(entry)
    await ear.heard(instance.native_id("1003"))
    await eventually(lambda: instance.is_listened_to)  # what is deleted is told to these alone
    for number in ("1001", "1003"):
        await instance.tell(instance.delete(number))

    async def are_gone() -> bool:
        versions = await ear.versions()
        return all(("delete", instance.native_id(one)) in versions for one in ("1001", "1003"))

    await eventually(are_gone)
    assert await ear.versions() == {
        ("create", instance.native_id("1001")): 1,
        ("create", instance.native_id("1002")): 1,
        ("create", instance.native_id("1003")): 1,
        ("delete", instance.native_id("1001")): 1,
        ("delete", instance.native_id("1003")): 1,
    }


async def _was_asked(ear: Ear) -> bool:
    """Whether the post was heard by asking as well as by the stream."""
    rows = await ear.rows("select heard from listening where heard > 0")
    return len(rows) == 2
