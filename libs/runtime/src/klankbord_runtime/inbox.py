"""How long a service knows which events it has handled.

An event can come again as long as its stream keeps it; before that it may have waited in an outbox,
or be replayed from there; after that it may lie among the dead letters, and be replayed. The sum of
the three is what the inbox must span. Streams say themselves how long they keep: an operator may
have changed it, and a service that was told something else would forget too early.
"""

from collections.abc import Iterable
from datetime import timedelta

from nats.aio.client import Client

from klankbord_runtime.bus import stream_max_age
from klankbord_runtime.db import Database, Queries
from klankbord_runtime.permissions import DEAD


def window(
    streams: Iterable[timedelta | None], outbox: timedelta, dead: timedelta | None
) -> timedelta | None:
    """How long an event must be known; None is for ever.

    Args:
        streams: how long each stream that the service reads keeps an event; None is for ever.
        outbox: how long sent events stay in an outbox.
        dead: how long a dead letter is kept.
    """
    ages = [*streams, dead]
    if None in ages:
        return None
    *kept, dead_for = (age for age in ages if age is not None)
    return max(kept, default=timedelta()) + outbox + dead_for


async def prune(
    database: Database, queries: Queries, client: Client, streams: set[str], outbox: timedelta
) -> None:
    """Forget what was handled too long ago to come again, in small transactions.

    Args:
        database: the service's own.
        queries: the runtime's.
        client: asked how long the streams keep what they have.
        streams: those that the service reads.
        outbox: how long sent events stay in an outbox.

    Raises:
        nats.errors.Error, asyncpg.PostgresError, OSError, TimeoutError: try again later.
    """
    ages = [await stream_max_age(client, stream) for stream in sorted(streams)]
    known = window(ages, outbox, await stream_max_age(client, DEAD))
    deleted = "DELETE 1"
    while known is not None and deleted != "DELETE 0":
        async with database.transaction() as connection:
            deleted = await connection.execute(queries.prune_inbox, known)
