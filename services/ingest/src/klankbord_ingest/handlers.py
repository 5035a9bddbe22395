"""What ingest does by the clock."""

import asyncio
from datetime import datetime

from klankbord_ingest.feeds.poller import Poller
from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.sources import Sources
from klankbord_ingest.store import Store
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Ingest
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service

FEEDS_EVERY = 2.0
KEYS_EVERY = 10.0
SOURCES_EVERY = 10.0
DELIVERIES_EVERY = 3600.0


def declare(
    service: Service,
    ingest: Ingest,
    store: Store,
    sources: AcceptedFile[Sources],
    poller: Poller,
    keys: SourceKeys,
    telemetry: Telemetry,
) -> None:
    """Declare the periodic tasks."""

    async def read_keys() -> None:
        if sources.accepted:
            await asyncio.to_thread(keys.refresh, sources.value.by_name.values())
            telemetry.disabled_sources.set(len(keys.disabled))

    kept: dict[str, datetime] = {}

    async def follow_sources() -> None:
        """Keep when sources were heard, and show what all replicas know of them."""
        if not sources.accepted:
            return
        noted = {name: at for name, at in telemetry.last_heard.items() if kept.get(name) != at}
        async with service.work() as work:
            if noted:
                await store.note_heard(work.connection, noted)
            states = await store.source_states(work.connection)
        kept.update(noted)
        telemetry.show(sources.value.by_name.values(), states)

    service.on_start(read_keys)
    service.every(seconds=SOURCES_EVERY)(follow_sources)
    service.every(seconds=KEYS_EVERY)(read_keys)
    service.every(seconds=FEEDS_EVERY)(poller.poll_due)

    @service.every(seconds=DELIVERIES_EVERY)
    async def forget_deliveries() -> None:
        async with service.work() as work:
            await ingest.forget_deliveries(work)
