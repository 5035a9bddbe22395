"""Say again what was said: for a bus that lost the end of a stream.

A disk that lied about a write, a stream that was deleted, an old copy of NATS's folder put back:
the outbox still has what was sent (`kept_hours`). It is published again in its order. That is safe
to do twice, and while the services run: an event keeps its id, so the server drops it within two
minutes of the first, each consumer's inbox knows it, and a subscriber is told to look at the id.
What is not lost is kept a second time by the stream until it ages out.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nats.aio.client import Client

from klankbord_runtime import audit
from klankbord_runtime.bus import publish
from klankbord_runtime.db import Database, Queries
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.relay import by_stream
from klankbord_schemas.topology import stream_keeping

log = logging.getLogger(__name__)

PAGE = 500
"""How many events are in hand at once: one transaction, and at most so many MB."""
COUNT_PATIENCE = 600.0
"""Seconds that the database may take to count what a large outbox holds."""
ACT = "outbox.replayed"


class CutShortError(RuntimeError):
    """It ended before its end; says how to go on."""


@dataclass
class Republished:
    """What was published again, or would be."""

    since: datetime
    until: datetime
    oldest: datetime | None
    """When the oldest event that the outbox still has was recorded; what is older is gone."""
    streams: Counter[str] = field(default_factory=Counter)
    """How many events, by stream."""

    def as_json(self) -> Mapping[str, Any]:
        """For a script."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "oldest": None if self.oldest is None else self.oldest.isoformat(),
            "streams": dict(self.streams),
        }


async def count(
    database: Database, queries: Queries, since: datetime, until: datetime
) -> Republished:
    """What `republish` would publish; nothing is done.

    Raises:
        asyncpg.PostgresError, OSError: the database is not there.
    """
    async with database.transaction() as connection:
        await connection.execute(queries.take_time)
        oldest = await connection.fetchval(queries.oldest_sent)
        rows = await connection.fetch(queries.count_sent, since, until, timeout=COUNT_PATIENCE)
    told = Republished(since, until, oldest)
    for row in rows:
        told.streams[stream_keeping(row["subject"] + ".x").name] += row["events"]
    return told


async def republish(
    database: Database, queries: Queries, client: Client, since: datetime, until: datetime
) -> Republished:
    """Publish again, in its order, what was recorded from `since` until before `until`.

    What still waits to be sent is left to the relay. It is noted in the audit log first.

    Args:
        database: of the service whose events they are.
        queries: the runtime's.
        client: connected as that service.
        since: begin with what was recorded then.
        until: when this began: what is said meanwhile is none of ours.

    Raises:
        CutShortError: a server did not do its part; says from when to go on.
        NoAuditError: the database has no audit log.
    """
    place = (since, 0, 0)
    try:
        async with database.transaction() as connection:
            oldest = await connection.fetchval(queries.oldest_sent)
            await audit.append(connection, ACT, since=since.isoformat(), until=until.isoformat())
        told = Republished(since, until, oldest)
        while True:
            async with database.transaction() as connection:
                # whoever is to be forgotten waits until this page is on the bus, to be found there
                await connection.execute(queries.hold_off_erasures)
                rows = await connection.fetch(queries.fetch_sent, *place, until, PAGE)
                for stream, messages in by_stream(rows).items():
                    await publish(client, messages)
                    told.streams[stream] += len(messages)
            if not rows:
                return told
            last = rows[-1]
            place = (last["recorded"], last["batch"], last["position"])
    except TRANSIENT as error:
        raise CutShortError(
            f"{type(error).__name__}: {error}; up to {place[0].isoformat()} it is done: go on with "
            f"--since {place[0].isoformat()}"
        ) from error
