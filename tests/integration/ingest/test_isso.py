"""Isso, a real server of comments, heard through its Atom feed: once, whoever is started anew."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from isso import Isso, needs_isso
from prometheus_client import CollectorRegistry
from world import Migrated, settings

from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.fetch import Fetched, Fetcher
from klankbord_ingest.hearing import Hearing
from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.kinds import feed
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

PAGE = "/blog/1"
TAG = "tag:blog.example.org,2018:/isso/1/"

pytestmark = [pytest.mark.system, needs_isso]


@dataclass
class Answers(Fetcher):
    """Notes what the server answered."""

    allowed: str
    statuses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(Gate(Allowed.of([self.allowed])), max_seconds=3)

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Fetched:
        answer = await super().request(method, url, headers, body, seconds, max_bytes)
        self.statuses.append(answer.status)
        return answer


@dataclass
class Scene:
    """An ingest service that listens to Isso when a test says so."""

    service: Service
    isso: Isso
    reader: FeedReader
    answers: Answers
    listener: Listener | None = None

    async def start(self) -> None:
        """Listen, in a process that knows nothing but what the database keeps."""
        listed = f"""
        communities:
          - {{slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}}
        sources:
          - {{name: blog, community: demo, kind: feed, url: '{self.isso.feed(PAGE)}'}}
        """
        sources: AcceptedFile[Sources] = AcceptedFile("klankbord", parse_sources)
        async with self.service.work() as work:
            await sources.apply(work.connection, listed.encode())
            await sources.refresh(work.connection)
        store, erasures = Store(), self.service.erasures
        telemetry = Telemetry(CollectorRegistry())
        departures = Departures(store, bytes(32), Forgetting(store, erasures))
        self.listener = Listener(
            self.service,
            Ingest(store, bytes(32), LanguageDetector(), erasures),
            Hearing(self.service.work, departures, telemetry),
            sources,
            SourceKeys(None, {}, b""),
            ListeningStore(),
            self.answers,
            self.reader,
            lambda: 0.0,
            telemetry,
        )

    async def hear(self) -> list[tuple[str, str, str | None]]:
        """Ask at once; gives id, words and whom it answers of every version that there is."""
        assert self.listener is not None
        await self.listener.look()  # what is listed anew is due at once
        await self.listener.settled()
        async with self.service.database.connection() as connection:
            await connection.execute("update listening set next_try = now()")
            await self.listener.look()
            await self.listener.settled()
            rows = await connection.fetch("select body from outbox order by batch, position")
        bodies = [bytes(row["body"]) for row in rows if b"post.received" in bytes(row["body"])]
        posts = [PostReceived.from_json(body).data for body in bodies]
        return [
            (
                post.native_id.removeprefix(TAG),
                post.content,
                post.in_reply_to and post.in_reply_to.removeprefix(TAG),
            )
            for post in posts
        ]

    async def reason(self) -> str | None:
        """What is said of the source's health."""
        async with self.service.database.connection() as connection:
            told: str | None = await connection.fetchval("select reason from listening")
            return told


@pytest.fixture
def isso(tmp_path: Path) -> Iterator[Isso]:
    server = Isso(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def scene(installation: Installation, migrated: Migrated, isso: Isso) -> AsyncIterator[Scene]:
    await migrated("ingest")
    service = Service("ingest", settings(installation, "ingest"))
    with FeedReader() as reader:
        async with service.running():
            yield Scene(service, isso, reader, Answers(f"127.0.0.1:{isso.port}"))


async def test_comments_are_heard_once_whichever_side_is_started_anew(scene: Scene) -> None:
    isso, answers = scene.isso, scene.answers
    first = isso.say(PAGE, "Love *this*, but it hangs.", "Eva")
    await scene.start()
    heard = [(str(first), "Love this, but it hangs.", None)]
    assert await scene.hear() == heard
    assert answers.statuses == [200, 304]

    # Isso away: nothing is lost, and the reason is told.
    isso.stop()
    assert await scene.hear() == heard
    assert "takes no connection" in str(await scene.reason())
    isso.start()
    second = isso.say(PAGE, "Hoe kan ik dat uitzetten?", "Jan")
    heard.append((str(second), "Hoe kan ik dat uitzetten?", None))
    assert await scene.hear() == heard
    assert await scene.reason() is None

    # Klankbord started anew: the cursor is the database's.
    answers.statuses.clear()
    await scene.start()
    assert await scene.hear() == heard
    assert set(answers.statuses) == {304}


async def test_an_edit_and_an_answer_are_heard_although_the_etag_stays(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    isso, answers = scene.isso, scene.answers
    first = isso.say(PAGE, "It hangs.", "Eva")
    await scene.start()
    heard = await scene.hear()
    isso.edit(first, "It hangs, *always*.")
    answer = isso.say(PAGE, "Bij mij ook.", "Jan", parent=first)
    answers.statuses.clear()
    # Isso's ETag names the newest comment that answers none, and so says that nothing changed.
    assert await scene.hear() == heard
    assert set(answers.statuses) == {304}
    # Some hours later the feed is asked for all the same.
    monkeypatch.setattr(feed, "READ_ANEW", -feed.READ_ANEW)
    heard += [
        (str(first), "It hangs, always.", None),
        (str(answer), "Bij mij ook.", str(first)),
    ]
    assert sorted(await scene.hear()) == sorted(heard)
    assert sorted(await scene.hear()) == sorted(heard)
