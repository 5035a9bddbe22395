"""Whatever the order, and however often a thing is heard: the numbers are those of a recount."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.metrics.world import AMSTERDAM, World
from unit.metrics.history import Heard, did, flagged, recount, routed, said, withdrawn
from world import Migrated

from klankbord_runtime.db import Database

TOTALS = {
    "posts": "posts",
    "replies": "replies",
    "contributors": "new-contributors",
    "interactions": "interactions",
    "flagged_posts": "flagged-posts",
    "open_cases": "open-cases",
}
START = datetime(2026, 3, 27, 12, tzinfo=UTC)  # the clock changes on the 29th, a Sunday


@st.composite
def histories(draw: st.DrawFn) -> list[Heard]:
    """Posts of a few members in a few threads, with all that can happen to them."""
    moments = st.builds(lambda h: START + timedelta(minutes=13 * h), st.integers(0, 500))
    names = [f"post-{number}" for number in range(draw(st.integers(1, 12)))]
    events: list[Heard] = []
    for name in names:
        answers = draw(st.sampled_from([None, *names]))
        versions = draw(st.integers(1, 3))
        for version in range(1, versions + 1):
            operation = "create" if version == 1 else draw(st.sampled_from(["update", "delete"]))
            post = said(
                name,
                draw(st.sampled_from([None, 1, 2, 3])),
                draw(moments),
                version=version,
                operation=operation,
                answers=draw(st.sampled_from([answers, answers, None])),
                context=draw(st.sampled_from([None, None, "topic", names[0]])),
                source=draw(st.sampled_from(["forum", "chat"])),
                automated=draw(st.sampled_from([False, False, True])),
            )
            events.append(post)
            for policy in range(draw(st.integers(0, 2))):
                live = draw(st.sets(st.sampled_from(["spam", "scam"])))
                at = draw(moments)
                events.append(flagged(post, sorted(live), ["troll"], at=at, policy=policy))
        for department in draw(st.sets(st.sampled_from(["product", "sales"]))):
            for revision in range(1, draw(st.integers(1, 2)) + 1):
                case = routed(post, department, revision)
                events.append(case)
                if draw(st.booleans()):
                    events.append(withdrawn(case))
    for number in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["like", "share", "view", "join"]))
        automated = draw(st.sampled_from([False, False, True]))
        events.append(did(f"deed-{number}", kind, draw(moments), automated=automated))
    return events


@pytest.fixture
async def database(migrated: Migrated) -> AsyncIterator[Database]:
    database = Database(await migrated("metrics"), "metrics")
    await database.connect()
    yield database
    await database.close()


async def test_any_order_and_any_repetition_gives_the_numbers_of_a_recount(
    database: Database,
) -> None:
    loop = asyncio.get_running_loop()

    @settings(
        max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(histories(), st.data(), st.integers(1, 4))
    def examples(history: list[Heard], data: st.DataObject, batches: int) -> None:
        repeated = data.draw(st.lists(st.sampled_from(history), max_size=5))
        arrival = data.draw(st.permutations(history + repeated))
        check = _equals_a_recount(database, history, arrival, batches)
        asyncio.run_coroutine_threadsafe(check, loop).result()

    await asyncio.to_thread(examples)


async def _equals_a_recount(
    database: Database, history: list[Heard], arrival: list[Heard], batches: int
) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "truncate community, post, flag, feedback_case, interaction, touched_post,"
            " touched_hour, counted, stale_day, measurement, total"
        )
    world = World(database)
    await world.configure(AMSTERDAM)
    size = -(-len(arrival) // batches)
    for start in range(0, len(arrival), size):
        await world.hear(*arrival[start : start + size])
        await world.settle()
    expected = recount(history, "Europe/Amsterdam")
    assert await world.measurements() == expected
    for column, metric in TOTALS.items():
        days = [
            value
            for (grain, _, source, name), (value, _) in expected.items()
            if (grain, source, name) == ("day", None, metric)
        ]
        assert await world.total(column) == sum(days)
    assert len({event.id for event in world.said}) == len(world.said)
