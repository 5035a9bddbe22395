"""Forgetting a person: what every service does alike.

A person is known here by a digest alone. Whatever is taken in is asked for first
(`without_erased`), under a shared advisory lock. Whoever is to be forgotten is noted first, under
the exclusive one and in a transaction of its own (`begin`): when that commits, every batch that was
in hand has committed, and every later one sees the note. So what follows finds all there is, holds
up nobody however long it takes, and nothing comes after it. docs/adr/0009 says what goes and what
stays.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

from klankbord_runtime.db import Connection, Database, Queries
from klankbord_runtime.faults import NotYetError
from klankbord_runtime.work import Work
from klankbord_schemas.erasure import ErasureCompleted
from klankbord_schemas.event import Event
from klankbord_schemas.identity import Person
from klankbord_schemas.member import MemberErased as Erased

T = TypeVar("T")

PATIENCE = 600.0
"""Seconds that one statement of an erasure may take: it may have to read a whole table."""


@dataclass(frozen=True)
class Forgotten:
    """What a service has forgotten."""

    removed: Mapping[str, int]
    """How many of its rows, by what they are."""
    subjects: Sequence[str] = ()
    """Of events that are about the person even where they name nobody: they leave the outbox."""


Forget: TypeAlias = Callable[[Erased, Work], Awaitable[Forgotten]]
"""Removes the service's own rows about the person."""


class Erasures:
    """The forgetting of one service."""

    def __init__(self, service: str, database: Database, queries: Queries) -> None:
        self._service = service
        self._database = database
        self._queries = queries

    async def is_anyone_erased(self, connection: Connection, scopes: Collection[str]) -> bool:
        """Whether anyone there is forgotten. If not, nobody is until the transaction ends.

        This is far cheaper to ask than who, which takes a digest of everybody.
        """
        found: bool = await connection.fetchval(self._queries.is_anyone_erased, list(scopes))
        return found

    async def erased_among(
        self, connection: Connection, persons: Iterable[Person | None]
    ) -> set[Person]:
        """Which of these are forgotten. None of the others is, until the transaction ends."""
        asked = {person for person in persons if person is not None}
        if not asked:
            return set()
        scopes, digests = zip(*asked, strict=True)
        rows = await connection.fetch(self._queries.fetch_erased, scopes, digests)
        return {Person(row["scope"], row["person"]) for row in rows}

    async def without_erased(
        self, connection: Connection, events: Sequence[Event[Any]]
    ) -> list[Event[Any]]:
        """The events that are about nobody who is forgotten."""
        if all(event.person is None for event in events):
            return list(events)  # asking would make an erasure wait for itself
        scopes = {event.scope for event in events}
        return await self.spared(connection, events, attrgetter("person"), scopes)

    async def spared(
        self,
        connection: Connection,
        told: Sequence[T],
        person_of: Callable[[T], Person | None],
        scopes: Collection[str],
    ) -> list[T]:
        """What of this is about nobody who is forgotten, all of it being in these scopes."""
        if not told or not await self.is_anyone_erased(connection, scopes):
            return list(told)
        persons = [person_of(one) for one in told]
        erased = await self.erased_among(connection, persons)
        return [one for one, person in zip(told, persons, strict=True) if person not in erased]

    async def begin(self, connection: Connection, person: Person, now: datetime) -> None:
        """Wait for what is in hand, then let nothing about the person in, once this commits."""
        await connection.execute(self._queries.begin_erasure)
        await connection.execute(self._queries.note_erased, *person, now)

    async def complete(self, event: Erased, forget: Forget, work: Work) -> None:
        """Forget the person here, and say so when it is done.

        Raises:
            NotYetError: something about the person is still to be sent; try again.
        """
        async with self._database.transaction() as connection:
            await self.begin(connection, event.erased, work.now)
        await work.connection.execute(self._queries.take_time)
        forgotten = await forget(event, work)
        outbox = await work.connection.fetchrow(
            self._queries.erase_outbox,
            event.erased.digest,
            forgotten.subjects,
            timeout=PATIENCE,
        )
        assert outbox is not None
        if outbox["waiting"]:
            raise NotYetError(f"{outbox['waiting']} events about whoever is erased are to be sent")
        removed = {**forgotten.removed, "outbox": outbox["deleted"]}
        work.emit(ErasureCompleted.answering(event, self._service, removed, work.now))
