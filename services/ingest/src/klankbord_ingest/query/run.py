"""The operator's door to saved queries, for a command with ingest's own role in the database."""

import asyncio
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID

from klankbord_ingest.query.file import NOTHING
from klankbord_ingest.query.matcher import QuerySet
from klankbord_ingest.store import Store
from klankbord_ingest.usecases import Recall
from klankbord_runtime import audit
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service
from klankbord_runtime.settings import ServiceSettings
from klankbord_schemas import PostReceived

MOST_WAITING = 5_000
"""How many events may wait to be sent before more are found: a tenth of what shuts the doors."""
LOOK_EVERY = 0.2
LOOKS = 300
"""How often it looks whether less waits by now, before it gives up: for a minute."""


class NotSentError(RuntimeError):
    """What was found waits to be sent, and nobody sends it."""


class Told(NamedTuple):
    """What became of what a query found."""

    said: int
    """How many matches were said, or would be."""
    known: int
    """How many the bus has already."""


class Recalling:
    """Finds what a query finds in posts that the bus still keeps."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._recall = Recall(Store(), service.erasures)

    async def queries(self) -> QuerySet:
        """The queries in force.

        Raises:
            klankbord_runtime.accepted.Refused: this build cannot read them.
        """
        file = AcceptedFile("queries", QuerySet.read, otherwise=NOTHING)
        async with self._service.database.connection() as connection:
            await file.refresh(connection)
        return file.value

    async def note(self, query: str, revision: str, since: str) -> None:
        """Note in the audit log that a query is run."""
        async with self._service.work() as work:
            await audit.append(
                work.connection, "query.run", query=query, revision=revision, since=since
            )

    async def find(
        self,
        events: Sequence[PostReceived],
        queries: QuerySet,
        known: Container[UUID],
        *,
        dry_run: bool,
    ) -> Told:
        """Say what the queries find among these, but for what is known; committed when back.

        Raises:
            NotSentError: too much waits to be sent, and nothing of it goes.
        """
        await self._wait()
        async with self._service.work() as work:
            matches = await self._recall.find(events, queries, work)
            new = [match for match in matches if match.id not in known]
            if not dry_run:
                work.emit(*new)
        return Told(len(new), len(matches) - len(new))

    async def _wait(self) -> None:
        """Wait until little enough is to be sent: the sources come first."""
        for _ in range(LOOKS):
            if await self._service.waiting_to_be_sent() <= MOST_WAITING:
                return
            await asyncio.sleep(LOOK_EVERY)
        raise NotSentError(
            f"more than {MOST_WAITING:,} events wait to be sent, and ingest does not send them: "
            "see `klankbord status`, and run this again; it goes on"
        )


@asynccontextmanager
async def recalling(settings: ServiceSettings) -> AsyncIterator[Recalling]:
    """Open it for a while. The running ingest puts on the bus what is found.

    Raises:
        OSError, asyncpg.PostgresError: the database is not there, or lacks migrations.
    """
    service = Service("ingest", settings)
    await service.open()
    try:
        yield Recalling(service)
    finally:
        await service.close()
