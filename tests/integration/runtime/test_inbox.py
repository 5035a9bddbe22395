"""The inbox spans what the streams keep, whatever they are told to keep."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from world import Migrated, settings

from klankbord_runtime import inbox
from klankbord_runtime.db import load_queries
from klankbord_runtime.service import Service
from klankbord_schemas.topology import DAY, STREAMS
from klankbord_standalone.servers import Installation

QUERIES = load_queries("klankbord_runtime")


@pytest.fixture
async def routing(installation: Installation, migrated: Migrated) -> AsyncIterator[Service]:
    await migrated("routing")
    service = Service("routing", settings(installation, "routing"))
    await service.open()
    async with service.database.transaction() as connection:
        await connection.executemany(
            "insert into inbox values ('routing-posts', $1, now() - $2::interval)",
            [(uuid4(), timedelta(days=days)) for days in (60, 62, 120, 122)],
        )
    yield service
    await service.close()


async def pruned(service: Service, installation: Installation) -> int:
    """How many ids are known when it was tidied."""
    async with installation.client("routing") as client:
        streams = {"POSTS", "MODERATION"}
        await inbox.prune(service.database, QUERIES, client, streams, timedelta(days=1))
    async with service.database.connection() as connection:
        return int(await connection.fetchval("select count(*) from inbox"))


async def test_ids_are_known_for_61_days_as_shipped(
    routing: Service, installation: Installation
) -> None:
    assert await pruned(routing, installation) == 1


async def test_a_stream_that_keeps_longer_lets_them_be_known_longer(
    routing: Service, installation: Installation
) -> None:
    longer = [replace(s, max_age=90 * DAY) if s.name == "POSTS" else s for s in STREAMS]
    await installation.provision(streams=longer)
    assert await pruned(routing, installation) == 3
