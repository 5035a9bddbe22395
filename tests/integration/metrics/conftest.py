from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio
from integration.metrics.world import AMSTERDAM, World

from klankbord_runtime.db import Database


@pytest_asyncio.fixture
async def world(migrated: Callable[[str], Awaitable[str]]) -> AsyncIterator[World]:
    """An empty metrics service of one community in Amsterdam."""
    database = Database(await migrated("metrics"), "metrics")
    await database.connect()
    world = World(database)
    await world.configure(AMSTERDAM)
    yield world
    await database.close()
