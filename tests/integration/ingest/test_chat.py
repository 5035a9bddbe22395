"""Chats on a running ingest: what a platform tells in two ways is one post, and none is lost when a
connection breaks or ingest starts anew.
"""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conformance.platform import Post, StreamPlatform
from conformance.platforms.discord import Gateway
from conformance.platforms.slack import CHANNEL, SECRETS, History
from conformance.platforms.zulip import Organisation
from conformance.server import serving
from world import Migrated, eventually, settings

from klankbord_ingest.app import create
from klankbord_ingest.settings import OutgoingSettings, Settings
from klankbord_runtime.service import Service
from klankbord_runtime.settings import HttpSettings
from klankbord_schemas import InteractionReceived, PostReceived
from klankbord_standalone.servers import Installation

COMMUNITIES = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en]}
sources:
"""


class World:
    """An installation with one source, whose ingest may be started again and again."""

    def __init__(self, installation: Installation, folder: Path, free_port: int) -> None:
        self._installation = installation
        self._folder = folder
        self._port = free_port
        self.http: httpx.AsyncClient

    def list_source(self, options: dict[str, Any], **secrets: str) -> None:
        """Write klankbord.yaml and the source's secrets."""
        source = {"name": "chat", "community": "demo", **options}
        (self._folder / "klankbord.yaml").write_text(f"{COMMUNITIES}  - {json.dumps(source)}\n")
        (self._folder / "pseudonym.key").write_bytes(bytes(range(32)))
        for role, secret in secrets.items():
            (self._folder / ("chat" if role == "signature" else f"chat.{role}")).write_text(secret)

    @asynccontextmanager
    async def running(self, asked_port: int) -> AsyncIterator[Service]:
        """Ingest, which may ask that port of this machine."""
        own = settings(
            self._installation,
            "ingest",
            Settings,
            http=HttpSettings(port=self._port),
            outgoing=OutgoingSettings(allow=(f"127.0.0.1:{asked_port}",)),
            config_dir=self._folder,
            secrets_dir=self._folder,
            pseudonym_key_file=self._folder / "pseudonym.key",
        )
        service = create(own)
        address = f"http://127.0.0.1:{self._port}"
        async with service.running(), httpx.AsyncClient(base_url=address) as self.http:
            yield service


@pytest.fixture
async def world(
    installation: Installation,
    migrated: Migrated,
    tmp_path: Path,
    unused_tcp_port: int,
) -> World:
    await migrated("ingest")
    return World(installation, tmp_path, unused_tcp_port)


async def said(service: Service) -> list[PostReceived | InteractionReceived]:
    """Every post and interaction that was committed, in order."""
    async with service.database.connection() as connection:
        rows = await connection.fetch("select body from outbox order by batch, position")
    bodies = [json.loads(row["body"]) for row in rows]
    found: list[PostReceived | InteractionReceived] = []
    for body in bodies:
        event: Any = {"post": PostReceived, "interaction": InteractionReceived}.get(
            body["type"].removeprefix("org.klankbord.").partition(".")[0]
        )
        if event is not None:
            found.append(event.model_validate(body))
    return found


async def contents(service: Service) -> list[str]:
    return [one.data.content or "" for one in await said(service)]


async def slack_sends(world: World, event: dict[str, Any], name: str, **headers: str) -> int:
    document = {
        "type": "event_callback",
        "team_id": "T024BE7LD",
        "event_id": name,
        "event_time": int(time.time()),
        "event": {"type": "message", "channel": CHANNEL, "channel_type": "channel"} | event,
    }
    return (await slack_posts(world, document, **headers)).status_code


async def slack_posts(world: World, document: Any, **headers: str) -> httpx.Response:
    body, stamp = json.dumps(document).encode(), str(int(time.time()))
    key = SECRETS["signature"].encode()
    digest = hmac.digest(key, b"v0:%s:%s" % (stamp.encode(), body), "sha256").hex()
    signed = {
        "content-type": "application/json",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={digest}",
    }
    return await world.http.post("/v1/sources/chat", content=body, headers=signed | headers)


async def test_slack_sends_and_is_asked_and_a_message_is_one_post(world: World) -> None:
    slack = History()
    slack.say("1001", "Asked for")
    heard = slack.message(slack.say("1002", "Sent, and asked for"))
    async with serving(slack.answer) as server:
        world.list_source({"kind": "slack", **slack.options(server.base)}, **SECRETS)
        async with world.running(server.port) as service:
            challenge = {"type": "url_verification", "challenge": "3eZbrw1a"}
            assert (await slack_posts(world, challenge)).text == "3eZbrw1a"
            assert await slack_sends(world, heard, "Ev1") == 200
            assert await slack_sends(world, heard, "Ev1", **{"x-slack-retry-num": "1"}) == 200
            assert await slack_sends(world, heard, "Ev1", **{"x-slack-signature": "v0=0"}) == 401
            await eventually(lambda: _holds(service, {"Asked for", "Sent, and asked for"}))
            reaction = {
                "type": "reaction_added",
                "user": "U2",
                "reaction": "wave",
                "item": {"type": "message", "channel": CHANNEL, "ts": heard["ts"]},
                "event_ts": heard["ts"],
            }
            assert await slack_sends(world, reaction, "Ev2") == 200
            gone = {"subtype": "message_deleted", "deleted_ts": heard["ts"], "ts": heard["ts"]}
            assert await slack_sends(world, gone, "Ev3") == 200
            told = await said(service)
    posts = [one for one in told if isinstance(one, PostReceived)]
    assert sorted((one.data.content, one.data.operation) for one in posts) == [
        ("", "delete"),
        ("Asked for", "create"),
        ("Sent, and asked for", "create"),
    ]
    (like,) = (one for one in told if isinstance(one, InteractionReceived))
    sent = next(one for one in posts if one.data.content.startswith("Sent"))
    assert (like.data.post, like.data.content) == (sent.data.post, ":wave:")
    assert {one.data.platform for one in told} == {"slack:T024BE7LD"}


async def _holds(service: Service, expected: set[str]) -> bool:
    return expected <= set(await contents(service))


@pytest.mark.parametrize("played", [Gateway, Organisation])
async def test_a_stream_loses_and_doubles_nothing_when_it_breaks_or_ingest_starts_anew(
    world: World, played: type[StreamPlatform]
) -> None:
    platform = played()

    async def say(number: int) -> Post:
        post = platform.say(str(1000 + number), f"No. {number}")
        await platform.tell(post)
        return post

    async with platform.running() as base:
        options = {"kind": platform.kind, **platform.options(base)}
        world.list_source(options, **platform.secrets)
        port = int(base.rpartition(":")[2])
        async with world.running(port) as service:
            await eventually(lambda: _is_listening(service))
            for number in (1, 2, 3):
                await say(number)
            await eventually(lambda: _holds(service, {"No. 1", "No. 2", "No. 3"}))
            await platform.break_off()
            await say(4)
            await eventually(lambda: _holds(service, {"No. 4"}))
        await say(5)
        async with world.running(port) as service:
            await say(6)
            await eventually(lambda: _holds(service, {"No. 5", "No. 6"}))
            await asyncio.sleep(0.2)
            assert sorted(await contents(service)) == [f"No. {number}" for number in range(1, 7)]


async def _is_listening(service: Service) -> bool:
    """Whether the stream wrote down where it is: it is connected."""
    async with service.database.connection() as connection:
        return bool(
            await connection.fetchval(
                "select exists (select from listening where way = 'stream' and cursor <> '{}')"
            )
        )
