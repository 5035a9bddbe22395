"""Imports through the door of a running ingest: nothing lost, nothing twice, whatever happens."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from world import Migrated, settings

from klankbord_ingest.app import create
from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.imports.client import (
    Circumstances,
    ImportFailedError,
    ImportResult,
    Progress,
    Target,
    import_path,
    import_url,
)
from klankbord_ingest.outgoing import Allowed, FetchError, Gate
from klankbord_ingest.settings import Settings
from klankbord_runtime.service import Service
from klankbord_standalone.servers import Installation

CONFIG = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}
"""
TOKEN = "a token of at least 32 characters that the operator has"
HERE = Circumstances(ZoneInfo("Europe/Amsterdam"), datetime(2026, 11, 22, tzinfo=UTC))
PAYLOADS = Path(__file__).parents[3].parent / "shared" / "real" / "payloads"


def lines(count: int) -> bytes:
    posts = (
        {"nativeId": f"post-{n}", "published": "2026-11-01T10:00:00Z", "content": f"Words {n}"}
        for n in range(count)
    )
    return b"".join(json.dumps(post).encode() + b"\n" for post in posts)


@pytest.fixture
async def service(
    installation: Installation, migrated: Migrated, tmp_path: Path
) -> AsyncIterator[Service]:
    await migrated("ingest")
    (tmp_path / "klankbord.yaml").write_text(CONFIG)
    (tmp_path / "pseudonym.key").write_bytes(bytes(range(32)))
    (tmp_path / "operator.token").write_text(TOKEN)
    service = create(
        settings(
            installation,
            "ingest",
            Settings,
            config_dir=tmp_path,
            pseudonym_key_file=tmp_path / "pseudonym.key",
            operator_token_file=tmp_path / "operator.token",
        )
    )
    async with service.running():
        yield service


@pytest.fixture
def target(service: Service) -> Target:
    return Target(f"http://127.0.0.1:{service.port}", TOKEN, "demo", "archive", "forum.example")


async def heard(service: Service) -> int:
    async with service.database.connection() as connection:
        return int(await connection.fetchval("select count(*) from post"))


def counts(result: ImportResult) -> tuple[int, int, int]:
    return result.received, result.duplicate, result.refused


async def test_a_file_is_heard_and_a_second_time_adds_nothing(
    service: Service, target: Target, tmp_path: Path
) -> None:
    file = tmp_path / "posts.ndjson"
    interaction = b'{"kind": "like", "object": "post-1", "published": "2026-11-01T11:00:00Z"}\n'
    broken = b'{"nativeId": "x"}\nnot json\n{"nativeId": "y", "published": "soon"}\n'
    file.write_bytes(lines(700) + broken + interaction + lines(1200))
    seen: list[Progress] = []
    first = await import_path(file, target, tmp_path, HERE, report=seen.append)
    assert counts(first) == (1201, 700, 3)
    assert first.reasons == {"missing_published": 1, "no_json": 1, "no_moment": 1}
    assert first.refused_file is not None
    refused = [json.loads(line) for line in Path(first.refused_file).read_text().splitlines()]
    assert [row["position"] for row in refused] == ["line 701", "line 702", "line 703"]
    assert await heard(service) == 1200
    assert seen[-1].rows == 1904

    second = await import_path(file, target, tmp_path, HERE)
    assert counts(second) == (0, 1901, 3)
    assert Path(str(second.refused_file)).read_text().count("\n") == 3
    assert await heard(service) == 1200


async def test_versions_of_one_post_arrive_in_the_order_of_the_file(
    service: Service, target: Target, tmp_path: Path
) -> None:
    file = tmp_path / "posts.ndjson"
    post = {"nativeId": "1", "published": "2026-11-01T10:00:00Z"}
    versions = (json.dumps(post | {"content": f"Version {n}"}) for n in range(20))
    with file.open("w") as stream:
        for version in versions:
            stream.write(version + "\n" + lines(499).decode())
    await import_path(file, target, tmp_path, HERE)
    async with service.database.connection() as connection:
        rows = await connection.fetch("select body from outbox")
    events = [json.loads(row["body"]) for row in rows]
    mine = [event for event in events if event["data"].get("nativeId") == "1"]
    newest = max(mine, key=lambda event: str(event["sequence"]))
    assert len(mine) == 20
    assert newest["data"]["content"] == "Version 19"


async def test_an_import_that_was_interrupted_goes_on_where_it_was(
    service: Service, target: Target, tmp_path: Path
) -> None:
    file = tmp_path / "posts.ndjson"
    file.write_bytes(lines(200) + b"not json\n" + lines(6000))
    halfway = asyncio.Event()

    def watch(progress: Progress) -> None:
        if progress.rows >= 2000:
            halfway.set()

    task = asyncio.create_task(import_path(file, target, tmp_path, HERE, report=watch))
    await halfway.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    begun: list[Progress] = []
    result = await import_path(file, target, tmp_path, HERE, report=begun.append)
    assert begun[0].rows >= 2000
    assert sum(counts(result)) == 6201
    assert Path(str(result.refused_file)).read_text().count("\n") == 1
    assert await heard(service) == 6000


async def test_a_dry_run_checks_and_sends_nothing(
    service: Service, target: Target, tmp_path: Path
) -> None:
    file = tmp_path / "posts.ndjson"
    file.write_bytes(lines(10) + b"not json\n")
    result = await import_path(file, target, tmp_path, HERE, dry_run=True)
    assert counts(result) == (10, 0, 1)
    assert await heard(service) == 0


async def test_a_wrong_token_or_community_ends_the_import_with_what_to_do(
    target: Target, tmp_path: Path
) -> None:
    file = tmp_path / "posts.ndjson"
    file.write_bytes(lines(10))
    wrong_token = Target(target.ingest, "wrong", "demo", "archive")
    with pytest.raises(ImportFailedError, match="401"):
        await import_path(file, wrong_token, tmp_path, HERE)
    wrong_community = Target(target.ingest, TOKEN, "Other", "archive")
    with pytest.raises(ImportFailedError, match="community"):
        await import_path(file, wrong_community, tmp_path, HERE)


async def test_it_waits_while_ingest_is_away_and_tells_why(
    web: Any, reply: Any, tmp_path: Path
) -> None:
    file = tmp_path / "posts.ndjson"
    file.write_bytes(lines(3))
    answers = iter(
        [
            reply(status=503, headers={"Retry-After": "0"}),
            reply(status=502),
            reply(body=b'{"received": 3, "duplicate": 0, "refused": []}'),
        ]
    )
    web.answers["/v1/import/archive"] = lambda _: next(answers)
    told: list[Progress] = []
    target = Target(web.url(""), TOKEN, "demo", "archive")
    result = await import_path(file, target, tmp_path, HERE, report=told.append)
    assert counts(result) == (3, 0, 0)
    assert [progress.waiting for progress in told if progress.waiting] == [
        "ingest answered 503",
        "ingest answered 502",
    ]


async def test_a_feed_on_the_web_is_imported_as_it_is_now(
    service: Service, target: Target, web: Any, reply: Any, tmp_path: Path
) -> None:
    feed = (
        b"<rss version='2.0'><channel><item><guid>a</guid><title>A</title></item></channel></rss>"
    )
    url = web.at("/feed", reply(body=feed))
    fetcher = Fetcher(Gate(Allowed.of([f"127.0.0.1:{web.port}"])))
    assert counts(await import_url(url, target, tmp_path, HERE, fetcher)) == (1, 0, 0)
    later = Circumstances(HERE.zone, datetime(2026, 11, 23, tzinfo=UTC))
    assert counts(await import_url(url, target, tmp_path, later, fetcher)) == (0, 1, 0)
    with pytest.raises(ImportFailedError, match="404"):
        await import_url(web.url("/none"), target, tmp_path, HERE, fetcher)
    with pytest.raises(FetchError, match="not a public"):
        await import_url(url, target, tmp_path, HERE, Fetcher(Gate(Allowed())))


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason="no ../shared/real")
async def test_real_mail_and_a_real_slack_export_are_heard_once(
    service: Service, target: Target, tmp_path: Path
) -> None:
    export = PAYLOADS / "slack" / "export-archive" / "tests" / "testarchive.zip"
    for path, refused in ((PAYLOADS / "email", None), (export, 3)):
        first = await import_path(path, target, tmp_path, HERE)
        second = await import_path(path, target, tmp_path, HERE)
        assert first.received > 0
        assert refused in (None, first.refused)
        assert counts(second) == (0, first.received + first.duplicate, first.refused)
