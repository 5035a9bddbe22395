"""Whether size slows anything down: posts that are stored, rules, communities.

Moderation works off a stream, and metrics another time, against the same with little stored, ten
rules, one community. Of two ratios the lower is the row's.
"""

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from bench.ground import Ground, ground
from bench.pace import acknowledged, pace, reach
from bench.rounds import Round
from bench.sizes import Size
from bench.talk import COMMUNITY, Talk, policy
from bench.yardstick import MODERATION

from klankbord_schemas import topology

NAMES = ("growth_stored", "growth_rules", "growth_communities")
COMMUNITIES = [f"community-{number}" for number in range(1_000)]
FEW_RULES, MANY_RULES = 10, 10_000
FEW_STORED = 10_000
PATIENCE = 300.0
METRICS = topology.consumer("metrics-posts")

STORE = """
insert into moderation.inbox (consumer, id)
select 'moderation-posts', gen_random_uuid() from generate_series(1, {posts});

insert into moderation.heard_post (post, sequence, community, author, counted_at, text_key, deleted)
select gen_random_uuid(), 1, 'acme', 'p-' || md5((n % 5000)::text),
    now() - n % 5184000 * interval '1 s', ('x' || left(md5(n::text), 16))::bit(64)::bigint, false
from generate_series(1, {posts}) as n;

insert into metrics.inbox (consumer, id)
select 'metrics-posts', gen_random_uuid() from generate_series(1, {posts});

insert into metrics.post (post, community, source, counted_at, sequence, is_deleted, author,
    is_automated, is_answer, thread)
select md5(n::text)::uuid, 'acme', 'forum', now() - n % 5184000 * interval '1 s', 1, false,
    md5((n % 5000)::text)::uuid, false, false, md5(n::text)::uuid
from generate_series(1, {posts}) as n;

insert into metrics.counted (post, community, source, counted_at, author, is_automated, is_answer,
    thread, labels, departments, opens)
select post, community, source, counted_at, author, false, false, thread, '{{}}', '{{}}', true
from metrics.post;
"""
"""Posts as if they had been handled before, in sixty days."""


class Growth:
    """A ground that is small or large."""

    def __init__(self, ground: Ground, size: Size, seed: int) -> None:
        self._ground = ground
        self._size = size
        self._seed = seed

    async def round(self, wanted: Collection[str]) -> Round:
        """The small one, and each that is large in one way."""
        found, stored = Round(), self._size.stored
        await self._fill([COMMUNITY])
        few = min(FEW_STORED, stored // 10)
        if "growth_rules" in wanted:
            ten = await self._moderation(few, FEW_RULES)
            found.compare("growth_rules", await self._moderation(few, MANY_RULES), ten)
        if {"growth_stored", "growth_communities"}.isdisjoint(wanted):
            return found
        small = await self._both(few)
        if "growth_stored" in wanted:
            _lower(found, "growth_stored", await self._both(stored), small)
        if "growth_communities" in wanted:
            await self._fill(COMMUNITIES)
            _lower(found, "growth_communities", await self._both(few), small)
        return found

    async def _fill(self, communities: list[str]) -> None:
        """Posts that wait, of each community in turn."""
        await self._ground.empty()
        talk, now = Talk(self._seed), datetime.now(UTC)
        await self._ground.fill(
            talk.event(number, now, communities[number % len(communities)])
            for number in range(self._size.growth_events)
        )

    async def _both(self, stored: int) -> tuple[float, float]:
        return await self._moderation(stored, 1_000), await self._metrics(stored)

    async def _moderation(self, stored: int, rules: int) -> float:
        """Posts a second that moderation works off."""
        await self._prepare(stored)
        self._ground.policy.write_bytes(policy(rules, shipped=False))
        async with self._ground.running("moderation", ready=False):
            done = acknowledged(self._ground, MODERATION.stream, MODERATION.name)
            return await pace(done, self._size.short_window, self._size.growth_events)

    async def _metrics(self, stored: int) -> float:
        """Posts a second that metrics hears and counts, to the last."""
        await self._prepare(stored)
        async with self._ground.running("metrics", ready=False):
            heard = acknowledged(self._ground, METRICS.stream, METRICS.name)
            begun, first = await reach(heard, 1, PATIENCE)
            await reach(heard, self._size.growth_events, PATIENCE)
            await reach(self._all_counted, 1, PATIENCE)
            return (self._size.growth_events - first) / (time.monotonic() - begun)

    async def _prepare(self, stored: int) -> None:
        await self._ground.empty(keep=[MODERATION.stream])
        await self._ground.database.execute(STORE.format(posts=stored))
        await self._ground.database.execute("vacuum analyze")
        await self._ground.database.execute("checkpoint")

    async def _all_counted(self) -> int:
        """1 when no post waits to be counted, else 0."""
        left = await self._ground.database.fetchval(
            "select exists (select from metrics.touched_post)"
        )
        return 0 if left else 1


def _lower(found: Round, name: str, large: tuple[float, float], small: tuple[float, float]) -> None:
    ratios = [one / other for one, other in zip(large, small, strict=True)]
    found.values[name] = min(ratios)
    found.notes[name] = (
        f"moderation {large[0]:,.0f}/s ÷ {small[0]:,.0f}/s, "
        f"metrics {large[1]:,.0f}/s ÷ {small[1]:,.0f}/s"
    )


@asynccontextmanager
async def growth(size: Size, seed: int) -> AsyncIterator[Growth]:
    """A ground with many communities, of which one has posts at first."""
    async with ground([COMMUNITY, *COMMUNITIES]) as made:
        yield Growth(made, size, seed)
