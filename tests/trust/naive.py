"""Handlers that look right and are not: the negative controls of the auditor.

forgetful   acknowledges, then writes the effect: an event dies with the process
repetitive  writes the effect, then acknowledges, and keeps no inbox: an event is counted again
late        keeps an inbox, and says what follows after the commit, unless the event was handled
            before: what a process did not get to say is never said
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

import asyncpg
import nats
from nats.aio.msg import Msg

from klankbord_runtime.puller import Puller

BETWEEN = 0.02
"""Seconds between the two halves: most of the time, so that most kills come just then."""
TABLES = """
create table naive_effect (id text not null);
create table naive_inbox (id text primary key);
"""
SAID = "klankbord.post.flagged.v1.acme.naive"


async def main(kind: str, nats_url: str, seed_file: str, postgres_url: str) -> None:
    client = await nats.connect(
        nats_url, nkeys_seed=seed_file, inbox_prefix="_INBOX_moderation", max_reconnect_attempts=-1
    )
    database = await asyncpg.connect(postgres_url)
    puller = Puller(client, "POSTS", "moderation-posts", 20)
    await puller.start()

    async def effect(message: Msg) -> None:
        await database.execute("insert into naive_effect values ($1)", _id(message))

    async def acknowledge(message: Msg) -> None:
        await message.ack()
        await client.flush()

    async def forgetful(message: Msg) -> None:
        await acknowledge(message)
        await asyncio.sleep(BETWEEN)
        await effect(message)

    async def repetitive(message: Msg) -> None:
        await effect(message)
        await asyncio.sleep(BETWEEN)
        await acknowledge(message)

    async def late(message: Msg) -> None:
        done = await database.execute(
            "insert into naive_inbox values ($1) on conflict do nothing", _id(message)
        )
        if done == "INSERT 0 1":
            await asyncio.sleep(BETWEEN)
            await client.jetstream().publish(SAID, b"{}", headers={"Nats-Msg-Id": _id(message)})
        await acknowledge(message)

    handlers: dict[str, Callable[[Msg], Awaitable[None]]] = {
        "forgetful": forgetful,
        "repetitive": repetitive,
        "late": late,
    }
    while True:
        for message in await puller.take():
            await handlers[kind](message)


def _id(message: Msg) -> str:
    identity: str = json.loads(message.data)["id"]
    return identity


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
