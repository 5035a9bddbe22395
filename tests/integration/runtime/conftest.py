"""What the tests of the runtime share."""

from collections.abc import AsyncIterator

import pytest
from world import Migrated

from klankbord_runtime.db import Database


@pytest.fixture
async def database(migrated: Migrated) -> AsyncIterator[Database]:
    database = Database(await migrated("moderation"), "moderation")
    await database.connect()
    yield database
    await database.close()
