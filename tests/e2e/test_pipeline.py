"""One post's way through everything: services that do not wait for each other, and a NATS that
loses the end of its streams."""

import asyncio
import json
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from stage import Stage, stage, submission
from world import eventually

BUG = "The app crashes on start: error 500 every time."
SPAM = "Free money, click here now"


@pytest_asyncio.fixture(scope="module")
async def scene() -> AsyncIterator[Stage]:
    """One installation for the tests that only add posts."""
    async with stage() as running:
        yield running


async def test_moderation_may_be_away_and_nobody_waits_for_it(scene: Stage) -> None:
    moderation = next(p for p in scene.everything.processes if p.name == "moderation")
    await moderation.stop()
    for begin in range(0, 500, 100):
        spam = [submission(n, f"{SPAM} ({n})") for n in range(begin, begin + 100)]
        await scene.forum.send({"posts": spam})

    async def the_others_are_done() -> bool:
        return (
            await handled(scene, "routing", "routing-posts") == 500
            and await handled(scene, "metrics", "metrics-posts") == 500
        )

    await eventually(the_others_are_done, seconds=30)
    assert await handled(scene, "moderation", "moderation-posts") == 0
    await moderation.start()
    await scene.settled()
    assert await handled(scene, "moderation", "moderation-posts") == 500


@pytest.mark.trial
async def test_the_end_of_the_streams_is_lost_and_comes_back(scene: Stage) -> None:
    """The outboxes have it: every effect is there in the end, and none twice."""
    away = [p for p in scene.everything.processes if p.name in ("moderation", "routing")]
    store, copy = scene.home.data / "nats" / "store", scene.home.data / "older"
    await scene.forum.send(posts(1000, 1100))
    await scene.settled()
    before = await handled(scene, "metrics", "metrics-posts")
    for process in away:
        await process.stop()
    await scene.servers.nats.stop()
    shutil.copytree(store, copy)
    await scene.servers.nats.start()

    since = datetime.now(UTC)
    await scene.forum.send(posts(1100, 1200))
    # metrics reads them; moderation and routing never get to see them

    async def read_and_sent() -> bool:
        pending = await scene.fetch("ingest", "select from outbox_pending")
        return not pending and await handled(scene, "metrics", "metrics-posts") == before + 100

    await eventually(read_and_sent, seconds=60)
    await scene.servers.nats.stop()
    shutil.rmtree(store)
    copy.rename(store)
    await scene.servers.nats.start()
    for process in away:
        await process.start()
    await scene.settled()
    for process in away:
        assert await handled(scene, process.name, f"{process.name}-posts") == before

    told = await klankbord(scene, "outbox", "replay", "--since", since.isoformat(), "--json")
    assert told["ingest"]["streams"]["POSTS"] == 100
    await scene.settled()
    for service in ("moderation", "routing", "metrics"):
        assert await handled(scene, service, f"{service}-posts") == before + 100
    ((total,),) = await scene.fetch("metrics", "select posts from published_total")
    assert total == before + 100
    ((cases,),) = await scene.fetch("routing", "select count(*) from published_case")
    ((heard,),) = await scene.fetch("metrics", "select count(*) from feedback_case")
    assert heard == cases > 0
    for service, stream, noun in (("ingest", "POSTS", "post"), ("routing", "ROUTING", "feedback")):
        kept = Counter(event["id"] for event in await scene.events(stream))
        assert set(kept) == await said(scene, service, noun)
        assert max(kept.values()) == 1
    entries = await scene.everything.installation.audit_log()
    assert [e.role for e in entries if e.act == "outbox.replayed"] == [
        f"klankbord_{service}" for service in ("ingest", "moderation", "routing", "metrics")
    ]


def posts(begin: int, end: int) -> dict[str, Any]:
    """Every other one is a bug, every other one spam."""
    return {"posts": [submission(n, f"{(BUG, SPAM)[n % 2]} ({n})") for n in range(begin, end)]}


async def klankbord(scene: Stage, *words: str) -> Any:
    """What the command prints as JSON."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "klankbord_standalone", *words),
        *("--data", str(scene.home.data)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode == 0, complained.decode()
    return json.loads(said)


async def said(scene: Stage, service: str, noun: str) -> set[str]:
    """Every event of that noun that the service ever said, by its id."""
    query = "select id from outbox where subject like 'klankbord.' || $1 || '.%'"
    return {str(row["id"]) for row in await scene.fetch(service, query, noun)}


async def handled(scene: Stage, service: str, consumer: str) -> int:
    (row,) = await scene.fetch(
        service, "select count(*) as handled from inbox where consumer = $1", consumer
    )
    count: int = row["handled"]
    return count
