"""Every part of `make bench` runs, tiny, and gives its rows; none of its figures means anything."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest_asyncio
from bench import imports, kinds, pipeline, queries, replicas, webhook
from bench.__main__ import SCENES
from bench.consumer import Consumers
from bench.goals import GOALS
from bench.ground import Ground, ground
from bench.growth import Growth
from bench.imports import Imports
from bench.pipeline import Pipeline
from bench.queries import Queries
from bench.replicas import Replicas
from bench.rules import Rules
from bench.sizes import TINY
from bench.talk import Talk
from bench.webhook import Webhook

from klankbord_ingest.kinds import installed

SEED = 1
OWN = "klankbord_ingest.kinds."


@pytest_asyncio.fixture(scope="module")
async def field() -> AsyncIterator[Ground]:
    async with ground() as made:
        yield made


def test_every_row_is_measured_by_one_part() -> None:
    measured = [name for scene in SCENES for name in scene.names]
    assert sorted(measured) == sorted(GOALS)


async def test_the_pipeline_and_the_door_are_measured(field: Ground) -> None:
    wanted = {*pipeline.NAMES} - {"backlog_vs_sustained", "latency_half_p99_ms"}
    async with Pipeline(field, TINY, SEED).running() as part:
        found = await part.round(wanted)
        assert wanted <= found.values.keys()
        assert found.values["pipeline_posts_per_s"] > 0
        assert 0 < found.values["latency_100_p50_ms"] <= found.values["latency_100_p99_ms"]
        assert found.values["bytes_stream_posts_per_post"] > 500

        door = await Webhook(field, part.address, TINY, SEED + 1).round(webhook.NAMES)
        assert door.values["webhook_vs_bare"] > 0
        mails = await Imports(field, part.address, TINY).round(imports.NAMES)
        assert mails.values["import_mbox_per_s"] > 0


async def test_consumers_are_compared_on_the_same_posts(field: Ground) -> None:
    await field.empty()
    talk, now = Talk(SEED), datetime.now(UTC)
    await field.fill(talk.event(number, now) for number in range(TINY.events))
    consumers = Consumers(field, TINY)
    found = await consumers.round({"consumer_vs_raw"})
    assert found.values["consumer_vs_raw"] > 0
    assert await consumers.told() > 0
    assert await consumers.untold() > 0
    assert (await Replicas(field, TINY).round(replicas.NAMES)).values["replicas_2_vs_1"] > 0


async def test_growth_is_measured(field: Ground) -> None:
    found = await Growth(field, TINY, SEED).round({"growth_rules"})
    assert found.values["growth_rules"] > 0


async def test_queries_cost_no_more_than_rules_and_find_what_they_ask_for() -> None:
    found = await Queries(TINY, SEED).round(queries.NAMES)
    assert found.values["queries_vs_rules"] > 0


async def test_both_rule_engines_must_find_the_same() -> None:
    found = await Rules(TINY, SEED).round({"rules_vs_re_10", "rules_vs_re_100"})
    assert found.values["rules_vs_re_100"] > found.values["rules_vs_re_10"] > 0


async def test_every_kind_is_measured_and_hears_what_is_said() -> None:
    async with kinds.kinds(replace(TINY, texts=5), SEED) as part:
        found = await part.round(kinds.NAMES)
    costs = found.parts[kinds.NAME]
    own = {kind for kind, type_ in installed().items() if type_.__module__.startswith(OWN)}
    assert {name.partition(",")[0] for name in costs} == own
    assert found.values[kinds.NAME] == max(costs.values())
    assert kinds.table(costs).count("\n") == len(costs) + 1
