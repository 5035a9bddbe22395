"""Feeds on a real PostgreSQL: heard once, asked politely, and told of when something is wrong."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from world import Migrated, settings

from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.hearing import Hearing
from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.language import LanguageDetector
from klankbord_ingest.listening.listener import Listener
from klankbord_ingest.listening.store import ListeningStore
from klankbord_ingest.outgoing import Allowed, Gate
from klankbord_ingest.sources import Sources, parse_sources
from klankbord_ingest.store import Store
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Departures, Forgetting, Ingest
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service
from klankbord_schemas import PostReceived
from klankbord_standalone.servers import Installation

COMMUNITIES = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}
sources:
"""
BOMB = b'<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><rss>&b;</rss>'


def rss(**items: str) -> bytes:
    entries = "".join(
        f"<item><guid>{name}</guid><pubDate>Sat, 21 Nov 2026 10:00:00 GMT</pubDate>"
        f"<description>{words}</description></item>"
        for name, words in items.items()
    )
    return f"<rss version='2.0'><channel>{entries}</channel></rss>".encode()


@dataclass
class World:
    """An ingest service whose feeds are asked when a test says so."""

    service: Service
    folder: Path
    reader: FeedReader
    port: int
    listeners: list[Listener] = field(default_factory=list)
    telemetry: Telemetry = field(default_factory=lambda: Telemetry(CollectorRegistry()))

    async def listen_to(self, **feeds: str) -> None:
        """List these feeds, by name, and forget what was known of them in this process."""
        lines = [
            f"  - {{name: {name}, community: demo, kind: feed, url: '{url}', every: 15m}}\n"
            for name, url in feeds.items()
        ]
        sources: AcceptedFile[Sources] = AcceptedFile("klankbord", parse_sources)
        async with self.service.work() as work:
            await sources.apply(work.connection, (COMMUNITIES + "".join(lines)).encode())
            await sources.refresh(work.connection)
        store, erasures = Store(), self.service.erasures
        ingest = Ingest(store, bytes(32), LanguageDetector(), erasures)
        departures = Departures(store, bytes(32), Forgetting(store, erasures))
        fetcher = Fetcher(
            Gate(Allowed.of([f"127.0.0.1:{self.port}", f"localhost:{self.port}"])), max_seconds=3
        )
        self.telemetry = Telemetry(CollectorRegistry())
        hearing = Hearing(self.service.work, departures, self.telemetry)
        keys = SourceKeys(None, {}, b"")
        keys.refresh(sources.value.by_name.values())
        self.listeners = [
            Listener(
                self.service,
                ingest,
                hearing,
                sources,
                keys,
                ListeningStore(),
                fetcher,
                self.reader,
                lambda: 0.0,
                self.telemetry,
            )
            for _ in range(2)
        ]

    async def poll(self, *, later: bool = True) -> None:
        """Have both replicas take what is due; `later`: after every pause is over."""
        async with self.service.database.connection() as connection:
            if later:
                await connection.execute(
                    "update listening set next_try = now() where next_try is not null"
                )
            due = True
            while due:
                await asyncio.gather(*(listener.look() for listener in self.listeners))
                await asyncio.gather(*(listener.settled() for listener in self.listeners))
                due = await connection.fetchval(
                    "select exists (select from listening where next_try <= now())"
                )

    async def said(self) -> list[PostReceived]:
        """Every post that was committed, in order."""
        async with self.service.database.connection() as connection:
            rows = await connection.fetch("select body from outbox order by batch, position")
        bodies = [bytes(row["body"]) for row in rows]
        return [PostReceived.from_json(body) for body in bodies if b"post.received" in body]

    async def health(self, source: str) -> Any:
        """What others can see of the feed."""
        async with self.service.database.connection() as connection:
            return await connection.fetchrow(
                "select * from published_source_health where source = $1", source
            )


@pytest.fixture
async def world(
    installation: Installation, migrated: Migrated, tmp_path: Path, web: Any
) -> AsyncIterator[World]:
    await migrated("ingest")
    service = Service("ingest", settings(installation, "ingest"))
    with FeedReader() as reader:
        async with service.running():
            yield World(service, tmp_path, reader, web.port)


async def test_a_feed_is_heard_and_again_only_when_it_changed(
    world: World, web: Any, reply: Any
) -> None:
    etag = {"ETag": '"1"', "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}
    await world.listen_to(blog=web.at("/feed", reply(body=rss(a="One", b="Two"), headers=etag)))
    await world.poll(later=False)
    assert [post.data.native_id for post in await world.said()] == ["a", "b"]
    assert list(world.telemetry.last_heard) == ["blog"]
    assert (await world.said())[0].data.published_trust == "claimed"

    web.at("/feed", reply(status=304))
    await world.poll()
    assert web.asked[-1].headers["if-none-match"] == '"1"'
    assert web.asked[-1].headers["if-modified-since"] == etag["Last-Modified"]

    web.at("/feed", reply(body=rss(a="One, and a half", b="Two", c="Three")))
    await world.poll()
    changed = (await world.said())[2:]
    assert [(post.data.native_id, post.data.content) for post in changed] == [
        ("a", "One, and a half"),
        ("c", "Three"),
    ]
    assert changed[0].version > (await world.said())[0].version
    await world.poll()
    assert len(await world.said()) == 4


async def test_what_a_feed_answered_last_outlives_a_restart(
    world: World, web: Any, reply: Any
) -> None:
    url = web.at("/feed", reply(body=rss(a="One"), headers={"ETag": '"7"'}))
    await world.listen_to(blog=url)
    await world.poll()
    await world.listen_to(blog=url)
    await world.poll(later=False)
    assert len(web.asked) == 1
    await world.poll()
    assert web.asked[-1].headers["if-none-match"] == '"7"'


async def test_two_replicas_ask_each_feed_once(world: World, web: Any, reply: Any) -> None:
    feeds = {f"f{n}": web.at(f"/{n}", reply(body=rss(**{f"p{n}": "x"}))) for n in range(30)}
    await world.listen_to(**feeds)
    await world.poll(later=False)
    assert sorted(request.path for request in web.asked) == sorted(f"/{n}" for n in range(30))
    assert len(await world.said()) == 30


async def test_a_feed_that_fails_says_why_and_is_asked_less_and_does_not_hinder_others(
    world: World, web: Any, reply: Any
) -> None:
    await world.listen_to(
        bomb=web.at("/bomb", reply(body=BOMB)),
        page=web.at("/page", reply(body=b"<html><body>Hi</body></html>")),
        missing=web.url("/missing"),
        inside="http://169.254.169.254/latest/meta-data/",
        good=web.at("/good", reply(body=rss(a="One"))),
    )
    await world.poll(later=False)
    told = {name: await world.health(name) for name in ("bomb", "page", "missing", "inside")}
    assert not any(health["healthy"] for health in told.values())
    for name, words in (
        ("bomb", "entities"),
        ("page", "web page"),
        ("missing", "404 (Not Found)"),
        ("inside", "not a public"),
    ):
        assert words in told[name]["reason"]
    assert told["bomb"]["next_poll"] - datetime.now(UTC) > timedelta(minutes=29)
    await world.poll()
    again = await world.health("bomb")
    assert again["next_poll"] - datetime.now(UTC) > timedelta(minutes=59)

    good = await world.health("good")
    assert (good["healthy"], good["reason"], good["kind"]) == (True, None, "feed")
    assert len(await world.said()) == 1

    web.at("/page", reply(body=rss(b="Back")))
    await world.poll()
    assert (await world.health("page"))["healthy"]


async def test_entries_that_are_refused_are_told_of_while_the_rest_is_heard(
    world: World, web: Any, reply: Any
) -> None:
    await world.listen_to(blog=web.at("/feed", reply(body=rss(a="x" * 100_001, b="Two"))))
    await world.poll()
    assert [post.data.native_id for post in await world.said()] == ["b"]
    health = await world.health("blog")
    assert health["healthy"]
    assert "1 of 2 items refused (too_long 1)" in health["reason"]


async def test_a_feed_that_is_gone_is_not_asked_again_until_its_address_changes(
    world: World, web: Any, reply: Any
) -> None:
    await world.listen_to(blog=web.at("/old", reply(status=410)))
    await world.poll()
    await world.poll()
    assert len(web.asked) == 1
    health = await world.health("blog")
    assert (health["healthy"], health["next_poll"]) == (False, None)
    await world.listen_to(blog=web.at("/new", reply(body=rss(a="One"))))
    await world.poll()
    assert (await world.health("blog"))["healthy"]


async def test_wishes_of_the_server_are_honoured(world: World, web: Any, reply: Any) -> None:
    web.at("/there", reply(body=rss(a="One"), headers={"Cache-Control": "max-age=7200"}))
    await world.listen_to(
        busy=web.at("/busy", reply(status=429, headers={"Retry-After": "10800"})).replace(
            "127.0.0.1", "localhost"
        ),
        moved=web.at("/moved", reply(status=301, headers={"Location": "/there"})),
    )
    await world.poll()
    for name, pause in (("busy", timedelta(hours=3)), ("moved", timedelta(hours=2))):
        due = (await world.health(name))["next_poll"] - datetime.now(UTC)
        assert pause - timedelta(minutes=1) < due <= pause
    web.asked.clear()
    await world.poll()
    asked = [request.path for request in web.asked]
    assert asked.count("/there") == 1
    assert asked.count("/busy") <= 1  # the replica that heard it asks that host no more


async def test_a_feed_that_is_no_longer_listed_is_forgotten(
    world: World, web: Any, reply: Any
) -> None:
    feeds = {name: web.at(f"/{name}", reply(body=rss(a="One"))) for name in ("a", "b")}
    await world.listen_to(**feeds)
    await world.poll()
    await world.listen_to(a=feeds["a"])
    await world.poll()
    assert await world.health("b") is None
