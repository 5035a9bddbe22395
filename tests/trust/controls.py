"""Negative controls: handlers that are wrong on purpose, which the auditor must find out.

An audit that finds nothing proves something only if it would find it.
"""

import asyncio
import random
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM

import asyncpg
from figures import Row
from stage import both_servers
from trust import naive
from trust.auditor import Audit
from trust.part import Say
from world import eventually, post

from klankbord_runtime.migrate import migrate
from klankbord_runtime.permissions import PROVISION
from klankbord_runtime.provision import apply_consumer, consumer_config
from klankbord_schemas import topology
from klankbord_standalone.child import Child
from klankbord_standalone.servers import Installation

POSTS = 240
KILLS = 8
PER_LIFE = 20
"""Events that a process handles before it is killed."""
ACK_WAIT = 1_000_000_000
"""Nanoseconds: these handlers know no other, and the control need not wait for ten seconds."""
CONSUMER = topology.consumer("moderation-posts")
OWES = ("control_naive_doubled", "control_late_publish_lost", "control_forgetful_lost")


async def run(seed: int, say: Say) -> list[Row]:
    """Each of the naive handlers, killed again and again."""
    found = {}
    for kind in ("repetitive", "late", "forgetful"):
        async with both_servers() as servers:
            found[kind] = await control(kind, servers.installation, seed)
        say(f"{kind}: {'; '.join(found[kind].findings) or 'nothing was found'}")
    note = f"{POSTS} events, {KILLS} kills"
    return [
        Row("control_naive_doubled", found["repetitive"].doubled, "effects", "> 0", note=note),
        Row("control_late_publish_lost", found["late"].lost, "events", "> 0", note=note),
        Row("control_forgetful_lost", found["forgetful"].lost, "effects", "> 0", note=note),
    ]


async def control(kind: str, installation: Installation, seed: int) -> Audit:
    """Let one handle everything while it is killed, and audit what it did.

    Args:
        kind: of `naive.py`.
        installation: with empty streams and no tables of moderation's.
        seed: of the moments at which it is killed.
    """
    url = installation.postgres_url("moderation")
    await migrate(url, "klankbord_moderation", "moderation")
    database = await asyncpg.connect(url)
    await database.execute(naive.TABLES)
    posts = [post(str(number)) for number in range(POSTS)]
    async with installation.client(PROVISION) as client:
        config = consumer_config(CONSUMER) | {"ack_wait": ACK_WAIT}
        await apply_consumer(client, CONSUMER.stream, config)
    async with installation.client("ingest") as client:
        stream = client.jetstream()
        for event in posts:
            headers = {"Nats-Msg-Id": str(event.id)}
            await stream.publish_async(event.bus_subject, event.to_json(), headers=headers)
        await stream.publish_async_completed()
    await _handle_and_kill(kind, installation, url, random.Random(seed))
    found = Audit()
    if kind == "late":
        seen = await _said(installation)
    else:
        seen = [row["id"] for row in await database.fetch("select id from naive_effect")]
    await database.close()
    found.compare(f"what the {kind} handler did", [str(event.id) for event in posts], seen)
    return found


async def _handle_and_kill(
    kind: str, installation: Installation, url: str, chance: random.Random
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="klankbord-naive-"))

    async def start() -> Child:
        seed_file = str(installation.seed_file("moderation"))
        command = [sys.executable, naive.__file__, kind, installation.nats_url, seed_file, url]
        return await Child.start("naive", command, log=folder / "naive.log", dies_by=SIGTERM)

    async with installation.client("operator") as operator:

        async def left() -> int:
            state = await operator.jetstream().consumer_info(CONSUMER.stream, CONSUMER.name)
            return (state.num_pending or 0) + (state.num_ack_pending or 0)

        async def fewer_than(before: int) -> bool:
            return await left() <= before

        child = await start()
        try:
            for _ in range(KILLS):
                await eventually(partial(fewer_than, max(0, await left() - PER_LIFE)))
                await asyncio.sleep(chance.uniform(0, 0.05))
                await child.end(SIGKILL, patience=5)
                child = await start()
            await eventually(partial(fewer_than, 0), seconds=120)
            await asyncio.sleep(10 * naive.BETWEEN)  # what is acknowledged first is written then
        finally:
            await child.end(SIGTERM, patience=5)
            shutil.rmtree(folder)


async def _said(installation: Installation) -> list[str]:
    """The ids of what is on the bus, each once: the server may have one twice."""
    async with installation.client("operator") as client:
        subscription = await client.jetstream().pull_subscribe(">", stream="MODERATION")
        left = (await subscription.consumer_info()).num_pending or 0
        found: dict[str, None] = {}
        for _ in range(left):
            (message,) = await subscription.fetch(1, timeout=5)
            found[(message.headers or {})["Nats-Msg-Id"]] = None
        return list(found)
