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

    while True:
        for message in await puller.take():
            if kind == "forgetful":
                await message.ack()
                await client.flush()
            await effect(message)
            if kind == "repetitive":
                await message.ack()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
