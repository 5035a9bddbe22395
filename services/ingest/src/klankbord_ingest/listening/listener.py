"""Listens to every source that has to be asked or held on to, whichever replica comes first."""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.hearing import Hearing, told
from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.kind import Backfill, Cursor, Page, Pull, Stream, together
from klankbord_ingest.listening.pace import SPREAD, Pace
from klankbord_ingest.listening.store import (
    Advance,
    Failure,
    Held,
    ListeningStore,
    TakenError,
    Way,
)
from klankbord_ingest.outgoing import FetchError
from klankbord_ingest.source import Source, SourceEntry
from klankbord_ingest.sources import Sources
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Delivery, Ingest
from klankbord_ingest.web import GoneError, Hosts, LaterError, RefusedTokenError, Web
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.service import Service

LOOK_EVERY = 1.0
"""Seconds between two looks at what is due."""
AT_ONCE = 8
"""How many sources one replica asks at once; streams do not count."""
MOST_STREAMS = 100
"""How many connections one replica keeps."""
CLAIM = timedelta(minutes=1)
"""How long what is claimed is one replica's; it is claimed anew while there is work."""
HOLD_EVERY = 15.0
"""Seconds between two times that a stream which says nothing is claimed anew."""
PAGE_SECONDS = 300.0
"""How long one page may take; every request of it has a time of its own."""
TOGETHER = 500
"""How many submissions of a stream are written at once, at the least where so many wait."""
STREAM_AGAIN = timedelta(seconds=2)
"""The pause before a stream is taken up again, doubled with each failure."""
STEADY = timedelta(minutes=5)
"""A stream that stayed for so long works, although nobody said anything."""
AHEAD = 64
"""How many pages of a stream are read while others are written."""
STREAM_AGAIN_AT_LAST = timedelta(minutes=5)
"""The longest pause before a stream is taken up again."""
ENDED = "ended"
"""What is said of a stream that came to its end without trouble."""
FULL_SECONDS = 1.0
"""How long to wait before seeing whether the outbox has room again."""

MOST_PAGES = 100
"""After so many pages in a row others have a turn."""

MOST_CURSOR_BYTES = 256 * 1024
"""Four times what a kind may use: a cursor is read and written with every page."""

MAX_REASON = 2000
"""How many characters of a reason are kept."""

log = logging.getLogger(__name__)


def ways_of(entry: SourceEntry) -> list[Way]:
    """The ways in which a source is listened to without being told."""
    known: list[tuple[Way, type[SourceEntry]]] = [("pull", Pull), ("stream", Stream)]
    return [way for way, kind in known if isinstance(entry, kind) and entry.uses(way)]


@dataclass(frozen=True)
class _InHand:
    """What this process listens to just now."""

    held: Held
    source: Source
    entry: SourceEntry
    task: asyncio.Task[None]


class Listener:
    """Asks what is due, and keeps connections open."""

    def __init__(
        self,
        service: Service,
        ingest: Ingest,
        hearing: Hearing,
        sources: AcceptedFile[Sources],
        keys: SourceKeys,
        store: ListeningStore,
        fetcher: Fetcher,
        reader: FeedReader,
        chance: Callable[[], float],
        telemetry: Telemetry,
        public_url: str | None = None,
    ) -> None:
        self._service = service
        self._ingest = ingest
        self._hearing = hearing
        self._sources = sources
        self._keys = keys
        self._store = store
        self._fetcher = fetcher
        self._hosts = Hosts()
        self._reader = reader
        self._chance = chance
        self._telemetry = telemetry
        self._public_url = public_url
        self._listed: str | None = None
        self._in_hand: dict[tuple[str, Way], _InHand] = {}

    def web(self, source: str) -> Web:
        """The web as a source sees it."""
        address = self._public_url and f"{self._public_url.rstrip('/')}/v1/sources/{source}"
        return Web(self._fetcher, self._hosts, self._keys.of(source), self._reader, address)

    async def listen(self) -> None:
        """Listen until it is cancelled; then leave everything to others."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            tasks = [one.task for one in self._in_hand.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> None:
        """Take up what is due, and let go of what is not as it was listed."""
        if not self._sources.accepted:
            return
        await self._list()
        self._let_go_of_changed()
        if self._service.outbox_full:
            return
        while self._has_room():
            now = datetime.now(UTC)
            async with self._service.database.connection() as connection:
                held = await self._store.claim(connection, now, now + CLAIM)
            if held is None:
                return
            self._take_up(held)

    async def settled(self) -> None:
        """Wait until nothing is being asked; streams go on."""
        asking = [one.task for one in self._in_hand.values() if one.held.way != "stream"]
        await asyncio.gather(*asking, return_exceptions=True)

    async def _list(self) -> None:
        digest = self._sources.digest
        if digest == self._listed:
            return
        listed = self._sources.value.by_name
        ways = [
            (source.name, way, source.kind, source.entry.place)
            for source in listed.values()
            if source.entry is not None
            for way in ways_of(source.entry)
        ]
        async with self._service.work() as work:
            await self._store.list_ways(work.connection, ways, listed, work.now)
        self._listed = digest

    def _has_room(self) -> bool:
        streams = sum(one.held.way == "stream" for one in self._in_hand.values())
        return len(self._in_hand) - streams < AT_ONCE and streams < MOST_STREAMS

    def _let_go_of_changed(self) -> None:
        listed = self._sources.value.by_name
        for one in self._in_hand.values():
            if listed.get(one.source.name) != one.source:
                one.task.cancel()

    def _take_up(self, held: Held) -> None:
        source = self._sources.value.by_name.get(held.source)
        if source is None or source.entry is None:
            return  # taken off the list a moment ago; the row goes with the next listing
        task = asyncio.create_task(
            self._listen_to(held, source, source.entry), name=f"{held.way} {held.source}"
        )
        key, mine = (held.source, held.way), _InHand(held, source, source.entry, task)
        if (before := self._in_hand.get(key)) is not None:
            before.task.cancel()  # its claim is gone: it would find out with its next page
        self._in_hand[key] = mine

        def done(_: asyncio.Task[None]) -> None:
            if self._in_hand.get(key) is mine:
                del self._in_hand[key]

        task.add_done_callback(done)

    async def _listen_to(self, held: Held, source: Source, entry: SourceEntry) -> None:
        """Hear what there is, and note what became of it; raises nothing but a cancellation."""
        web = self.web(source.name)
        try:
            await self._hear_all(held, source, entry, web)
        except TakenError:
            log.info("%s %s is paused, or another's by now", held.way, held.source)
            await self._let_go(held)
        except asyncio.CancelledError:
            await self._let_go(held)
            raise
        except TRANSIENT as error:
            # The claim ends by itself; then whoever has a database goes on.
            log.warning("%s %s: %s: %s", held.way, held.source, type(error).__name__, error)
        except FetchError as error:
            await self._note_failure(held, entry, web, error)
        except Exception as error:
            # A source that finds a bug of ours must not keep the others from being heard.
            log.exception("%s %s", held.way, held.source)
            why = f"Klankbord failed over it: {type(error).__name__}; see the log of ingest"
            await self._note_failure(held, entry, web, FetchError("bug", why))

    async def _hear_all(self, held: Held, source: Source, entry: SourceEntry, web: Web) -> None:
        if held.way == "stream":
            assert isinstance(entry, Stream)
            await self._hear_streams(held, source, entry, web)
            return
        for number in range(1, MOST_PAGES + 1):
            page = await self._ask(held, entry, web, held.cursor)
            is_last = not page.more or number == MOST_PAGES
            is_stuck = page.more and page.cursor in (None, held.cursor)
            due = self._due(held, entry, page, is_last=is_last)
            await self._hear(page, held, source, (due, not is_last), web)
            if is_stuck:
                why = "the platform says that there is more, and gives the same page again"
                raise FetchError("bad_answer", why)
            if is_last:
                break
            await self._room()
        if number > 1:
            log.info("%s %s: %d pages in a row", held.way, held.source, number)

    async def _ask(self, held: Held, entry: SourceEntry, web: Web, cursor: Cursor) -> Page:
        """One page; it stays claimed meanwhile, however long a slow platform takes."""
        asking = asyncio.create_task(_contained(self._page(held, entry, web, cursor)))
        try:
            while not (await asyncio.wait({asking}, timeout=HOLD_EVERY))[0]:
                await self._hold_on(held)
            return asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _page(self, held: Held, entry: SourceEntry, web: Web, cursor: Cursor) -> Page:
        """One page; with the next token, where the first one is refused."""
        while True:
            try:
                async with asyncio.timeout(PAGE_SECONDS):
                    if held.way == "backfill":
                        assert isinstance(entry, Backfill)
                        return await entry.backfill(web, cursor, held.since)
                    assert isinstance(entry, Pull)
                    return await entry.fetch(web, cursor, datetime.now(UTC))
            except TimeoutError:
                why = f"a page took longer than {PAGE_SECONDS:g} seconds"
                raise FetchError("too_slow", why) from None
            except RefusedTokenError:
                if not web.take_next_token():
                    raise

    async def _hear_streams(self, held: Held, source: Source, entry: Stream, web: Web) -> None:
        """Hear a stream; again with the next token, where the first one is refused."""
        while True:
            try:
                await self._hear_stream(held, source, entry, web)
            except RefusedTokenError:
                if not web.take_next_token():
                    raise

    async def _hear_stream(self, held: Held, source: Source, entry: Stream, web: Web) -> None:
        """Hear a stream: what comes while a page is written goes together into the next one."""
        pages: asyncio.Queue[Page | Exception] = asyncio.Queue(maxsize=AHEAD)
        reading = asyncio.create_task(_read(entry.stream(web, held.cursor), pages))
        try:
            while True:
                try:
                    async with asyncio.timeout(HOLD_EVERY):
                        first = await pages.get()
                except TimeoutError:
                    await self._hold_on(held)
                    continue
                drained, end = _drained(first, pages)
                if drained:
                    await self._room()
                    due = datetime.now(UTC) + CLAIM
                    await self._hear(together(drained), held, source, (due, True), web)
                if end is not None:
                    raise end
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _let_go(self, held: Held) -> None:
        """Leave it to others, if it is still this process's; else the claim ends by itself."""
        with contextlib.suppress(*TRANSIENT):
            async with self._service.database.connection() as connection:
                await self._store.let_go(connection, held, datetime.now(UTC))

    async def _hold_on(self, held: Held) -> None:
        is_steady = datetime.now(UTC) - held.begun > STEADY
        held.is_sound |= held.way == "stream" and is_steady
        async with self._service.database.connection() as connection:
            until = datetime.now(UTC) + CLAIM
            if not await self._store.hold_on(connection, held, until):
                raise TakenError

    async def _room(self) -> None:
        while self._service.outbox_full:  # noqa: ASYNC110  others empty it, in the database
            await asyncio.sleep(FULL_SECONDS)

    def _due(self, held: Held, entry: SourceEntry, page: Page, *, is_last: bool) -> datetime | None:
        """When the next page is due, for whoever comes then."""
        now = datetime.now(UTC)
        if page.more:
            return now if is_last else now + CLAIM
        if held.way == "backfill":
            return None
        return self._pace_of(held, entry).after_success(now, page.wish)

    def _pace_of(self, held: Held, entry: SourceEntry) -> Pace:
        if held.way == "pull" and isinstance(entry, Pull):
            return Pace(entry.every, self._chance())
        return Pace(STREAM_AGAIN, self._chance(), STREAM_AGAIN_AT_LAST)

    async def _hear(
        self,
        page: Page,
        held: Held,
        source: Source,
        following: tuple[datetime | None, bool],
        web: Web,
    ) -> None:
        """Write a page and the cursor after it, all or nothing."""
        _check_cursor(page.cursor)
        own = replace(source, kind="import") if held.way == "backfill" else source
        submissions, refused = await self._hearing.said(page, source)
        reason = told(refused, len(submissions))
        due, keeps = following
        # A stream that only connects may break off at once, and then is not met again at once:
        # some platforms count how often one comes (Discord: a thousand times a day).
        says_something = bool(page.submissions or page.refused)
        held.is_sound |= held.way != "stream" or says_something
        advance = Advance(
            cursor=page.cursor,
            next_try=due,
            keeps=keeps,
            reason=None if reason is None else _kept(web.without_secrets(reason)),
            heard=len(submissions),
            rate_left=web.rate_left,
            is_sound=held.is_sound,
        )
        async with self._service.work() as work:
            delivery = Delivery(submissions, traceparent=self._service.tracing.begin())
            (receipt,) = await self._ingest.receive([delivery], own, work)
            await self._store.advance(work.connection, held, advance, work.now)
        held.cursor = held.cursor if advance.cursor is None else advance.cursor
        held.failures = 0 if held.is_sound else held.failures
        if submissions:
            self._telemetry.heard(source.name, *receipt)
            log.info(
                "%s %s: %d new, %d known, %d by erased members, %d refused",
                held.way,
                held.source,
                receipt.received,
                receipt.duplicate,
                receipt.erased,
                len(refused),
            )

    async def _note_failure(
        self, held: Held, entry: SourceEntry, web: Web, error: FetchError
    ) -> None:
        now, is_waiting = datetime.now(UTC), _is_no_failure(error, held)
        wish = error.wish if isinstance(error, LaterError) else None
        pace = self._pace_of(held, entry)
        next_try = (
            now + (wish or STREAM_AGAIN) * (1 + SPREAD * self._chance())
            if is_waiting
            else pace.after_failure(now, held.failures + 1, wish)
        )
        reason = _kept(web.without_secrets(str(error)))
        failure = Failure(
            reason,
            None if isinstance(error, GoneError) else next_try,
            is_waiting=is_waiting,
            rate_left=web.rate_left,
        )
        level = logging.INFO if is_waiting else logging.WARNING
        log.log(level, "%s %s: %s", held.way, held.source, reason)
        try:
            async with self._service.database.connection() as connection:
                await self._store.fail(connection, held, failure)
        except TRANSIENT as broken:
            log.warning("%s %s: %s: %s", held.way, held.source, type(broken).__name__, broken)


def _is_no_failure(error: FetchError, held: Held) -> bool:
    """Whether the platform only asked to wait, or ended a stream that it had spoken on."""
    return error.code == "too_many_requests" or (error.code == ENDED and held.is_sound)


def _check_cursor(cursor: Cursor | None) -> None:
    """See that a cursor can be stored: a part of it is what the platform said.

    Raises:
        FetchError: it cannot, or grows beyond what any kind needs.
    """
    try:
        text = json.dumps(cursor, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:  # no number, or half of a surrogate pair
        why = f"the platform says to go on at a place that cannot be kept: {error}"
        raise FetchError("bad_answer", why) from None
    if len(text) > MOST_CURSOR_BYTES:
        why = f"the platform says to go on at a place that takes {len(text):,} bytes to write down"
        raise FetchError("bad_answer", why)
    if _NUL.search(text):
        why = "the platform says to go on at a place that holds a NUL character"
        raise FetchError("bad_answer", why)


_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def _kept(reason: str) -> str:
    """A reason as a table takes it: what a server says may hold anything."""
    return reason.replace("\0", "�").encode("utf-8", "replace").decode()[:MAX_REASON]


async def _contained(page: Awaitable[Page]) -> Page:
    """The page; whatever its kind raises, it ends nothing but this."""
    try:
        return await page
    except BaseException as error:
        if not _is_mishap(error):
            raise
        raise _mishap(error) from error


def _is_mishap(error: BaseException) -> bool:
    """Whether a kind, which may be anybody's, raised what would end more than its own round.

    Such are SystemExit, and a CancelledError although nobody cancelled.
    """
    task = asyncio.current_task()
    is_cancelled = task is not None and task.cancelling() > 0
    return not (is_cancelled or isinstance(error, Exception | GeneratorExit | KeyboardInterrupt))


def _mishap(error: BaseException) -> RuntimeError:
    return RuntimeError(f"the kind raised {type(error).__name__}")


async def _read(stream: AsyncGenerator[Page, None], pages: asyncio.Queue[Page | Exception]) -> None:
    """Put pages into the queue, and at last how it ended."""
    try:
        async with aclosing(stream):
            async for page in stream:
                await pages.put(page)
    except Exception as error:  # noqa: BLE001  it is raised again by whoever takes it out
        await pages.put(error)
    except BaseException as error:
        if not _is_mishap(error):
            raise
        await pages.put(_mishap(error))
    else:
        await pages.put(FetchError(ENDED, "the platform ended the connection"))


def _drained(
    first: Page | Exception, pages: asyncio.Queue[Page | Exception]
) -> tuple[list[Page], Exception | None]:
    """What is there by now, up to some five hundred submissions; and how it ended, if it did."""
    drained: list[Page] = []
    size, one = 0, first
    while True:
        if isinstance(one, Exception):
            return drained, one
        drained.append(one)
        size += len(one.submissions)
        if size >= TOGETHER or pages.empty():
            return drained, None
        one = pages.get_nowait()
