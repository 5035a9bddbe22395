"""Streams, backfills and pauses on a real PostgreSQL: one process each, nothing lost or doubled."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal, cast
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
    hangs_up: bool = False
    tokens: set[str] = field(default_factory=lambda: {"the newest token"})
    departed: str | None = None
    takes: float = 0.0
    """How many seconds it takes to answer."""
    asked: int = 0
    most_asked_at_once: int = 0
    held_up: asyncio.Event | None = None
    """Until this happens, the next page of history is not answered."""
    repeats: bool = False
    """Whether it gives the same page for ever, and says that there is more."""
    has_no_end: bool = False
    """Whether there is always more."""
    place: object = None
    """Where it says to go on, where that is none."""
    raises: BaseException | None = None
    """What the kind raises instead of an answer, once."""

    def raise_what_it_raises(self) -> None:
        if (raised := self.raises) is not None:
            self.raises = None
            raise raised

    @asynccontextmanager
    async def answering(self) -> AsyncGenerator[None, None]:
        self.asked += 1
        self.connections += 1
        self.most_asked_at_once = max(self.most_asked_at_once, self.connections)
        try:
            await asyncio.sleep(self.takes)
            yield
        finally:
            self.connections -= 1

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
        async with platform.answering():
            platform.raise_what_it_raises()
            at = int(str(cursor.get("at", 0)))
            if platform.place is not None:
                return Page([post(0, "lost")], cursor=cast("Cursor", {"at": platform.place}))
            if platform.repeats:
                return Page([post(0, "again")], cursor={"at": 0}, more=True)
            if platform.has_no_end:
                return Page([post(at, f"post {at}")], cursor={"at": at + 1}, more=True)
            return self._page(platform, at, 2)

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        platform = self.platform_of[self.room]
        if (held_up := platform.held_up) is not None:
            platform.held_up = None
            await held_up.wait()
        return self._page(platform, int(str(cursor.get("at", 0))), 2)

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
            if platform.hangs_up:
                return
            while True:
                for text in platform.said[at:]:
                    yield Page([post(at, text)], cursor={"at": at + 1})
                    at += 1
                platform.raise_what_it_raises()
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

    async def reason(self, way: str) -> str:
        """What is said of it; nothing while it is not listed yet."""
        async with self.service.database.connection() as connection:
            found = await connection.fetchval("select reason from listening where way = $1", way)
        return found or ""

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
                    ListeningStore(),
                    Fetcher(Gate(Allowed())),
                    reader,
                    lambda: 0.0,
                    telemetry,
                )
                for _ in range(2)
            ]
            own = ListeningStore()
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


async def test_a_platform_that_hangs_up_at_once_is_met_less_and_less_often(world: World) -> None:
    await world.list_room("main")
    world.platform.hangs_up = True
    await world.listeners[0].look()
    world.start(0)
    pauses = []
    for times in (1, 2, 3):

        async def has_failed(times: int = times) -> bool:
            return (await world.row("stream"))["failures"] == times

        await eventually(has_failed)
        due = (await world.row("stream"))["next_try"]
        assert isinstance(due, datetime)
        pauses.append((due - datetime.now(UTC)).total_seconds())
        async with world.service.database.connection() as connection:
            await connection.execute("update listening set next_try = now()")
    assert pauses[0] > 3
    assert pauses[0] * 1.5 < pauses[1] < pauses[2] / 1.5
    world.platform.hangs_up = False
    world.platform.say("one")
    await world.until("one")

    async def is_forgiven() -> bool:
        return (await world.row("stream"))["failures"] == 0

    await eventually(is_forgiven)


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


async def ask(world: World) -> None:
    """List a source that is asked, and is due."""
    await world.list_room("asked")
    world.keys._keys["tower"] = {"token": (b"the newest token",)}


async def test_a_page_that_takes_longer_than_a_claim_is_asked_for_once_and_heard(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "CLAIM", timedelta(seconds=0.4))
    await ask(world)
    world.platform.takes = 1.2
    world.platform.say("one")
    world.start(0, 1)
    await world.until("one")
    assert (world.platform.asked, world.platform.most_asked_at_once) == (1, 1)


async def test_history_that_is_begun_anew_is_not_gone_on_with_from_where_the_old_round_was(
    world: World,
) -> None:
    await world.list_room("main")
    world.platform.say(*(f"post {n}" for n in range(5)))
    world.platform.held_up = asyncio.Event()
    released = world.platform.held_up
    await world.listeners[0].look()
    async with world.service.work() as work:
        await world.store.begin_backfill(work.connection, "tower", "tower", None, work.now)
    world.start(0)
    await eventually(lambda: world.platform.held_up is None)
    world.platform.held_up = second = asyncio.Event()
    async with world.service.work() as work:
        await world.store.begin_backfill(work.connection, "tower", "tower", None, work.now)
    await eventually(lambda: world.platform.held_up is None)
    released.set()
    await asyncio.sleep(0.3)
    assert (await world.row("backfill"))["cursor"] == {}
    second.set()

    async def is_done() -> bool:
        return (await world.row("backfill"))["next_try"] is None

    await eventually(is_done)
    row = await world.row("backfill")
    assert (row["heard"], row["cursor"]) == (5, {"at": 5})


async def test_a_page_that_comes_again_and_again_is_not_asked_for_on_and_on(world: World) -> None:
    await ask(world)
    world.platform.repeats = True
    world.start(0)
    await world.until("again")

    async def is_told() -> bool:
        return "the same page" in await world.reason("pull")

    await eventually(is_told)
    assert world.platform.asked <= 2


async def test_a_place_without_end_lets_others_have_a_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MOST_PAGES", 3)
    await ask(world)
    world.platform.has_no_end = True
    await world.listeners[0].look()
    await world.listeners[0].settled()
    assert world.platform.asked == 3
    row = await world.row("pull")
    assert (row["holder"], row["healthy"], row["cursor"]) == (None, True, {"at": 3})
    await world.listeners[0].look()
    await world.listeners[0].settled()
    assert (await world.texts()) == [f"post {n}" for n in range(6)]


@pytest.mark.parametrize("raised", [SystemExit(3), asyncio.CancelledError()])
@pytest.mark.parametrize(("room", "way"), [("asked", "pull"), ("main", "stream")])
async def test_whatever_a_kind_raises_ends_nothing_but_its_own_round(
    world: World, raised: BaseException, room: str, way: str
) -> None:
    world.platform.raises = raised
    await (ask(world) if room == "asked" else world.list_room(room))
    world.platform.say("one")
    world.start(0)

    async def is_told() -> bool:
        return "Klankbord failed over it" in await world.reason(way)

    await eventually(is_told)
    async with world.service.database.connection() as connection:
        await connection.execute("update listening set next_try = now()")
    await world.until("one")


async def test_a_reason_that_no_table_can_hold_keeps_nobody_from_hearing_the_rest(
    world: World,
) -> None:
    await ask(world)
    world.platform.raises = FetchError("bad_answer", "it says \0 and \ud800 " + "x" * 9000)
    world.start(0)

    async def is_told() -> bool:
        return (await world.reason("pull")).startswith("it says")

    await eventually(is_told)
    assert len(await world.reason("pull")) <= listening.MAX_REASON


async def test_a_place_to_go_on_that_cannot_be_kept_is_told_and_nothing_of_its_page_is(
    world: World,
) -> None:
    await ask(world)
    for place in ("\0", "\ud800", float("inf"), "x" * 300_000):
        world.platform.place = place
        async with world.service.database.connection() as connection:
            await connection.execute("update listening set next_try = now(), reason = null")
        await world.listeners[0].look()
        await world.listeners[0].settled()
        assert "to go on at a place that" in await world.reason("pull")
    assert await world.texts() == []
    world.platform.place = "a backslash and \\u0000"
    async with world.service.database.connection() as connection:
        await connection.execute("update listening set next_try = now()")
    await world.listeners[0].look()
    await world.listeners[0].settled()
    assert (await world.row("pull"))["cursor"] == {"at": "a backslash and \\u0000"}
