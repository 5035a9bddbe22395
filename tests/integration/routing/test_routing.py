"""Routing on a real PostgreSQL and a real NATS."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from unit.routing.history import (
    NOON,
    TEXTS,
    Heard,
    OpenCases,
    flag,
    followed,
    post,
    standing,
)
from unit.routing.world import CUES, SHIPPED
from unit.routing.world import World as WorldInMemory
from world import Migrated, settings

from klankbord_routing.app import create
from klankbord_routing.rules import parse_rules
from klankbord_routing.settings import Settings
from klankbord_routing.store import Store
from klankbord_routing.usecases import Routing
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.db import Database
from klankbord_runtime.work import Work
from klankbord_schemas import FeedbackRouted, FeedbackWithdrawn, PostFlagged, PostReceived
from klankbord_schemas.post import SEVERITIES
from klankbord_standalone.servers import Installation

OPEN_CASES = """
    select post, department, version, intent, priority, due_at
    from feedback where state = 'open'
"""


class Replicas:
    """Several replicas of routing's use cases over one database."""

    def __init__(self, database: Database, rules: AcceptedFile[Any]) -> None:
        self.database = database
        self.routing = Routing(Store(), CUES, rules)
        self._running = asyncio.Semaphore(6)
        self.said: list[Any] = []

    async def hear(self, batch: Sequence[Heard]) -> None:
        """As the two consumers would: posts and flags each in a transaction of their own."""
        posts = [event for event in batch if isinstance(event, PostReceived)]
        flags = [event for event in batch if isinstance(event, PostFlagged)]
        await asyncio.gather(
            self._one(lambda work: self.routing.hear_posts(posts, work)),
            self._one(lambda work: self.routing.hear_flags(flags, work)),
        )

    async def _one(self, handle: Callable[[Work], Awaitable[None]]) -> None:
        async with self._running, self.database.transaction() as connection:
            work = Work(connection, NOON)
            await handle(work)
            await asyncio.sleep(0.002)  # hold the locks a little, so that others meet them
        self.said += work.emitted

    async def open(self) -> OpenCases:
        async with self.database.connection() as connection:
            return {
                (row["post"], row["department"]): tuple(row)[2:]
                for row in await connection.fetch(OPEN_CASES)
            }


@pytest.fixture
async def replicas(migrated: Migrated) -> AsyncIterator[Replicas]:
    database = Database(await migrated("routing"), "routing")
    await database.connect()
    rules = AcceptedFile("routing", parse_rules)
    async with database.transaction() as connection:
        await rules.apply(connection, SHIPPED)
    async with database.connection() as connection:
        await rules.refresh(connection)
    yield Replicas(database, rules)
    await database.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_replicas_that_hear_everything_at_once_in_any_order_end_alike(
    replicas: Replicas, seed: int
) -> None:
    draw = random.Random(seed)
    posts = [
        post(
            number,
            version,
            draw.choice(TEXTS),
            operation="delete" if draw.random() < 0.15 else "update",
        )
        for number in range(40)
        for version in draw.sample(range(1, 5), draw.randint(1, 4))
    ]
    flags = [
        flag(
            int(one.data.native_id),
            one.version,
            draw.choice(SEVERITIES),
            draw.choice(["live", "live", "shadow"]),
        )
        for one in draw.sample(posts, len(posts) // 2)
    ]
    events: list[Heard] = [*posts, *flags]
    events += draw.sample(events, 20)
    draw.shuffle(events)
    await asyncio.gather(
        *(replicas.hear(events[start : start + 12]) for start in range(0, len(events), 12))
    )
    expected = WorldInMemory()
    await expected.hear(*standing(posts, flags))
    assert await replicas.open() == expected.store.open
    assert followed(replicas.said) == expected.store.open
    assert len({event.id for event in replicas.said}) == len(replicas.said)


async def test_a_post_goes_over_the_bus_to_its_department_and_back_when_it_is_flagged(
    installation: Installation, migrated: Migrated, tmp_path: Path
) -> None:
    await migrated("routing")
    (tmp_path / "routing.yaml").write_bytes(SHIPPED)
    own = settings(installation, "routing", Settings, config_dir=tmp_path)
    async with installation.client("provision") as client:
        stream = client.jetstream()
        said = await stream.subscribe("klankbord.feedback.*.v1.acme.product", ordered_consumer=True)
        async with create(own).running():
            for event in (post(1), post(2, text="Good morning all"), flag(1, 1, "low")):
                await stream.publish(event.bus_subject, event.to_json())
            routed = FeedbackRouted.from_json((await said.next_msg(timeout=20)).data)
            await stream.publish(
                flag(1, 1, "high", policy=1).bus_subject, flag(1, 1, "high", policy=1).to_json()
            )
            withdrawn = FeedbackWithdrawn.from_json((await said.next_msg(timeout=20)).data)
    assert routed.data.post == post(1).data.post
    assert withdrawn.data.routed == routed.id
    reader = await asyncpg.connect(installation.postgres_url("reader"))
    rows = await reader.fetch("select department, intent, state from routing.published_case")
    await reader.close()
    assert [tuple(row) for row in rows] == [("product", "bug", "withdrawn")]
