"""What ingest remembers, in rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from klankbord_ingest.sequence import History
from klankbord_ingest.tally import Count, SourceHour
from klankbord_runtime.db import Connection, load_queries
from klankbord_runtime.erasure import PATIENCE
from klankbord_schemas import Person

queries = load_queries("klankbord_ingest")


@dataclass(frozen=True)
class Sighting:
    """How a member of a community looked at a moment."""

    community: str
    member: str
    appearance: bytes
    """Of what names and faces them."""
    as_of: datetime


@dataclass(frozen=True)
class SourceState:
    """What all replicas know of a source."""

    source: str
    heard: datetime | None
    """When it last handed something in; None where it did not yet."""
    failures: int | None
    """How often in a row it gave no usable answer; None where it is not asked."""
    rate_left: int | None = None
    """How many requests its platform takes before its limit; None where it does not say."""


@dataclass(frozen=True)
class SilentSource:
    """A source that is silent against its own rhythm."""

    source: str
    since: datetime
    """When it was last heard."""
    expected: float
    """How many posts and interactions should have come between then and `noticed`."""
    noticed: datetime
    """When that was found."""


class Store:
    """Ingest's tables."""

    async def add_deliveries(
        self, connection: Connection, deliveries: Sequence[UUID], now: datetime
    ) -> set[UUID]:
        """Note deliveries; which of them were not noted before."""
        if not deliveries:
            return set()
        rows = await connection.fetch(queries.insert_deliveries, deliveries, now)
        return {row["id"] for row in rows}

    async def forget_deliveries(self, connection: Connection, before: datetime) -> None:
        """Drop the deliveries noted before that moment."""
        await connection.execute(queries.delete_old_deliveries, before)

    async def add_posts(
        self,
        connection: Connection,
        histories: Mapping[UUID, History],
        authors: Mapping[UUID, str | None],
        community: str,
    ) -> set[UUID]:
        """Remember those posts that are not known yet, and say which they were."""
        rows = await connection.fetch(queries.insert_posts, _rows(histories, authors), community)
        return {row["post"] for row in rows}

    async def lock_posts(
        self, connection: Connection, posts: Iterable[UUID]
    ) -> dict[UUID, History]:
        """What is remembered of known posts, locked until the transaction ends."""
        rows = await connection.fetch(queries.lock_posts, list(posts))
        return {row["post"]: _history(row) for row in rows}

    async def standing_versions(
        self, connection: Connection, posts: Iterable[UUID]
    ) -> dict[UUID, int]:
        """The sequence of the version that stands of each post that was not deleted."""
        rows = await connection.fetch(queries.standing_versions, list(posts))
        return {row["post"]: row["standing"] for row in rows}

    async def change_posts(
        self,
        connection: Connection,
        histories: Mapping[UUID, History],
        authors: Mapping[UUID, str | None],
    ) -> None:
        """Remember this of locked posts from now on; the author where none was named before."""
        await connection.execute(queries.update_posts, _rows(histories, authors))

    async def add_interactions(
        self, connection: Connection, authors: Mapping[UUID, str | None], community: str
    ) -> set[UUID]:
        """Remember those interactions that are not known yet, and say which they were."""
        rows = await connection.fetch(
            queries.insert_interactions, list(authors), list(authors.values()), community
        )
        return {row["id"] for row in rows}

    async def see_members(self, connection: Connection, sightings: Sequence[Sighting]) -> set[str]:
        """Remember how members look, one sighting each; the pseudonyms of those who changed."""
        rows = await connection.fetch(
            queries.upsert_members,
            [sighting.community for sighting in sightings],
            [sighting.member for sighting in sightings],
            [sighting.appearance for sighting in sightings],
            [sighting.as_of for sighting in sightings],
        )
        return {row["member"] for row in rows}

    async def known_members(
        self, connection: Connection, community: str, members: Iterable[str]
    ) -> set[str]:
        """Which of these pseudonyms were seen in the community."""
        rows = await connection.fetch(queries.known_members, community, list(members))
        return {row["member"] for row in rows}

    async def note_heard(self, connection: Connection, heard: Mapping[str, datetime]) -> None:
        """Remember when sources were heard, where that is later than what is known."""
        await connection.execute(queries.note_heard, list(heard), list(heard.values()))

    async def source_states(self, connection: Connection) -> list[SourceState]:
        """What is known of every source that was heard, or is polled."""
        rows = await connection.fetch(queries.source_states)
        return [SourceState(**row) for row in rows]

    async def note_hours(
        self, connection: Connection, counts: Mapping[SourceHour, Count], hour: datetime
    ) -> None:
        """Remember what was heard of sources, by the hour, and that somebody listens now."""
        await connection.execute(queries.note_listening, hour)
        if counts:
            await connection.execute(
                queries.note_hours,
                [key.source for key in counts],
                [key.hour for key in counts],
                [count.heard for count in counts.values()],
                [count.last for count in counts.values()],
            )

    async def forget_hours(self, connection: Connection, before: datetime) -> None:
        """Drop what was heard in the hours before that moment."""
        await connection.execute(queries.delete_old_hours, before)

    async def quiet_sources(
        self,
        connection: Connection,
        sources: Iterable[str],
        before: datetime,
        known: timedelta,
    ) -> dict[str, datetime]:
        """When each of these was last heard that may be silent, and was not said to be.

        Args:
            connection: any.
            sources: those that are listened to.
            before: they were not heard since then.
            known: they were known for so long when they were last heard.
        """
        rows = await connection.fetch(queries.quiet_sources, list(sources), before, known)
        return {row["source"]: row["last"] for row in rows}

    async def hours_of(self, connection: Connection, source: str) -> dict[datetime, int]:
        """What was heard of a source in each hour."""
        rows = await connection.fetch(queries.hours_of_source, source)
        return {row["hour"]: row["heard"] for row in rows}

    async def listened_hours(self, connection: Connection) -> set[datetime]:
        """The hours in which somebody listened."""
        return {row["hour"] for row in await connection.fetch(queries.listened_hours)}

    async def note_silence(self, connection: Connection, silence: SilentSource) -> bool:
        """Remember that a source is silent; False where another replica said so already."""
        row = await connection.fetchval(
            queries.note_silence,
            silence.source,
            silence.since,
            silence.expected,
            silence.noticed,
        )
        return row is not None

    async def silences(self, connection: Connection) -> list[SilentSource]:
        """The sources that were found to be silent, and were not heard since."""
        return [SilentSource(**row) for row in await connection.fetch(queries.silences)]

    async def erase(
        self, connection: Connection, person: Person
    ) -> tuple[list[UUID], dict[str, int]]:
        """Forget who a member is and what was said.

        Returns:
            The member's posts, and how many rows changed, by what they are.
        """
        row = await connection.fetchrow(queries.erase_member, *person, timeout=PATIENCE)
        assert row is not None
        posts: list[UUID] = row["posts"]
        counts = {"posts": len(posts), "interactions": row["interactions"], "looks": row["looks"]}
        return posts, counts


def _rows(
    histories: Mapping[UUID, History], authors: Mapping[UUID, str | None]
) -> list[tuple[Any, ...]]:
    """As the type `post_row`."""
    return [
        (
            post,
            authors[post],
            _array(history.numbers),
            _array(history.stated),
            _array(history.stated_deletes),
            history.operation,
            history.newest_live,
            history.digest,
            history.created,
            _byte_array(history.said),
        )
        for post, history in histories.items()
    ]


def _array(numbers: frozenset[int]) -> str:
    """An array as text: a third cheaper to write than an array of its own in each row."""
    return f"{{{','.join(map(str, sorted(numbers)))}}}"


def _byte_array(values: frozenset[bytes]) -> str:
    quoted = ",".join(f'"\\\\x{value.hex()}"' for value in sorted(values))
    return f"{{{quoted}}}"


def _history(row: Mapping[str, Any]) -> History:
    return History(
        numbers=frozenset(row["numbers"]),
        stated=frozenset(row["stated"]),
        stated_deletes=frozenset(row["stated_deletes"]),
        operation=row["operation"],
        newest_live=row["newest_live"],
        digest=row["digest"],
        created=row["created"],
        said=frozenset(row["said"]),
        is_erased=row["erased"],
        author=row["attributed_to"],
    )
