from collections.abc import AsyncIterator

import pytest_asyncio
from integration.metrics.world import AMSTERDAM, World
from world import Migrated

from klankbord_runtime.db import Database


@pytest_asyncio.fixture
async def world(migrated: Migrated) -> AsyncIterator[World]:
    """An empty metrics service of one community in Amsterdam."""
    database = Database(await migrated("metrics"), "metrics")
    await database.connect()
    world = World(database)
    await world.configure(AMSTERDAM)
    yield world
    await database.close()
