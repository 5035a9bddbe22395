"""The whole pipeline: posts in at the door, counted at the end, on one machine with everything."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Self

from bench import footprint, machine
from bench.door import Door, Poured, pour
from bench.ground import Ground, ground
from bench.latency import Latency, latency
from bench.pace import reach
from bench.rounds import Round
from bench.sizes import Size
from bench.talk import SOURCE, Talk
from bench.yardstick import raw_pace

PER_REQUEST = 100
CONNECTIONS = 16
SINGLE_RATE = 100.0
PREPARED_PER_SECOND = 60
"""Requests per second of load that are written beforehand; more are written under way."""
DRAIN_PATIENCE = 600.0
AFTER_THE_DOOR = ("moderation", "routing", "metrics")

STAGES = {
    "ingest": ("ingest.post", "true"),
    "moderation": ("moderation.heard_post", "true"),
    "routing": ("routing.inbox", "consumer = 'routing-posts'"),
    "metrics": ("metrics.counted", "true"),
}
"""Where each service shows how many posts it has done."""


@dataclass(frozen=True)
class Sustained:
    """A load that was taken in and worked off to the last post."""

    posts_per_s: float
    """Posts a second, from when the first were counted until all were handled everywhere."""
    poured: Poured
    drained_s: float
    """Seconds from the last accepted post to the last handled, at the slowest stage."""
    spent: machine.Spent
    """From the first request to the last post handled."""


@dataclass(frozen=True)
class _Counted:
    """When the first posts were counted."""

    begun: float
    before: int
    """How many were there when it began."""
    at: float
    found: int


NAMES = (
    "pipeline_posts_per_s",
    "pipeline_vs_raw",
    "pipeline_cpu_us",
    "latency_100_p50_ms",
    "latency_100_p99_ms",
    "latency_half_p99_ms",
    "backlog_vs_sustained",
    *footprint.NAMES,
)


class UnequalError(RuntimeError):
    """The stages did not handle the same posts."""


class Pipeline:
    """Everything running on one ground, and posts to send it."""

    def __init__(self, ground: Ground, size: Size, seed: int) -> None:
        self._ground = ground
        self._size = size
        self._talk = Talk(seed)
        self._next = 0
        self._accepted = 0
        self._rest = AsyncExitStack()
        self._empty = footprint.Stored()
        self._door = Door("", SOURCE, ground.key)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """All four services, ready."""
        self._empty = await footprint.stored(self._ground)
        async with self._ground.running("ingest") as (ingest,):
            self._door = Door(ingest.address, SOURCE, self._ground.key)
            await self._start_rest()
            try:
                yield self
            finally:
                await self._stop_rest()

    @property
    def address(self) -> str:
        """Where the door is."""
        return self._door.address

    async def round(self, wanted: Collection[str]) -> Round:
        """A sustained load, and whatever is compared with it."""
        found = Round()
        load = await self.sustained(self._size.pipeline_window)
        posts = load.poured.posts
        found.values["pipeline_posts_per_s"] = load.posts_per_s
        found.notes["pipeline_posts_per_s"] = (
            f"{posts:,} accepted in {load.poured.seconds:.0f} s, drained {load.drained_s:.1f} s "
            f"later; told to wait {load.poured.turned_away} times"
        )
        found.values["pipeline_cpu_us"] = load.spent.cpu / posts * 1e6
        found.notes["pipeline_cpu_us"] = " · ".join(
            f"{name} {seconds / posts * 1e6:.0f}" for name, seconds in load.spent.by_name.items()
        )
        if "pipeline_vs_raw" in wanted:
            raw = await self.raw(self._size.short_window)
            found.compare("pipeline_vs_raw", load.posts_per_s, raw)
        if not set(footprint.NAMES).isdisjoint(wanted):
            stored = await footprint.stored(self._ground)
            stored.tell(found, self._empty, self._accepted)
        await self._latencies(found, wanted)
        if "backlog_vs_sustained" in wanted:
            worked_off = await self.backlog(self._size.backlog)
            found.compare("backlog_vs_sustained", worked_off, load.posts_per_s)
        return found

    async def _latencies(self, found: Round, wanted: Collection[str]) -> None:
        if not {"latency_100_p50_ms", "latency_100_p99_ms"}.isdisjoint(wanted):
            single = await self.latency(SINGLE_RATE, 1)
            note = f"{single.posts} posts, {single.late} sent late"
            found.values |= {"latency_100_p50_ms": single.p50, "latency_100_p99_ms": single.p99}
            found.notes |= {"latency_100_p50_ms": note, "latency_100_p99_ms": note}
        if "latency_half_p99_ms" in wanted:
            half = found.values["pipeline_posts_per_s"] / 2
            loaded = await self.latency(half / PER_REQUEST, PER_REQUEST)
            found.values["latency_half_p99_ms"] = loaded.p99
            found.notes["latency_half_p99_ms"] = (
                f"at {half:,.0f} posts/s, {PER_REQUEST} a request; p50 {loaded.p50:,.0f} ms, "
                f"{loaded.late} sent late"
            )

    async def latency(self, requests_per_s: float, posts: int) -> Latency:
        """How long posts take at that rate."""
        bodies = self._bodies(0, posts)
        taken = await latency(
            self._ground, self._door, bodies, requests_per_s, self._size.open_window
        )
        self._accepted += taken.posts
        await self._all_handled()
        return taken

    async def sustained(self, seconds: float) -> Sustained:
        """What goes through, sender to count, while as much is offered as the door takes."""
        bodies = self._bodies(int(seconds * PREPARED_PER_SECOND))
        before = machine.read()
        first = asyncio.create_task(self._first_counted(time.monotonic()))
        poured = await pour(self._door, bodies, connections=CONNECTIONS, seconds=seconds)
        accepted_at = time.monotonic()
        self._accepted += poured.posts
        begun = await first
        ended = await self._all_handled()
        spent = machine.between(before, machine.read())
        return Sustained(self._rate(begun, ended), poured, ended - accepted_at, spent)

    async def backlog(self, posts: int) -> float:
        """Posts a second when so many wait on the bus before anyone reads them."""
        await self._stop_rest()
        bodies = self._bodies(posts // PER_REQUEST)
        poured = await pour(self._door, bodies, connections=CONNECTIONS, posts=posts)
        self._accepted += poured.posts
        jetstream = self._ground.bus.jetstream()

        async def on_the_bus() -> int:
            return (await jetstream.stream_info("POSTS")).state.messages

        await reach(on_the_bus, self._accepted, DRAIN_PATIENCE)
        first = asyncio.create_task(self._first_counted(time.monotonic()))
        await self._start_rest()
        begun = await first
        return self._rate(begun, await self._all_handled())

    async def raw(self, seconds: float) -> float:
        """What nats-py alone fetches and acknowledges of the same posts."""
        return await raw_pace(self._ground, seconds, self._accepted)

    def _bodies(self, prepared: int, per_request: int = PER_REQUEST) -> Iterator[tuple[bytes, int]]:
        """Deliveries that nobody has sent yet, the first of them written now."""
        bodies = self._talk.bodies(self._next, per_request)
        written = list(islice(bodies, prepared))

        def counted() -> Iterator[tuple[bytes, int]]:
            for body in chain(written, bodies):
                self._next += per_request
                yield body

        return counted()

    async def _first_counted(self, begun: float) -> _Counted:
        before = await self._counted()
        at, found = await reach(self._counted, before + 1, DRAIN_PATIENCE)
        return _Counted(begun, before, at, found)

    def _rate(self, first: _Counted, ended: float) -> float:
        """Posts a second, from when the first were counted."""
        if first.found < self._accepted:
            return (self._accepted - first.found) / (ended - first.at)
        return (self._accepted - first.before) / (ended - first.begun)  # all at once: a tiny load

    async def _all_handled(self) -> float:
        """When every stage has handled all that was accepted.

        Raises:
            UnequalError: some stage handled more, or not all in time.
        """
        at = 0.0
        for name, stage in STAGES.items():
            done = partial(self._ground.count, *stage)
            try:
                at, found = await reach(done, self._accepted, DRAIN_PATIENCE)
            except TimeoutError:
                found = await done()
            if found != self._accepted:
                raise UnequalError(f"{self._accepted} posts were accepted, {name} has {found}")
        return at

    async def _counted(self) -> int:
        return await self._ground.count(*STAGES["metrics"])

    async def _start_rest(self) -> None:
        await self._rest.enter_async_context(self._ground.running(*AFTER_THE_DOOR))

    async def _stop_rest(self) -> None:
        await self._rest.aclose()


@asynccontextmanager
async def pipeline(size: Size, seed: int) -> AsyncIterator[Pipeline]:
    """Everything running, on a ground of its own."""
    async with ground() as made, Pipeline(made, size, seed).running() as running:
        yield running
