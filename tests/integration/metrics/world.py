"""A metrics service without a bus: its use cases on a real database, and a clock of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from unit.metrics.history import Heard, Series

from klankbord_metrics.communities import parse_communities
from klankbord_metrics.store import Store
from klankbord_metrics.usecases import Metrics
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.db import Database
from klankbord_runtime.work import Work
from klankbord_schemas import (
    CommunityMeasured,
    FeedbackRouted,
    FeedbackWithdrawn,
    InteractionReceived,
    PostFlagged,
    PostReceived,
)


def listed_in(time_zone: str) -> str:
    """A `klankbord.yaml` whose one community has its days in that time zone."""
    return f"communities: [{{slug: acme, name: Acme, time_zone: {time_zone}, languages: [en]}}]"


AMSTERDAM = listed_in("Europe/Amsterdam")


class World:
    """What a test does with it: let it hear events, let it settle, look at what it publishes."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.file = AcceptedFile("klankbord", parse_communities)
        self.metrics = Metrics(Store(), self.file, settle=timedelta(seconds=3))
        self.now = datetime(2026, 6, 1, 12, tzinfo=UTC)
        self.said: list[CommunityMeasured] = []

    async def configure(self, text: str) -> None:
        async with self.database.transaction() as connection:
            await self.file.apply(connection, text.encode())
        async with self.database.connection() as connection:
            await self.file.refresh(connection)

    @asynccontextmanager
    async def work(self) -> AsyncIterator[Work]:
        async with self.database.transaction() as connection:
            work = Work(connection, self.now)
            yield work
        self.said += [event for event in work.emitted if isinstance(event, CommunityMeasured)]

    async def hear(self, *events: Heard) -> None:
        """As the four consumers would: each a batch of its own."""
        posts = [e for e in events if isinstance(e, PostReceived)]
        interactions = [e for e in events if isinstance(e, InteractionReceived)]
        flags = [e for e in events if isinstance(e, PostFlagged)]
        cases = [e for e in events if isinstance(e, FeedbackRouted | FeedbackWithdrawn)]
        if posts:
            async with self.work() as work:
                await self.metrics.hear_posts(posts, work)
        if interactions:
            async with self.work() as work:
                await self.metrics.hear_interactions(interactions, work)
        if flags:
            async with self.work() as work:
                await self.metrics.note_flags(flags, work)
        if cases:
            async with self.work() as work:
                await self.metrics.note_cases(cases, work)

    async def tick(self) -> None:
        async with self.work() as work:
            await self.metrics.follow_communities(work)
        for step in (self.metrics.count, self.metrics.measure):
            await self._until_done(step)

    async def settle(self) -> None:
        """Let time pass and everything that was heard be measured."""
        self.now += timedelta(minutes=1)
        await self.tick()
        assert await self.fetch("select bool_and(is_settled) from published_community") == [(True,)]

    async def _until_done(self, step: Callable[[Work], Awaitable[bool]]) -> None:
        more = True
        while more:
            async with self.work() as work:
                more = await step(work)

    async def fetch(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query, *arguments)]

    async def measurements(self) -> dict[Series, tuple[float, dict[str, float]]]:
        """Like `recount`: every published metric that is not zero."""
        rows = await self.fetch(
            "select grain, (window_start at time zone time_zone)::date, source, metric, value,"
            " absolute from published_measurement where value <> 0"
        )
        named = {"interactions", "labels", "open-cases"}
        return {
            (grain, day.isoformat(), source, metric): (
                value,
                {name: n for name, n in absolute.items() if n} if metric in named else {},
            )
            for grain, day, source, metric, value, absolute in rows
        }

    async def values(self, metric: str, grain: str = "day") -> dict[str, float | None]:
        """A metric of the whole community by first day, zeros included."""
        rows = await self.fetch(
            "select (window_start at time zone time_zone)::date, value from published_measurement"
            " where metric = $1 and grain = $2 and source is null order by 1",
            metric,
            grain,
        )
        return {day.isoformat(): value for day, value in rows}

    async def total(self, column: str) -> Any:
        ((value,),) = await self.fetch(f"select {column} from published_total")
        return value


def events_of(said: Iterable[CommunityMeasured], metric: str) -> list[tuple[float | None, int]]:
    """The day's values and revisions that were said of a metric of the whole community."""
    return [
        (event.data.value, event.data.revision)
        for event in said
        if event.data.metric == metric
        and event.data.source is None
        and event.data.window.grain == "day"
    ]
