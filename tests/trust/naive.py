"""Two handlers that look right and are not: the negative controls of the kill -9 test.

forgetful   acknowledges, then writes the effect: an event dies with the process
repetitive  writes the effect, then acknowledges, and keeps no inbox: an event is counted again
"""

import asyncio
import sys

import asyncpg
import nats
from nats.aio.msg import Msg

from klankbord_runtime.puller import Puller

BETWEEN = 0.005
"""Seconds between the two: wide enough that some of a dozen kills come just then."""


async def main(kind: str, nats_url: str, seed_file: str, postgres_url: str) -> None:
    client = await nats.connect(
        nats_url, nkeys_seed=seed_file, inbox_prefix="_INBOX_moderation", max_reconnect_attempts=-1
    )
    database = await asyncpg.connect(postgres_url)
    puller = Puller(client, "INGEST", "moderation-posts", 20)
    await puller.start()

    async def effect(message: Msg) -> None:
        event_id = (message.headers or {})["Nats-Msg-Id"]
        await database.execute("insert into naive_effect values ($1)", event_id)

    async def acknowledge(message: Msg) -> None:
        await message.ack()
        await client.flush()

    first, then = (acknowledge, effect) if kind == "forgetful" else (effect, acknowledge)
    while True:
        for message in await puller.take():
            await first(message)
            await asyncio.sleep(BETWEEN)
            await then(message)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
