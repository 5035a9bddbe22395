"""The relay: publishes the outbox, and keeps it in bounds.

What there is to do is the table `outbox_pending`: one small row per committed batch, deleted in
the transaction that knows the batch to be on the bus. A crash in between publishes the batch
again, with the same ids. No high-water mark is kept, because batches commit out of order.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from nats.aio.client import Client

from klankbord_runtime.bus import Message, RefusedByServerError, publish
from klankbord_runtime.db import Connection, Database, Queries
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.settings import OutboxSettings
from klankbord_runtime.telemetry import RuntimeMetrics
from klankbord_runtime.tracing import Tracing
from klankbord_schemas.topology import stream_keeping

log = logging.getLogger(__name__)

BATCHES_AT_ONCE = 20
"""How many outbox batches one round publishes: small ones make up one atomic batch."""
IDLE = 1.0
"""Seconds after which the relay looks by itself, for what a dead replica left behind."""
RETRY = 0.5
"""Seconds to wait after a round that failed."""
PARTITIONS_AHEAD = 3
FORMAT = "outbox_%Y%m%d%H"


class Relay:
    """Publishes what committed, round by round; replicas skip what another has locked."""

    def __init__(
        self,
        database: Database,
        client: Callable[[], Client],
        queries: Queries,
        settings: OutboxSettings,
        metrics: RuntimeMetrics,
        tracing: Tracing,
    ) -> None:
        self._database = database
        self._client = client
        self._queries = queries
        self._settings = settings
        self._metrics = metrics
        self._tracing = tracing
        self._committed = asyncio.Event()
        self.full = False
        """Whether so much is waiting, or kept, that the doors must push back."""
        self.refusal: str | None = None
        """Why the server takes no events just now, such as a full stream; they wait here."""

    def wake(self) -> None:
        """Something committed: look now."""
        self._committed.set()

    async def run(self) -> None:
        """Publish for ever; the way out is to be cancelled."""
        while True:
            # cleared before looking, so that what commits during a round is looked for too
            self._committed.clear()
            try:
                while await self.publish_round():
                    pass
            except TRANSIENT as error:
                log.warning("the outbox waits: %s: %s", type(error).__name__, error)
                if isinstance(error, RefusedByServerError):
                    self.refusal = str(error)
                    self._metrics.refused.inc()
                await asyncio.sleep(RETRY)
            except Exception:
                log.exception("the outbox waits")
                await asyncio.sleep(RETRY)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._committed.wait(), timeout=IDLE)

    async def publish_round(self) -> int:
        """Publish the oldest pending batches that no other replica has; gives their number.

        Raises:
            asyncpg.PostgresError, nats.errors.Error, OSError, TimeoutError: try again later.
        """
        async with self._database.transaction() as connection:
            pending = await connection.fetch(self._queries.take_pending, BATCHES_AT_ONCE)
            if not pending:
                return 0
            batches = [row["batch"] for row in pending]
            rows = await connection.fetch(
                self._queries.fetch_outbox, [row["recorded"] for row in pending], batches
            )
            expected = sum(row["size"] for row in pending)
            if len(rows) != expected:
                raise RuntimeError(
                    f"{expected} events are to be sent and {len(rows)} are in the outbox: "
                    "it was changed by hand; nothing is noted as sent"
                )
            await asyncio.gather(
                *(self._publish(stream, messages) for stream, messages in by_stream(rows).items())
            )
            await connection.execute(self._queries.note_sent, batches)
        self.refusal = None
        self._metrics.published.inc(len(rows))
        return len(batches)

    async def _publish(self, stream: str, messages: Sequence[Message]) -> None:
        with self._tracing.publishing(stream, [(one.id, one.body) for one in messages]):
            await publish(self._client(), messages)

    async def look(self) -> None:
        """See how much waits and how much is kept."""
        async with self._database.connection() as connection:
            load = await connection.fetchrow(self._queries.outbox_load)
        assert load is not None
        self._metrics.outbox_pending.set(load["pending"])
        self._metrics.outbox_age.set(load["age"])
        self._metrics.outbox_bytes.set(load["bytes"])
        self.full = (
            load["pending"] > self._settings.max_pending or load["bytes"] > self._settings.max_bytes
        )

    async def tidy(self, now: datetime) -> None:
        """Make the partitions of the coming hours; drop sent ones that are old or over the cap.

        A partition with a batch that is not noted sent is never dropped, however old or large.
        """
        async with self._database.transaction() as connection:
            if not await connection.fetchval(
                "select pg_try_advisory_xact_lock(hashtext('outbox ' || current_schema))"
            ):
                return
            await connection.execute("set local lock_timeout = '2s'")
            hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            for ahead in range(PARTITIONS_AHEAD + 1):
                await self._make_partition(connection, hour + timedelta(hours=ahead))
            names = [row["name"] for row in await connection.fetch(self._queries.list_partitions)]
            for name in names:
                begins = datetime.strptime(name, FORMAT).replace(tzinfo=UTC)
                if begins + timedelta(hours=1) >= hour:
                    break
                old = begins < hour - timedelta(hours=self._settings.kept_hours)
                if (old or await self._too_large(connection)) and not await connection.fetchval(
                    self._queries.has_pending, begins, begins + timedelta(hours=1)
                ):
                    await connection.execute(f'drop table "{name}"')
                    log.info("dropped %s: everything in it was sent", name)
            await connection.execute(
                self._queries.prune_default, hour - timedelta(hours=self._settings.kept_hours)
            )

    async def _too_large(self, connection: Connection) -> bool:
        load = await connection.fetchrow(self._queries.outbox_load)
        return load is not None and bool(load["bytes"] > self._settings.max_bytes)

    async def _make_partition(self, connection: Connection, begins: datetime) -> None:
        name = begins.strftime(FORMAT)
        if await connection.fetchval("select to_regclass($1) is not null", name):
            return
        try:
            async with connection.transaction():
                await connection.execute(
                    f'create table "{name}" partition of outbox '
                    f"for values from ('{begins.isoformat()}') "
                    f"to ('{(begins + timedelta(hours=1)).isoformat()}')"
                )
        except asyncpg.CheckViolationError:
            # the hour had begun without its partition: its rows are in the default one, and stay
            log.warning("%s cannot be made, its hour has begun: rows go to outbox_default", name)


def by_stream(rows: list[Any]) -> dict[str, list[Message]]:
    """Rows of the outbox as messages, by the stream that keeps them, in their order."""
    messages: dict[str, list[Message]] = defaultdict(list)
    for row in rows:
        messages[stream_keeping(row["subject"]).name].append(
            Message(row["id"], row["subject"], row["body"])
        )
    return messages
