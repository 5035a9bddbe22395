"""Rows and what they mean: posts that were heard, what they are compared by, and verdicts."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter

from klankbord_moderation.flood import Sighting
from klankbord_moderation.judge import Heard
from klankbord_runtime.db import Connection, load_queries
from klankbord_runtime.erasure import PATIENCE
from klankbord_schemas import Person
from klankbord_schemas.post import Flags, Label, PostReceived

queries = load_queries("klankbord_moderation")

LABELS = TypeAdapter(list[Label])

MAX_SEEN = 1000
"""The most posts with one text or link that are looked at, the newest: far above any `count`."""


@dataclass(frozen=True, slots=True)
class Sought:
    """Something to look for: in which posts, counted in this span of time, was it seen?"""

    key: int
    since: datetime
    until: datetime


class Noted(NamedTuple):
    """What came of keeping versions of posts."""

    posts: set[UUID]
    """The posts of which this version is higher than the one that was known."""
    known_texts: set[int]
    """Those of their texts, by key, that another post was stored with before."""


class Store:
    """The service's tables."""

    async def take_turns(self, connection: Connection, keys: Collection[int]) -> None:
        """Be the only one who judges what has these keys, until the transaction ends."""
        if keys:
            await connection.execute(queries.take_turns, sorted(keys))

    async def hear(self, connection: Connection, heard: Sequence[Heard]) -> Noted:
        """Keep these versions, where they are higher than the one known."""
        rows = await connection.fetch(
            queries.hear,
            [one.post for one in heard],
            [one.event.version for one in heard],
            [one.event.data.community for one in heard],
            [None if one.is_deleted else one.event.data.attributed_to for one in heard],
            [one.event.counted_at for one in heard],
            [one.text_key for one in heard],
            [one.is_deleted for one in heard],
        )
        return Noted(
            {row["post"] for row in rows},
            {row["known_text"] for row in rows if row["known_text"] is not None},
        )

    async def forget(self, connection: Connection, posts: Collection[UUID]) -> None:
        """Drop what earlier versions of these posts said and linked to."""
        await connection.execute(queries.forget, list(posts))

    async def texts_seen(
        self, connection: Connection, sought: Sequence[Sought], apart_from: Collection[UUID]
    ) -> list[Sighting]:
        """Who posted these texts, and when, apart from these posts."""
        rows = await self._seen(connection, queries.fetch_texts_seen, sought, apart_from)
        return [Sighting(row["key"], row["author"], row["counted_at"]) for row in rows]

    async def links_seen(
        self,
        connection: Connection,
        sought: Sequence[Sought],
        apart_from: Collection[UUID],
    ) -> list[Sighting]:
        """Who posted these links, and when, apart from these posts."""
        rows = await self._seen(connection, queries.fetch_links_seen, sought, apart_from)
        return [Sighting(row["key"], row["author"], row["counted_at"]) for row in rows]

    async def hear_links(self, connection: Connection, heard: Iterable[Heard]) -> None:
        """Keep the links of these versions."""
        links = [(link, one) for one in heard for link in one.link_keys]
        if links:
            await connection.execute(
                queries.hear_links,
                [link for link, _ in links],
                [one.post for _, one in links],
                [one.event.data.attributed_to for _, one in links],
                [one.event.counted_at for _, one in links],
            )

    async def write_verdicts(
        self,
        connection: Connection,
        verdicts: Sequence[tuple[PostReceived, Flags]],
        now: datetime,
    ) -> None:
        """Keep what was found in these versions."""
        if not verdicts:
            return
        await connection.execute(
            queries.write_verdicts,
            now,
            [flags.post for _, flags in verdicts],
            [flags.post_sequence for _, flags in verdicts],
            [flags.policy for _, flags in verdicts],
            [flags.community for _, flags in verdicts],
            [flags.source for _, flags in verdicts],
            [event.data.language for event, _ in verdicts],
            [event.counted_at for event, _ in verdicts],
            [LABELS.dump_json(flags.labels).decode() for _, flags in verdicts],
        )

    async def erase(self, connection: Connection, person: Person) -> dict[str, int]:
        """Forget who a member is and what was found; how many rows that was, by what they are."""
        row = await connection.fetchrow(queries.erase_member, *person, timeout=PATIENCE)
        assert row is not None
        return dict(row)

    async def _seen(
        self,
        connection: Connection,
        query: str,
        sought: Sequence[Sought],
        apart_from: Collection[UUID],
    ) -> list[Any]:
        if not sought:
            return []
        rows: list[Any] = await connection.fetch(
            query,
            [one.key for one in sought],
            [one.since for one in sought],
            [one.until for one in sought],
            list(apart_from),
            MAX_SEEN,
        )
        return rows
