"""Streams, backfills and pauses on a real PostgreSQL: one process each, nothing lost or doubled."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Literal
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from world import Migrated, eventually, settings

from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.hearing import Hearing
from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    DepartureSubmission,
    FetchError,
    Page,
    PostSubmission,
    Pull,
    Stream,
    Web,
)
from klankbord_ingest.language import LanguageDetector
from klankbord_ingest.listening import listener as listening
from klankbord_ingest.listening.listener import Listener
from klankbord_ingest.listening.store import ListeningStore
from klankbord_ingest.outgoing import Allowed, Gate
from klankbord_ingest.sources import Sources, parse_sources
from klankbord_ingest.store import Store
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Departures, Forgetting, Ingest
from klankbord_ingest.web import RefusedTokenError
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service
from klankbord_schemas import PostReceived
from klankbord_standalone.servers import Installation

CONFIG = """
communities:
  - {{slug: demo, name: Demo, time_zone: UTC, languages: [en]}}
sources:
  - {{name: tower, community: demo, kind: tower, room: {room}, every: 1s}}
"""


@dataclass
class Platform:
    """What is said there, and who listens."""

    said: list[str] = field(default_factory=list)
    connections: int = 0
    most_connections: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    is_broken: bool = False
    tokens: set[str] = field(default_factory=lambda: {"the newest token"})
    departed: str | None = None

    def break_off(self) -> None:
        self.is_broken = True
        self.news.set()

    def say(self, *texts: str) -> None:
        self.said += texts
        self.news.set()


def post(number: int, text: str) -> PostSubmission:
    return PostSubmission.model_validate(
        {
            "nativeId": str(number),
            "published": datetime(2026, 11, 22, tzinfo=UTC),
            "content": text,
            "attributedTo": "anna",
        }
    )


class Tower(Stream, Pull, Backfill):
    """A kind for this test: its platform is an object of this process."""

    platform_of: ClassVar[dict[str, Platform]] = {}

    kind: Literal["tower"]
    room: str = "main"

    def uses(self, way: str) -> bool:
        return way == ("pull" if self.room == "asked" else "stream")

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        platform = self.platform_of[self.room]
        if web.token not in platform.tokens:
            raise RefusedTokenError("token_refused", f"the token {web.token} is refused")
        return self._page(platform, int(str(cursor.get("at", 0))), 2)

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        return self._page(self.platform_of[self.room], int(str(cursor.get("at", 0))), 2)

    def _page(self, platform: Platform, at: int, size: int) -> Page:
        texts = platform.said[at : at + size]
        posts = [post(at + n, text) for n, text in enumerate(texts)]
        end = at + len(texts)
        return Page(posts, cursor={"at": end}, more=end < len(platform.said))

    async def stream(self, web: Web, cursor: Cursor) -> AsyncGenerator[Page, None]:
        platform, at = self.platform_of[self.room], int(str(cursor.get("at", 0)))
        platform.connections += 1
        platform.most_connections = max(platform.most_connections, platform.connections)
        try:
            yield Page()
            while True:
                for text in platform.said[at:]:
                    yield Page([post(at, text)], cursor={"at": at + 1})
                    at += 1
                if platform.departed is not None:
                    gone = {"attributedTo": platform.departed, "published": datetime.now(UTC)}
                    platform.departed = None
                    yield Page([DepartureSubmission.model_validate(gone)])
                platform.news.clear()
                await platform.news.wait()
                if platform.is_broken:
                    platform.is_broken = False
                    raise FetchError("unreachable", "the line broke")
        finally:
            platform.connections -= 1


@dataclass
class World:
    """An ingest with two processes' worth of listeners."""

    service: Service
    sources: AcceptedFile[Sources]
    keys: SourceKeys
    listeners: list[Listener]
    store: ListeningStore
    platform: Platform
    running: list[asyncio.Task[None]] = field(default_factory=list)

    async def list_room(self, room: str) -> None:
        async with self.service.work() as work:
            await self.sources.apply(work.connection, CONFIG.format(room=room).encode())
            await self.sources.refresh(work.connection)
        self.keys.refresh(self.sources.value.by_name.values())

    def start(self, *numbers: int) -> None:
        for number in numbers:
            self.running.append(asyncio.create_task(self.listeners[number].listen()))

    async def stop(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        self.running.clear()

    async def texts(self) -> list[str]:
        async with self.service.database.connection() as connection:
            rows = await connection.fetch("select body from outbox order by batch, position")
        bodies = [bytes(row["body"]) for row in rows]
        events = [PostReceived.from_json(body) for body in bodies if b"post.received" in body]
        return [event.data.content for event in events]

    async def row(self, way: str) -> dict[str, object]:
        async with self.service.database.connection() as connection:
            row = await connection.fetchrow("select * from listening where way = $1", way)
        assert row is not None
        return dict(row)

    async def until(self, *texts: str) -> None:
        async def all_heard() -> bool:
            return set(texts) <= set(await self.texts())

        await eventually(all_heard)


@pytest.fixture
async def world(
    installation: Installation, migrated: Migrated, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    await migrated("ingest")
    monkeypatch.setattr(listening, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(listening, "HOLD_EVERY", 0.1)
    service = Service("ingest", settings(installation, "ingest"))
    platform = Platform()
    monkeypatch.setattr(Tower, "platform_of", dict.fromkeys(("main", "other", "asked"), platform))
    sources: AcceptedFile[Sources] = AcceptedFile(
        "klankbord", lambda body: parse_sources(body, {"tower": Tower})
    )
    store, keys = Store(), SourceKeys(None, {}, b"")
    ingest = Ingest(store, bytes(32), LanguageDetector(), service.erasures)
    departures = Departures(store, bytes(32), Forgetting(store, service.erasures))
    telemetry = Telemetry(CollectorRegistry())
    hearing = Hearing(service.work, departures, telemetry)
    with FeedReader() as reader:
        async with service.running():
            listeners = [
                Listener(
                    service,
                    ingest,
                    hearing,
                    sources,
                    keys,
                    ListeningStore(uuid4()),
                    Fetcher(Gate(Allowed())),
                    reader,
                    lambda: 0.0,
                    telemetry,
                )
                for _ in range(2)
            ]
            own = ListeningStore(uuid4())
            world = World(service, sources, keys, listeners, own, platform)
            yield world
            await world.stop()


async def test_a_stream_is_one_processs_and_the_next_goes_on_where_it_stopped(
    world: World,
) -> None:
    await world.list_room("main")
    world.start(0, 1)
    world.platform.say("one", "two")
    await world.until("one", "two")
    assert world.platform.most_connections == 1
    await world.stop()
    assert world.platform.connections == 0
    world.platform.say("three")
    world.start(1)
    await world.until("three")
    assert await world.texts() == ["one", "two", "three"]


async def test_after_a_broken_line_nothing_is_lost_or_doubled_and_it_is_said_why(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.list_room("main")
    world.start(0)
    world.platform.say("one")
    await world.until("one")
    world.platform.break_off()

    async def is_told() -> bool:
        return (await world.row("stream"))["reason"] == "the line broke"

    await eventually(is_told)
    world.platform.say("two")
    await world.until("two")
    assert await world.texts() == ["one", "two"]
    assert (await world.row("stream"))["healthy"]


async def test_whose_claim_was_taken_writes_nothing_more(world: World) -> None:
    await world.list_room("main")
    world.start(0)
    world.platform.say("one")
    await world.until("one")
    async with world.service.database.connection() as connection:
        await connection.execute(
            "update listening set holder = $1, next_try = now() + interval '1 hour'", uuid4()
        )
    world.platform.say("two")
    await eventually(lambda: world.platform.connections == 0)
    assert await world.texts() == ["one"]


async def test_a_pause_ends_a_stream_and_resuming_takes_it_up(world: World) -> None:
    await world.list_room("main")
    world.start(0)
    world.platform.say("one")
    await world.until("one")
    async with world.service.work() as work:
        await world.store.pause(work.connection, "tower", work.now)
    await eventually(lambda: world.platform.connections == 0)
    world.platform.say("two")
    async with world.service.work() as work:
        await world.store.resume(work.connection, "tower", work.now)
    await world.until("two")


async def test_another_klankbord_yaml_takes_effect_without_a_restart(world: World) -> None:
    await world.list_room("main")
    world.start(0)
    world.platform.say("one")
    await world.until("one")
    await world.list_room("asked")
    world.keys._keys["tower"] = {"token": (b"the newest token",)}
    await eventually(lambda: world.platform.connections == 0)
    world.platform.say("two", "three", "four")
    async with world.service.work() as work:
        await world.store.resume(work.connection, "tower", work.now)
    await world.until("two", "three", "four")
    assert sorted(await world.texts()) == ["four", "one", "three", "two"]


async def test_the_second_token_is_taken_where_the_first_is_refused_and_neither_is_told(
    world: World,
) -> None:
    await world.list_room("asked")
    world.platform.say("one")
    world.keys._keys["tower"] = {"token": (b"an old token", b"the newest token")}
    world.start(0)
    await world.until("one")
    world.platform.tokens.clear()
    async with world.service.database.connection() as connection:
        await connection.execute("update listening set next_try = now()")

    async def is_refused() -> bool:
        return not (await world.row("pull"))["healthy"]

    await eventually(is_refused)
    assert (await world.row("pull"))["reason"] == "the token … is refused"


async def test_history_is_fetched_beside_and_is_done_once(world: World) -> None:
    await world.list_room("main")
    world.platform.say(*(f"post {n}" for n in range(7)))
    async with world.service.work() as work:
        await world.sources.refresh(work.connection)
    await world.listeners[0].look()
    async with world.service.work() as work:
        await world.store.begin_backfill(work.connection, "tower", "tower", None, work.now)
    world.start(0, 1)
    await world.until(*(f"post {n}" for n in range(7)))

    async def is_done() -> bool:
        return (await world.row("backfill"))["next_try"] is None

    await eventually(is_done)
    row = await world.row("backfill")
    assert (row["heard"], row["healthy"], row["cursor"]) == (7, True, {"at": 7})
    assert len(await world.texts()) == 7


async def test_a_member_whose_account_is_gone_is_forgotten_and_a_stranger_is_not_noted(
    world: World,
) -> None:
    await world.list_room("main")
    world.start(0)
    world.platform.departed = "a stranger"
    world.platform.say("one")
    await world.until("one")
    world.platform.departed = "anna"
    world.platform.news.set()

    async def is_erased() -> bool:
        async with world.service.database.connection() as connection:
            rows = await connection.fetch("select body from outbox")
        return sum(b"member.erased" in bytes(row["body"]) for row in rows) == 1

    await eventually(is_erased)
    world.platform.say("two")

    async def is_passed() -> bool:
        return (await world.row("stream"))["cursor"] == {"at": 2}

    await eventually(is_passed)
    assert "two" not in await world.texts()
