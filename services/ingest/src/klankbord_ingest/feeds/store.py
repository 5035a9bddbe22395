"""Where each feed stands, in rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from klankbord_ingest.sources import Feed
from klankbord_runtime.db import Connection, load_queries

queries = load_queries("klankbord_ingest")


@dataclass(frozen=True)
class DueFeed:
    """A feed that is to be asked now, and what is known of its last answer."""

    source: str
    url: str
    etag: str | None
    last_modified: str | None
    body_digest: bytes | None
    failures: int
    """How often in a row it failed."""


@dataclass(frozen=True)
class Answer:
    """What is remembered of an answer that brought a feed."""

    url: str
    etag: str | None
    last_modified: str | None
    body_digest: bytes
    reason: str | None
    """What is to be said of it although it is healthy: entries that were refused."""


class FeedStore:
    """The table `feed`."""

    async def list_feeds(
        self, connection: Connection, feeds: Iterable[Feed], now: datetime
    ) -> None:
        """Know exactly these feeds; a new one, and one with another address, is due at once."""
        listed = {feed.source.name: feed.url for feed in feeds}
        await connection.execute(queries.list_feeds, list(listed), list(listed.values()), now)

    async def claim(self, connection: Connection, now: datetime, until: datetime) -> DueFeed | None:
        """A feed that is due, which nobody else gets before `until`."""
        row = await connection.fetchrow(queries.claim_feed, now, until)
        return None if row is None else DueFeed(**row)

    async def answered(
        self,
        connection: Connection,
        source: str,
        answer: Answer,
        now: datetime,
        next_poll: datetime,
    ) -> None:
        """The feed brought something new."""
        await connection.execute(
            queries.feed_answered,
            source,
            answer.url,
            answer.etag,
            answer.last_modified,
            answer.body_digest,
            next_poll,
            answer.reason,
            now,
        )

    async def unchanged(
        self, connection: Connection, source: str, url: str, now: datetime, next_poll: datetime
    ) -> None:
        """The feed answered that it is as it was."""
        await connection.execute(queries.feed_unchanged, source, url, next_poll, now)

    async def failed(
        self, connection: Connection, source: str, reason: str, next_poll: datetime | None
    ) -> None:
        """The feed did not answer, or not with a feed; without `next_poll` it is gone for good."""
        await connection.execute(queries.feed_failed, source, next_poll, reason)
