"""The demo's community, played while a Prometheus watches: there the dashboards have data."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import panels
from prometheus import Prometheus, Series, exporter, prometheus, targets_at
from stage import fresh_home

from klankbord_standalone import standalone
from klankbord_standalone.child import free_port
from klankbord_standalone.demo import COMMUNITY, play, settled
from klankbord_standalone.sample import CONFIGURATION, SEED, sample
from klankbord_standalone.sender import make_secret
from klankbord_standalone.services import choose_ports

FEED = {"name": "blog", "community": COMMUNITY, "kind": "feed", "url": "https://blog.invalid/feed"}
"""A feed that nobody answers for, so that there is one to be shown as not well."""
BEGINNING = 400
"""How much of the sample is played at first."""
SHOWN = timedelta(weeks=10)
"""How far back is looked: all of the sample, which is of the eight weeks before this one."""


@dataclass(frozen=True)
class Watched:
    """The community, measured; Prometheus has seen it happen."""

    prometheus: Prometheus
    begin: datetime
    """When Prometheus began to look."""
    reader_url: str = field(repr=False)
    _reader: "asyncpg.Connection[Any]"

    @property
    def chosen(self) -> panels.Chosen:
        """What somebody has chosen who looks at all of it now."""
        now = datetime.now(UTC)
        return panels.Chosen(
            now - SHOWN, now, {"community": COMMUNITY, "source": "forum|chat|blog"}
        )

    async def rows(self, asked: panels.Asked) -> list[dict[str, Any]]:
        """What PostgreSQL answers, as the role that reads the published views and nothing else."""
        found = await self._reader.fetch(panels.interpolated(asked, self.chosen))
        return [dict(row) for row in found]

    async def series(self, asked: panels.Asked) -> list[Series]:
        """What Prometheus answers."""
        expression = panels.interpolated(asked, self.chosen)
        if (values := panels.LABEL_VALUES.fullmatch(expression)) is not None:
            return [one for one in await self.prometheus.ask(values[1]) if values[2] in one.labels]
        if asked.target.get("instant"):
            return await self.prometheus.ask(expression)
        now = datetime.now(UTC)
        return await self.prometheus.ask_over(
            expression, self.begin.timestamp(), now.timestamp(), step=1
        )


@asynccontextmanager
async def watched_demo() -> AsyncIterator[Watched]:
    """Play the sample community, and wait until it is measured; everything is gone afterwards."""
    configuration = {**CONFIGURATION, "sources": [*CONFIGURATION["sources"], FEED]}
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(fresh_home(configuration))
        keys = {
            source["name"]: make_secret(home.secrets, source["name"])
            for source in CONFIGURATION["sources"]
        }
        home.keep_ports(choose_ports({}))
        port = free_port()
        begin = datetime.now(UTC)
        server = await stack.enter_async_context(
            prometheus(home.data, targets_at(home.ports(), port))
        )
        everything = await stack.enter_async_context(standalone.start(home))
        assert everything.servers is not None
        monitored = everything.servers.nats.monitor_url
        await stack.enter_async_context(exporter(monitored, port, home.logs / "exporter.log"))
        await server.scraped()
        played = await asyncio.to_thread(sample, SEED, begin.date())
        # a rate sees no first increase: every counter that has labels is there after some posts
        await play(everything, replace(played, submitted=played.submitted[:BEGINNING]), keys)
        await settled(everything)
        await server.scraped()
        await play(everything, played, keys)
        await settled(everything)
        await server.scraped()
        url = everything.installation.postgres_url("reader")
        reader = await asyncpg.connect(url)
        stack.push_async_callback(reader.close)
        yield Watched(server, begin, url, reader)
