"""How each source is doing, for metrics and for whoever asks."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from klankbord_ingest.keys import SourceKeys
from klankbord_ingest.listening.store import ListeningStore, WayState
from klankbord_ingest.source import Source
from klankbord_ingest.sources import Sources
from klankbord_ingest.store import SilentSource, Store
from klankbord_ingest.telemetry import Telemetry
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.service import Service


@dataclass(frozen=True)
class SourceHealth:
    """How a listed source is doing."""

    source: Source
    ways: list[WayState]
    """Each way in which it is asked or held on to; none where it only sends."""
    heard: datetime | None
    """When it last handed something in."""
    paused: bool
    disabled: str | None
    """Why it cannot be listened to; None where it can."""
    silent: SilentSource | None
    """Since when it is silent against its own rhythm; None where it is not."""


class Health:
    """Follows how sources are doing."""

    def __init__(
        self,
        service: Service,
        store: Store,
        listening: ListeningStore,
        sources: AcceptedFile[Sources],
        keys: SourceKeys,
        telemetry: Telemetry,
    ) -> None:
        self._service = service
        self._store = store
        self._listening = listening
        self._sources = sources
        self._keys = keys
        self._telemetry = telemetry
        self._paused: frozenset[str] = frozenset()
        self._noted: dict[str, datetime] = {}

    def paused(self) -> Collection[str]:
        """The sources that are paused, as was known some seconds ago."""
        return self._paused

    async def follow(self) -> None:
        """Keep when sources were heard, and show what all replicas know of them."""
        if not self._sources.accepted:
            return
        heard = self._telemetry.last_heard
        noted = {name: at for name, at in heard.items() if self._noted.get(name) != at}
        async with self._service.work() as work:
            if noted:
                await self._store.note_heard(work.connection, noted)
            states = await self._store.source_states(work.connection)
            self._paused = frozenset(await self._listening.paused(work.connection))
        self._noted.update(noted)
        self._telemetry.show(self._sources.value.by_name.values(), states)

    async def of_all(self) -> list[SourceHealth]:
        """How every listed source is doing."""
        async with self._service.database.connection() as connection:
            ways = await self._listening.ways(connection)
            states = await self._store.source_states(connection)
            paused = await self._listening.paused(connection)
            silences = await self._store.silences(connection)
        silent = {one.source: one for one in silences}
        heard = {state.source: state.heard for state in states}
        return [
            SourceHealth(
                source,
                [way for way in ways if way.source == source.name],
                heard.get(source.name),
                source.name in paused,
                self._keys.disabled.get(source.name),
                silent.get(source.name),
            )
            for source in self._sources.value.by_name.values()
        ]
