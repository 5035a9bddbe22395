"""What every kind that is asked promises."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from conformance.ear import Ear, entry_of, web_of
from conformance.platform import Answered, Asked, PullPlatform
from conformance.platforms_found import at
from conformance.server import Server, serving

from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.kind import Backfill, FetchError, Page, Pull
from klankbord_ingest.web import GoneError, LaterError, RefusedTokenError, Web

MOST_PAGES = 200


class Place:
    """A source that is asked, with a new instance of everything each time: nothing is remembered
    but the cursor.
    """

    def __init__(self, platform: PullPlatform, server: Server, reader: FeedReader) -> None:
        self.platform = platform
        self.server = server
        self.reader = reader
        self.ear = Ear()

    def web(self, max_seconds: float = 5.0) -> Web:
        return web_of(
            self.entry,
            self.platform,
            [self.server.port],
            reader=self.reader,
            max_seconds=max_seconds,
        )

    @property
    def entry(self) -> Pull:
        entry = entry_of(self.platform, self.server.base)
        assert isinstance(entry, Pull)
        return entry

    async def ask(self, *, max_seconds: float = 5.0) -> int:
        """Ask until there is no more; how many new versions were heard."""
        new, web = 0, self.web(max_seconds)
        for _ in range(MOST_PAGES):
            page = await self.entry.fetch(web, self.ear.cursor, datetime.now(UTC))
            new += self.ear.hear(page)
            if not page.more:
                return new
        raise AssertionError(f"there is still more after {MOST_PAGES} pages")

    async def ask_for_history(self, ear: Ear, since: datetime | None) -> int:
        entry, web, new = self.entry, self.web(), 0
        assert isinstance(entry, Backfill)
        for _ in range(MOST_PAGES):
            page: Page = await entry.backfill(web, ear.cursor, since)
            new += ear.hear(page, is_history=True)
            if not page.more:
                return new
        raise AssertionError(f"there is still more after {MOST_PAGES} pages")

    def expected(self, **texts: str) -> dict[str, str]:
        return {self.platform.native_id(id_[1:]): text for id_, text in texts.items()}


@pytest.fixture(scope="module")
def reader() -> Iterator[FeedReader]:
    with FeedReader() as reader:
        yield reader


@pytest.fixture
async def place(request: pytest.FixtureRequest, reader: FeedReader) -> AsyncIterator[Place]:
    platform: PullPlatform = request.param()
    platform.say("1001", "Hello 1")
    platform.say("1002", "Hello 2")
    async with serving(platform.answer) as server:
        yield Place(platform, server, reader)


@at(PullPlatform)
async def test_what_is_said_is_heard_once_and_it_goes_on_where_it_stopped(place: Place) -> None:
    await place.ask()
    place.platform.say("1003", "Hello 3")
    assert await place.ask() == 1
    assert await place.ask() == 0
    place.platform.say("1004", "Hello 4")
    place.platform.say("1005", "Hello 5")
    assert await place.ask() == 2
    heard = place.ear.standing
    new = place.expected(_1003="Hello 3", _1004="Hello 4", _1005="Hello 5")
    assert {post: heard[post] for post in new} == new


@at(PullPlatform)
async def test_what_is_told_again_is_the_same(place: Place) -> None:
    before = place.ear.cursor
    await place.ask()
    place.platform.say("1003", "Hello 3")
    place.ear.cursor, known = before, place.ear.new
    await place.ask()
    assert place.ear.new - known <= 1
    await place.ask()
    assert place.expected(_1003="Hello 3").items() <= place.ear.standing.items()


@at(PullPlatform, lambda platform: platform.edits)
async def test_an_edit_is_a_version_of_the_same_post(place: Place) -> None:
    await place.ask()
    place.platform.say("1003", "Hello 3")
    await place.ask()
    place.platform.edit("1003", "Hello again")
    assert await place.ask() == 1
    assert place.expected(_1003="Hello again").items() <= place.ear.standing.items()


@at(PullPlatform, lambda platform: platform.deletes)
async def test_a_delete_takes_the_post_that_it_names(place: Place) -> None:
    await place.ask()
    place.platform.say("1003", "Hello 3")
    await place.ask()
    place.platform.delete("1003")
    assert await place.ask() == 1
    assert place.platform.native_id("1003") not in place.ear.standing


@at(PullPlatform, lambda platform: platform.spoils)
async def test_a_bad_item_in_a_good_page_hinders_no_other(place: Place) -> None:
    await place.ask()
    place.platform.is_spoiled = True
    place.platform.say("1003", "Hello 3")
    await place.ask()
    assert place.ear.refused
    assert place.expected(_1003="Hello 3").items() <= place.ear.standing.items()
    place.platform.say("1004", "Hello 4")
    await place.ask()
    assert place.expected(_1004="Hello 4").items() <= place.ear.standing.items()


def always(status: int, body: bytes = b"", **headers: str) -> Answered:
    return Answered(body, status, {name.replace("_", "-"): text for name, text in headers.items()})


@at(PullPlatform)
@pytest.mark.parametrize(
    ("answered", "code"),
    [
        (always(500, b"oops"), "bad_answer"),
        (always(503), "unavailable"),
        (always(200, b"<html>", Content_Type="application/json"), ""),
        (always(200, b"[" * 100_000, Content_Type="application/json"), ""),
    ],
    ids=["500", "503", "nonsense", "too deep"],
)
async def test_after_trouble_nothing_is_lost(place: Place, answered: Answered, code: str) -> None:
    await place.ask()
    place.platform.say("1003", "Hello 3")
    place.server.trouble = lambda _: answered
    with pytest.raises(FetchError) as told:
        await place.ask()
    assert code in ("", told.value.code)
    place.server.trouble = None
    await place.ask()
    assert place.expected(_1003="Hello 3").items() <= place.ear.standing.items()


@at(PullPlatform)
async def test_who_asks_too_often_waits_for_as_long_as_the_platform_wishes(place: Place) -> None:
    await place.ask()
    place.platform.say("1003", "Hello 3")
    place.server.trouble = lambda _: always(429, Retry_After="1800")
    web = place.web()
    with pytest.raises(LaterError) as told:
        await place.entry.fetch(web, place.ear.cursor, datetime.now(UTC))
    assert told.value.wish == timedelta(minutes=30)
    asked = len(place.server.asked)
    with pytest.raises(LaterError):
        await place.entry.fetch(web, place.ear.cursor, datetime.now(UTC))
    assert len(place.server.asked) == asked  # the host is left alone
    place.server.trouble = None
    await place.ask()
    assert place.expected(_1003="Hello 3").items() <= place.ear.standing.items()


@at(PullPlatform)
async def test_a_server_that_does_not_answer_is_left(place: Place) -> None:
    await place.ask()
    place.platform.say("1003", "Hello 3")
    place.server.hangs = True
    with pytest.raises(FetchError) as told:
        async with asyncio.timeout(20):
            await place.ask(max_seconds=0.3)
    assert told.value.code == "too_slow"
    place.server.hangs = False
    await place.ask()
    assert place.expected(_1003="Hello 3").items() <= place.ear.standing.items()


@at(PullPlatform, lambda platform: platform.follows)
async def test_what_moved_is_followed(place: Place) -> None:
    await place.ask()
    place.platform.say("1003", "Hello 3")
    answer = place.platform.answer

    def moved(asked: Asked) -> Answered:
        if not asked.path.startswith("/moved"):
            query = "&".join(f"{name}={value}" for name, value in asked.query.items())
            location = f"/moved{asked.path}?{query}".rstrip("?")
            return always(301, Location=location)
        path = asked.path.removeprefix("/moved")
        return answer(Asked(asked.method, path, asked.query, asked.headers, asked.body, asked.base))

    place.server.trouble = moved
    await place.ask()
    assert place.expected(_1003="Hello 3").items() <= place.ear.standing.items()


@at(PullPlatform)
async def test_what_is_gone_is_told(place: Place) -> None:
    place.server.trouble = lambda _: always(410)
    with pytest.raises(GoneError):
        await place.ask()


@at(PullPlatform)
async def test_a_refused_token_is_told_and_no_secret_with_it(place: Place) -> None:
    place.server.trouble = lambda _: always(401)
    web = place.web()
    with pytest.raises(RefusedTokenError) as told:
        await place.entry.fetch(web, {}, datetime.now(UTC))
    shown = web.without_secrets(str(told.value))
    for secret in place.platform.secrets.values():
        assert secret not in shown


@at(PullPlatform, lambda platform: platform.hears_history)
async def test_history_is_fetched_whole_and_page_by_page(place: Place) -> None:
    for number in range(3, 131):
        place.platform.say(str(1000 + number), f"Hello {number}")
    ear = Ear()
    await place.ask_for_history(ear, None)
    expected = {
        place.platform.native_id(str(1000 + number)): f"Hello {number}" for number in range(1, 131)
    }
    assert ear.standing == expected
    ear.cursor = {}
    assert await place.ask_for_history(ear, None) == 0
    await place.ask()
    for post, history in place.ear.histories.items():
        assert post in ear.histories, history  # whatever the way, a post is one post
