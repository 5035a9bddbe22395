"""A build that is started together with the job that migrates waits for it."""

import asyncio

import pytest
from world import Migrated

from klankbord_runtime import migrate
from klankbord_standalone.servers import Installation


async def test_it_waits_for_the_schema_and_applies_nothing(
    installation: Installation, migrated: Migrated
) -> None:
    where = (installation.postgres_url("routing"), "klankbord_routing", "routing")
    waiting = asyncio.create_task(migrate.wait(*where, seconds=0.05))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), timeout=1)
    await migrated("routing")
    await asyncio.wait_for(waiting, timeout=30)


async def test_it_waits_for_its_role(installation: Installation, migrated: Migrated) -> None:
    """Before provisioning there is no such role, which PostgreSQL calls a wrong password."""
    await migrated("routing")
    other = installation.postgres_url("routing").replace("klankbord_routing", "klankbord_nobody")
    waiting = asyncio.create_task(migrate.wait(other, "klankbord_routing", "routing", 0.05))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, timeout=1)


async def test_it_waits_for_a_database_that_does_not_answer_yet() -> None:
    nowhere = "postgresql://klankbord_routing:x@127.0.0.1:1/klankbord"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(migrate.wait(nowhere, "klankbord_routing", "routing", 0.05), 1)
