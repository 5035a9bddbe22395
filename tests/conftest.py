"""Fixtures for every test that needs real servers.

    servers        one nats-server and one PostgreSQL for the whole run: a `Servers`, with
                   `servers.nats.kill()`, `servers.postgres.restart()`, … for faults.
    installation   a fresh world for one test: empty streams, new consumers, and a database of its
                   own. An `Installation`, with `.nats_url`, `.seed_file(service)`,
                   `.postgres_url(service)`, `.admin_url`, `.environment(service)`, and
                   `async with installation.client(service)` for a connection to NATS.
    migrated       `await migrated("moderation")` makes that service's tables in the installation's
                   database and gives its URL.

A test that stops a server starts it again before it ends.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import hypothesis
import pytest
import pytest_asyncio
from stage import both_servers
from world import Migrated

from klankbord_runtime.permissions import PROVISION
from klankbord_schemas.topology import STREAMS
from klankbord_standalone.servers import Installation, Servers

# no test depends on timing, nor, in CI, on chance: there the examples are the same each time
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "here")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI what needs `make setup-system` may not skip; only what needs foreign data may."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if "CI" in os.environ and reporter is not None:
        skipped = reporter.stats.get("skipped", [])
        if any("system" in report.keywords for report in skipped):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest_asyncio.fixture(scope="session")
async def servers() -> AsyncIterator[Servers]:
    """One of each for all tests; the data is thrown away."""
    async with both_servers() as running:
        yield running


@pytest.fixture
async def installation(servers: Servers) -> AsyncIterator[Installation]:
    """Empty streams, and a database of its own."""
    name = f"test_{uuid4().hex[:12]}"
    address = urlsplit(servers.installation.admin_url)
    fresh = replace(servers.installation, admin_url=address._replace(path=f"/{name}").geturl())
    await _delete_streams(fresh)
    await _as_superuser(servers, f"create database {name} strategy file_copy")
    await fresh.provision()
    yield fresh
    await _as_superuser(servers, f"drop database {name} with (force)")


@pytest.fixture
def migrated(installation: Installation) -> Migrated:
    """Makes a service's tables: `url = await migrated("moderation")`."""

    async def migrated(service: str) -> str:
        from klankbord_runtime.migrate import migrate

        url = installation.postgres_url(service)
        await migrate(url, f"klankbord_{service}", service)
        return url

    return migrated


async def _delete_streams(installation: Installation) -> None:
    """Deleted, not purged: a purged stream still refuses the message ids that it has seen."""
    async with installation.client(PROVISION) as client:
        for stream in STREAMS:
            await client.request(f"$JS.API.STREAM.DELETE.{stream.name}", timeout=5)


async def _as_superuser(servers: Servers, statement: str) -> None:
    connection = await asyncpg.connect(servers.postgres.url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
