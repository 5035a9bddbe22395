"""What ingest does by the clock."""

import asyncio

from klankbord_ingest.feeds.poller import Poller
from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.sources import Sources
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Ingest
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service

FEEDS_EVERY = 2.0
KEYS_EVERY = 10.0
DELIVERIES_EVERY = 3600.0


def declare(
    service: Service,
    ingest: Ingest,
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

    service.on_start(read_keys)
    service.every(seconds=KEYS_EVERY)(read_keys)
    service.every(seconds=FEEDS_EVERY)(poller.poll_due)

    @service.every(seconds=DELIVERIES_EVERY)
    async def forget_deliveries() -> None:
        async with service.work() as work:
            await ingest.forget_deliveries(work)
