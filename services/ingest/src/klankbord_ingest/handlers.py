"""What ingest does by the clock."""

import asyncio

from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.listening.health import Health
from klankbord_ingest.listening.listener import Listener
from klankbord_ingest.sources import Sources
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Ingest, Watch
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service

LISTEN_EVERY = 2.0
"""Listening does not end; after this pause it begins anew, should something have ended it."""
KEYS_EVERY = 10.0
HEALTH_EVERY = 10.0
RHYTHM_EVERY = 10.0
SILENCE_EVERY = 60.0
DELIVERIES_EVERY = 3600.0


def declare(
    service: Service,
    ingest: Ingest,
    sources: AcceptedFile[Sources],
    listener: Listener,
    keys: SourceKeys,
    health: Health,
    watch: Watch,
    telemetry: Telemetry,
) -> None:
    """Declare the periodic tasks."""

    async def read_keys() -> None:
        if sources.accepted:
            await asyncio.to_thread(keys.refresh, sources.value.by_name.values())
            telemetry.disabled_sources.set(len(keys.disabled))

    service.on_start(read_keys)
    service.on_start(health.follow)
    service.every(seconds=HEALTH_EVERY)(health.follow)
    service.every(seconds=KEYS_EVERY)(read_keys)
    service.every(seconds=LISTEN_EVERY)(listener.listen)

    @service.every(seconds=RHYTHM_EVERY)
    async def keep_rhythm() -> None:
        async with service.work() as work:
            await watch.keep(health.paused(), work)

    @service.every(seconds=SILENCE_EVERY)
    async def look_for_silence() -> None:
        """Say which sources are silent against their rhythm. What is paused is not missed."""
        if sources.accepted:
            listed = sources.value.by_name
            async with service.work() as work:
                silent = await watch.look(listed, work)
            telemetry.show_silent(listed, {one.source for one in silent} - {*health.paused()})

    @service.every(seconds=DELIVERIES_EVERY)
    async def forget_deliveries() -> None:
        async with service.work() as work:
            await ingest.forget_deliveries(work)
            await watch.forget(work)
