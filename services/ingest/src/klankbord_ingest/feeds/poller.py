"""Asks feeds for what is new, each when it is due, whichever replica comes first."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus

from klankbord_ingest.feeds.document import UnreadableFeedError
from klankbord_ingest.feeds.entries import submissions
from klankbord_ingest.feeds.schedule import Pace, freshness, retry_after
from klankbord_ingest.feeds.store import Answer, DueFeed, FeedStore
from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.fetch import Fetched, Fetcher, FetchError
from klankbord_ingest.sources import Feed, Sources
from klankbord_ingest.submission import FieldError
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Delivery, Ingest
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.service import Service

CONCURRENT = 8
"""How many feeds one replica asks at once."""
CLAIM = timedelta(minutes=1)
"""How long a feed is one replica's: longer than fetching it and waiting for the reader take."""

log = logging.getLogger(__name__)


class _Failed(Exception):  # noqa: N818  what became of the feed, not an error of ours
    """A feed gave no usable answer, and wishes to be left alone for so long, or for ever."""

    def __init__(self, reason: str, wish: timedelta | None = None, *, is_gone: bool = False):
        super().__init__(reason)
        self.wish = wish
        self.is_gone = is_gone


class Poller:
    """Asks the feeds that are due."""

    def __init__(
        self,
        service: Service,
        ingest: Ingest,
        sources: AcceptedFile[Sources],
        store: FeedStore,
        fetcher: Fetcher,
        reader: FeedReader,
        chance: Callable[[], float],
        telemetry: Telemetry,
    ) -> None:
        self._service = service
        self._ingest = ingest
        self._sources = sources
        self._store = store
        self._fetcher = fetcher
        self._reader = reader
        self._reader_is_free = asyncio.Lock()
        self._chance = chance
        self._telemetry = telemetry
        self._listed: str | None = None

    async def poll_due(self) -> None:
        """Ask every feed that is due, a few at a time."""
        if not self._sources.accepted or self._service.outbox_full:
            return
        await self._list_feeds()
        await asyncio.gather(*(self._poll_while_due() for _ in range(CONCURRENT)))

    async def _list_feeds(self) -> None:
        digest = self._sources.digest
        if digest != self._listed:
            async with self._service.work() as work:
                feeds = self._sources.value.feeds
                await self._store.list_feeds(work.connection, feeds, work.now)
            self._listed = digest

    async def _poll_while_due(self) -> None:
        while True:
            now = datetime.now(UTC)
            async with self._service.database.connection() as connection:
                due = await self._store.claim(connection, now, now + CLAIM)
            if due is None:
                return
            feeds = {feed.source.name: feed for feed in self._sources.value.feeds}
            if due.source in feeds:
                await self._poll(feeds[due.source], due)

    async def _poll(self, feed: Feed, due: DueFeed) -> None:
        pace = Pace(feed.every, self._chance())
        try:
            await self._ask(feed, due, pace)
        except _Failed as failed:
            await self._note_failure(due, pace, failed)
        except (FetchError, UnreadableFeedError) as error:
            await self._note_failure(due, pace, _Failed(str(error)))
        except TRANSIENT:
            raise
        except Exception as error:
            # One feed that finds a bug of ours must not keep the others from being heard.
            log.exception("feed %s", due.source)
            reason = f"Klankbord failed over it: {type(error).__name__}; see the log of ingest"
            await self._note_failure(due, pace, _Failed(reason))

    async def _ask(self, feed: Feed, due: DueFeed, pace: Pace) -> None:
        fetched = await self._fetcher.get(due.url, _conditions(due))
        now = datetime.now(UTC)
        digest = sha256(fetched.body).digest()
        if fetched.status == HTTPStatus.NOT_MODIFIED or (
            fetched.status == HTTPStatus.OK and digest == due.body_digest
        ):
            next_poll = pace.after_success(now, freshness(fetched.headers, None))
            url = fetched.moved_to or due.url
            async with self._service.database.connection() as connection:
                await self._store.unchanged(connection, due.source, url, now, next_poll)
        elif fetched.status == HTTPStatus.OK:
            await self._hear(feed, due, fetched, digest, pace)
        else:
            raise _refusal(fetched, now)

    async def _hear(
        self, feed: Feed, due: DueFeed, fetched: Fetched, digest: bytes, pace: Pace
    ) -> None:
        async with self._reader_is_free:
            document = await asyncio.to_thread(self._reader.read, fetched.body)
        async with self._service.work() as work:
            posts, refused = await asyncio.to_thread(submissions, document, fetched.url, work.now)
            delivery = Delivery(posts, traceparent=self._service.tracing.begin())
            (receipt,) = await self._ingest.receive([delivery], feed.source, work)
            answer = Answer(
                url=fetched.moved_to or due.url,
                etag=fetched.headers.get("etag"),
                last_modified=fetched.headers.get("last-modified"),
                body_digest=digest,
                reason=_told(refused, len(document.entries)),
            )
            wish = freshness(fetched.headers, document.ttl_minutes)
            next_poll = pace.after_success(work.now, wish)
            await self._store.answered(work.connection, due.source, answer, work.now, next_poll)
        if posts:
            self._telemetry.heard(due.source, *receipt)
        log.info(
            "feed %s: %d new, %d known, %d by erased members, %d refused",
            due.source,
            receipt.received,
            receipt.duplicate,
            receipt.erased,
            len(refused),
        )

    async def _note_failure(self, due: DueFeed, pace: Pace, failed: _Failed) -> None:
        now = datetime.now(UTC)
        next_poll = pace.after_failure(now, due.failures + 1, failed.wish)
        async with self._service.database.connection() as connection:
            await self._store.failed(
                connection, due.source, str(failed), None if failed.is_gone else next_poll
            )
        log.warning("feed %s is not healthy: %s", due.source, failed)


def _conditions(due: DueFeed) -> dict[str, str]:
    """Header fields that ask for the feed only if it changed (RFC 9110, section 13)."""
    conditions = {"If-None-Match": due.etag, "If-Modified-Since": due.last_modified}
    return {name: value for name, value in conditions.items() if value}


def _refusal(fetched: Fetched, now: datetime) -> _Failed:
    """What to make of an answer that is neither the feed nor that it is as it was."""
    status = fetched.status
    known = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown status"
    reason = f"{fetched.url} answered {status} ({known})"
    if status == HTTPStatus.GONE:
        return _Failed(
            f"{reason}: the feed is gone for good; remove it or change its address", is_gone=True
        )
    return _Failed(reason, retry_after(fetched.headers, now))


def _told(refused: Sequence[FieldError], entries: int) -> str | None:
    """What to say of entries that were refused; none if there are none."""
    if not refused:
        return None
    first = refused[0]
    codes = Counter(error.code for error in refused)
    counted = ", ".join(f"{code} {count}" for code, count in codes.most_common())
    number = len({error.index for error in refused})
    return (
        f"{number} of {entries} entries refused ({counted}); "
        f"the first: entry {first.index}, {first.field} {first.why}"
    )
