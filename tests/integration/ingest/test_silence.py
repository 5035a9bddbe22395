"""Silent sources on a real PostgreSQL: each silence is said once, whichever replica sees it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from world import Migrated, eventually, settings

from klankbord_ingest import handlers
from klankbord_ingest.app import create
from klankbord_ingest.language import LanguageDetector
from klankbord_ingest.rhythm import HOUR, hour_of
from klankbord_ingest.settings import Settings
from klankbord_ingest.sources import parse_sources
from klankbord_ingest.store import SilentSource, Store
from klankbord_ingest.submission import PostSubmission
from klankbord_ingest.tally import Count, SourceHour, Tally
from klankbord_ingest.usecases import Delivery, Ingest, Watch
from klankbord_runtime.db import Connection
from klankbord_runtime.service import Service
from klankbord_runtime.work import Work
from klankbord_schemas import SourceSilent
from klankbord_standalone.servers import Installation
from klankbord_standalone.sources import show

CONFIG = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en]}
sources:
  - {name: forum, community: demo, kind: webhook}
  - {name: blog, community: demo, kind: webhook}
"""
SOURCES = parse_sources(CONFIG.encode())
FORUM = SOURCES.by_name["forum"]
TOKEN = "a token of at least 32 characters that the operator has"
SILENT = "klankbord_ingest_source_silent"


@dataclass
class Replica:
    """An ingest that is built, its tables made, and does nothing by itself."""

    service: Service
    ingest: Ingest
    watch: Watch
    tally: Tally

    async def hear(self, native_id: str, published: datetime) -> None:
        said = {"nativeId": native_id, "published": published, "content": "hello"}
        async with self.service.work() as work:
            delivery = Delivery([PostSubmission.model_validate(said)])
            await self.ingest.receive([delivery], FORUM, work)

    async def keep(self, *resting: str) -> None:
        async with self.service.work() as work:
            await self.watch.keep(resting, work)

    async def look(self, later: timedelta = timedelta()) -> list[SilentSource]:
        async with self.service.work() as work:
            at = Work(work.connection, work.now + later)
            found = await self.watch.look(SOURCES.by_name, at)
            work.emit(*at.emitted)
        return found

    async def said(self) -> list[SourceSilent]:
        async with self.service.database.connection() as connection:
            rows = await connection.fetch(
                "select body from outbox where subject like 'klankbord.source.%' order by batch"
            )
        return [SourceSilent.from_json(row["body"]) for row in rows]

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.service.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query)]


async def remember(connection: Connection, source: str, until: datetime, per_hour: int) -> None:
    """Four weeks in which it brought so many in each hour, up to that moment."""
    hours = [hour_of(until) - number * HOUR for number in range(1, 4 * 168)]
    counts = {SourceHour(source, hour): Count(per_hour, hour) for hour in hours}
    counts[SourceHour(source, hour_of(until))] = Count(per_hour, until)
    await Store().note_hours(connection, counts, hour_of(until))
    listened = [hour_of(until) + number * HOUR for number in range(-4 * 168, 168)]
    await connection.execute(
        "insert into listened_hour select unnest($1::timestamptz[]) on conflict do nothing",
        listened,
    )


async def opened(installation: Installation) -> Replica:
    service = Service("ingest", settings(installation, "ingest"))
    await service.open()
    store, tally = Store(), Tally()
    ingest = Ingest(store, bytes(32), LanguageDetector(), service.erasures, tally=tally)
    return Replica(service, ingest, Watch(store, tally), tally)


@pytest.fixture
async def replicas(
    installation: Installation, migrated: Migrated
) -> AsyncIterator[tuple[Replica, Replica]]:
    await migrated("ingest")
    both = await opened(installation), await opened(installation)
    yield both
    for replica in both:
        await replica.service.close()


async def test_a_silence_is_said_once_and_the_next_one_again(
    replicas: tuple[Replica, Replica],
) -> None:
    one, other = replicas
    last = datetime.now(UTC).replace(microsecond=123456) - timedelta(hours=6)
    async with one.service.database.connection() as connection:
        await remember(connection, "forum", last, per_hour=3)
        await remember(connection, "blog", last, per_hour=1)
    looked = await asyncio.gather(*(replica.look() for replica in (one, other, one, other)))
    assert all([silent.source for silent in found] in (["forum"], []) for found in looked)
    (said,) = await one.said()
    assert (said.data.source, said.data.community, said.data.since) == ("forum", "demo", last)
    assert said.data.expected == pytest.approx(18, abs=0.2)
    assert said.data.at_once == 1

    assert [silent.source for silent in await other.look(HOUR)] == ["forum"]
    assert len(await one.said()) == 1, "it is still the same silence"
    later = {found.source for found in await one.look(timedelta(hours=12))}
    assert later == {"forum", "blog"}

    await one.hear("1", datetime.now(UTC))
    await one.keep()
    assert [silent.source for silent in await other.look()] == ["blog"]
    await other.look(timedelta(hours=6))
    assert [event.data.source for event in await one.said()] == ["forum", "blog", "forum"]
    assert len({event.id for event in await one.said()}) == 3


async def test_what_is_heard_is_counted_by_the_hour_but_no_history(
    replicas: tuple[Replica, Replica],
) -> None:
    one, other = replicas
    now = datetime.now(UTC)
    for replica, names in ((one, "ab"), (other, "bcd")):  # b is heard twice, and is one
        for name in names:
            await replica.hear(name, now)
    await one.hear("old", now - timedelta(days=3))
    for replica in (one, other, one):
        await replica.keep()
    assert await one.rows("select source, sum(heard)::int from source_hour group by 1") == [
        ("forum", 4)
    ]
    listened = {hour for (hour,) in await one.rows("select hour from listened_hour")}
    assert listened <= {hour_of(now), hour_of(now) + HOUR}
    assert one.tally.counts() == other.tally.counts() == {}


async def test_nothing_of_what_cannot_be_written_is_lost(
    replicas: tuple[Replica, Replica],
) -> None:
    one, _ = replicas
    await one.hear("a", datetime.now(UTC))

    async def keep_and_fail() -> None:
        async with one.service.work() as work:
            await one.watch.keep((), work)
            raise RuntimeError("as a test wants")

    with pytest.raises(RuntimeError, match="as a test wants"):
        await keep_and_fail()
    await one.keep()
    assert await one.rows("select sum(heard)::int from source_hour") == [(1,)]


async def test_a_source_that_rests_is_not_missed(replicas: tuple[Replica, Replica]) -> None:
    one, _ = replicas
    last = datetime.now(UTC) - timedelta(hours=48)
    async with one.service.database.connection() as connection:
        await remember(connection, "forum", last, per_hour=3)
    await one.keep("forum")
    assert await one.look() == []
    assert await one.look(timedelta(minutes=30)) == []
    assert [silent.source for silent in await one.look(timedelta(hours=5))] == ["forum"]


async def test_old_hours_are_forgotten(replicas: tuple[Replica, Replica]) -> None:
    one, _ = replicas
    async with one.service.work() as work:
        await remember(work.connection, "forum", work.now - timedelta(weeks=8), per_hour=1)
        await one.watch.forget(work)
    ((first,),) = await one.rows("select min(hour) from source_hour")
    ((listened,),) = await one.rows("select min(hour) from listened_hour")
    assert datetime.now(UTC) - min(first, listened) <= timedelta(weeks=9)


async def test_a_silent_source_is_shown(
    installation: Installation,
    migrated: Migrated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handlers, "SILENCE_EVERY", 0.05)
    await migrated("ingest")
    (tmp_path / "klankbord.yaml").write_text(CONFIG)
    (tmp_path / "pseudonym.key").write_bytes(bytes(32))
    (tmp_path / "operator.token").write_text(TOKEN)
    (tmp_path / "forum").write_text("whsec_" + "bWVuZWVyIGRlIHV1bCB6YXQgb3AgZWVuIHRhaw==")
    more = {
        "config_dir": tmp_path,
        "secrets_dir": tmp_path,
        "pseudonym_key_file": tmp_path / "pseudonym.key",
        "operator_token_file": tmp_path / "operator.token",
    }
    service = create(settings(installation, "ingest", Settings, **more))
    async with service.running():
        async with service.database.connection() as connection:
            await remember(connection, "forum", datetime.now(UTC) - 6 * HOUR, per_hour=3)
        await eventually(lambda: shown(service, "forum") == 1)
        assert shown(service, "blog") == 0
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(headers=headers, timeout=20) as http:
            answer = await http.get(f"http://127.0.0.1:{service.port}/v1/operator/sources")
        blog, forum = sorted(answer.json()["sources"], key=lambda source: source["name"])
        assert blog["silent"] is None
        assert forum["silent"]["expected"] == 18
        table = Console(file=StringIO(), width=200)
        show(answer.json(), table)
        assert "silent: some 18 posts should have come" in table.file.getvalue()  # type: ignore[attr-defined]


def shown(service: Service, source: str) -> float | None:
    return service.registry.get_sample_value(SILENT, {"source": source})
