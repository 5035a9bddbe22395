"""How each source is listened to, in rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID, uuid4

from klankbord_ingest.kind import Cursor
from klankbord_runtime.db import Connection, load_queries

queries = load_queries("klankbord_ingest")

Way: TypeAlias = Literal["pull", "stream", "backfill"]


@dataclass
class Held:
    """A way of listening to a source that one round of listening alone has for a while."""

    source: str
    way: Way
    holder: UUID
    """In whose name it is held: each claim has its own. So a round that lost its claim writes
    nothing, even where it was the same process that claimed it again."""
    cursor: Cursor
    since: datetime | None
    """Of a backfill: how far back it goes."""
    failures: int
    """How often in a row it failed before; 0 again once it is sound."""
    begun: datetime
    """When it was claimed."""
    is_sound: bool = False
    """Whether it works: something was said since it was claimed, or it was quiet for long."""


@dataclass(frozen=True)
class WayState:
    """What all replicas know of a way of listening to a source."""

    source: str
    way: Way
    healthy: bool
    reason: str | None
    failures: int
    last_success: datetime | None
    next_try: datetime | None
    rate_left: int | None
    heard: int
    since: datetime | None
    held: bool
    """Whether a process has it in hand."""


@dataclass(frozen=True)
class Advance:
    """What is remembered of a page that was heard."""

    cursor: Cursor | None
    next_try: datetime | None
    """When it is due again; none ends it."""
    keeps: bool
    """Whether this process goes on with it."""
    reason: str | None
    """What is to be said of it although it is healthy: items that were refused."""
    heard: int
    rate_left: int | None
    is_sound: bool
    """Whether the failures from before are forgotten."""


@dataclass(frozen=True)
class Failure:
    """What is remembered of a page that could not be had."""

    reason: str
    next_try: datetime | None
    """When to try again; none where it is gone for good."""
    is_waiting: bool = False
    """Whether it was only asked to wait: that is no failure."""
    rate_left: int | None = None


class TakenError(Exception):
    """Another process has it by now: what this one has in hand is not its own any more."""


class ListeningStore:
    """The tables `listening` and `paused`."""

    async def list_ways(
        self,
        connection: Connection,
        ways: Iterable[tuple[str, Way, str, str]],
        sources: Iterable[str],
        now: datetime,
    ) -> None:
        """Know exactly these; what is new, or in another place, is due at once.

        Args:
            connection: in a transaction.
            ways: source, way, kind and place of each.
            sources: every source that is listed; backfills of others are forgotten.
            now: the moment.
        """
        listed = list(ways)
        columns = [list(column) for column in zip(*listed, strict=True)] or [[], [], [], []]
        await connection.execute(queries.list_ways, *columns, list(sources), now)

    async def claim(self, connection: Connection, now: datetime, until: datetime) -> Held | None:
        """What is due, which nobody else gets before `until`."""
        holder = uuid4()
        row = await connection.fetchrow(queries.claim_way, now, until, holder)
        if row is None:
            return None
        cursor: Cursor = row["cursor"]
        return Held(row["source"], row["way"], holder, cursor, row["since"], row["failures"], now)

    async def advance(
        self, connection: Connection, held: Held, advance: Advance, now: datetime
    ) -> None:
        """Remember how far it came.

        Raises:
            TakenError: it is another's by now.
        """
        found = await connection.fetchval(
            queries.advance,
            held.source,
            held.way,
            held.holder,
            advance.cursor,
            advance.next_try,
            advance.keeps,
            advance.reason,
            now,
            advance.rate_left,
            advance.heard,
            advance.is_sound,
        )
        if found is None:
            raise TakenError

    async def hold_on(self, connection: Connection, held: Held, until: datetime) -> bool:
        """Keep it until then; False where it was paused, taken off the list, or is another's."""
        found = await connection.fetchval(
            queries.hold_on, held.source, held.way, held.holder, until, held.is_sound
        )
        return found is not None

    async def fail(self, connection: Connection, held: Held, failure: Failure) -> None:
        """It gave no usable answer."""
        await connection.execute(
            queries.fail,
            held.source,
            held.way,
            held.holder,
            failure.next_try,
            failure.reason,
            failure.is_waiting,
            0 if failure.is_waiting else 1,
            failure.rate_left,
        )

    async def let_go(self, connection: Connection, held: Held, due: datetime) -> None:
        """Leave it to whoever comes first from then on."""
        await connection.execute(queries.let_go, held.source, held.way, held.holder, due)

    async def begin_backfill(
        self, connection: Connection, source: str, kind: str, since: datetime | None, now: datetime
    ) -> None:
        """Have history fetched, from the beginning."""
        await connection.execute(queries.begin_backfill, source, kind, since, now)

    async def pause(self, connection: Connection, source: str, now: datetime) -> None:
        """Listen no more until it is resumed."""
        await connection.execute(queries.pause, source, now)

    async def resume(self, connection: Connection, source: str, now: datetime) -> None:
        """Listen again, at once."""
        await connection.execute(queries.resume, source)
        await self.wake(connection, source, now)

    async def wake(self, connection: Connection, source: str, now: datetime) -> None:
        """Ask it at once, unless somebody is asking already."""
        await connection.execute(queries.wake, source, now)

    async def ways(self, connection: Connection) -> list[WayState]:
        """What is known of every way."""
        rows = await connection.fetch(queries.fetch_ways)
        return [WayState(**row) for row in rows]

    async def paused(self, connection: Connection) -> set[str]:
        """The sources that are paused."""
        rows = await connection.fetch(queries.fetch_paused)
        return {row["source"] for row in rows}
