"""NATS loses the end of its streams, and `klankbord outbox replay` brings it back: every effect is
there, and none twice."""

import asyncio
import json
import shutil
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from stage import Stage, stage, submission
from world import eventually

READERS = {"moderation": "moderation-posts", "routing": "routing-posts", "metrics": "metrics-posts"}


def posts(begin: int, end: int) -> dict[str, Any]:
    said = ("The app crashes on start: error 500 every time.", "Free money, click here now")
    return {"posts": [submission(n, f"{said[n % 2]} ({n})") for n in range(begin, end)]}


async def klankbord(scene: Stage, *words: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "klankbord_standalone", *words),
        *("--data", str(scene.home.data)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode == 0, complained.decode()
    return json.loads(said)


async def handled(scene: Stage) -> dict[str, int]:
    """How many posts each reader has handled."""
    found = {}
    for service, consumer in READERS.items():
        query = "select count(*) from inbox where consumer = $1"
        ((found[service],),) = await scene.fetch(service, query, consumer)
    return found


async def all_sent(scene: Stage) -> bool:
    """Whether nothing waits in ingest's outbox."""
    return not await scene.fetch("ingest", "select from outbox_pending")


async def said(scene: Stage, service: str, noun: str) -> set[str]:
    """Every event of that noun that the service ever said, by its id."""
    query = "select id from outbox where subject like 'klankbord.' || $1 || '.%'"
    return {str(row["id"]) for row in await scene.fetch(service, query, noun)}


async def test_the_end_of_the_streams_is_lost_and_comes_back() -> None:
    async with stage() as scene:
        away = [p for p in scene.everything.processes if p.name in ("moderation", "routing")]
        store, copy = scene.home.data / "nats" / "store", scene.home.data / "old"
        await scene.forum.send(posts(0, 100))
        await scene.settled()
        for process in away:
            await process.stop()
        await scene.servers.nats.stop()
        shutil.copytree(store, copy)
        await scene.servers.nats.start()

        since = datetime.now(UTC)
        await scene.forum.send(posts(100, 200))
        # metrics reads them all; moderation and routing never get to see them
        await eventually(lambda: is_handled(scene, "metrics", 200), seconds=60)
        await eventually(lambda: all_sent(scene), seconds=60)
        await scene.servers.nats.stop()
        shutil.rmtree(store)
        copy.rename(store)
        await scene.servers.nats.start()
        for process in away:
            await process.start()
        await scene.settled()
        assert await handled(scene) == {"moderation": 100, "routing": 100, "metrics": 200}

        told = await klankbord(scene, "outbox", "replay", "--since", since.isoformat(), "--json")
        assert told["ingest"]["streams"]["POSTS"] == 100
        await scene.settled()
        assert await handled(scene) == {"moderation": 200, "routing": 200, "metrics": 200}
        ((total,),) = await scene.fetch("metrics", "select posts from published_total")
        assert total == 200
        cases = await scene.fetch("routing", "select post, department from published_case")
        assert len(cases) == len({tuple(case) for case in cases})
        heard = await scene.fetch("metrics", "select count(*) as known from feedback_case")
        assert heard[0]["known"] == len(cases) > 0
        for service, stream, noun in (
            ("ingest", "POSTS", "post"),
            ("routing", "ROUTING", "feedback"),
        ):
            kept = Counter(event["id"] for event in await scene.events(stream))
            assert set(kept) == await said(scene, service, noun)
            assert max(kept.values()) == 1
        entries = await scene.everything.installation.audit_log()
        assert [e.role for e in entries if e.act == "outbox.replayed"] == [
            f"klankbord_{service}" for service in ("ingest", "moderation", "routing", "metrics")
        ]


async def is_handled(scene: Stage, service: str, number: int) -> bool:
    return (await handled(scene))[service] == number
