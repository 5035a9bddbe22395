"""The auditor of the kill -9 test sees a loss and a repetition when there is one."""

import asyncio
import random
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM

import asyncpg
import pytest
from world import Migrated, eventually, post

from klankbord_standalone.child import Child
from klankbord_standalone.servers import Installation

NAIVE = Path(__file__).parents[1] / "trust" / "naive.py"
POSTS = 1_500
KILLS = 12
SEED = 7


@pytest.mark.parametrize(("kind", "symptom"), [("forgetful", "lost"), ("repetitive", "doubled")])
async def test_a_naive_handler_is_found_out(
    kind: str,
    symptom: str,
    installation: Installation,
    migrated: Migrated,
    tmp_path: Path,
) -> None:
    url = await migrated("moderation")
    database = await asyncpg.connect(url)
    await database.execute("create table naive_effect (id text not null)")
    posts = [post(str(number)) for number in range(POSTS)]
    async with installation.client("ingest") as client:
        stream = client.jetstream()
        for event in posts:
            headers = {"Nats-Msg-Id": str(event.id)}
            await stream.publish_async(event.bus_subject, event.to_json(), headers=headers)
        await stream.publish_async_completed()

    async def start() -> Child:
        seed_file = str(installation.seed_file("moderation"))
        command = [sys.executable, str(NAIVE), kind, installation.nats_url, seed_file, url]
        return await Child.start("naive", command, log=tmp_path / "naive.log", dies_by=SIGTERM)

    async def effects() -> int:
        return int(await database.fetchval("select count(*) from naive_effect"))

    async def more_than(done: int) -> bool:
        return await effects() >= done + 40

    chance = random.Random(SEED)
    child = await start()
    for _ in range(KILLS):
        await eventually(partial(more_than, await effects()))
        await asyncio.sleep(chance.uniform(0, 0.05))
        await child.end(SIGKILL, patience=5)
        child = await start()
    async with installation.client("operator") as operator:

        async def all_is_handled() -> bool:
            state = await operator.jetstream().consumer_info("INGEST", "moderation-posts")
            return not state.num_pending and not state.num_ack_pending

        await eventually(all_is_handled, seconds=120)
    await asyncio.sleep(0.5)
    await child.end(SIGTERM, patience=5)
    rows = await database.fetch("select id from naive_effect")
    await database.close()

    counted = Counter(row["id"] for row in rows)
    found = {
        "lost": POSTS - len(counted),
        "doubled": sum(times - 1 for times in counted.values()),
    }
    assert found[symptom] > 0, found
