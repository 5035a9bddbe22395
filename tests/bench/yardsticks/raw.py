"""Yardstick: nats-py's own fetch and an acknowledgement each, and nothing done.

On asyncio, as nats-py's documentation runs it, or with `uvloop` as the first word on the loop that
the services run on: what the client library can do at best.
"""

import asyncio
import sys

import nats
import uvloop

BATCH = 500


async def main(url: str, seed_file: str, inbox: str, stream: str, consumer: str) -> None:
    client = await nats.connect(url, nkeys_seed=seed_file, inbox_prefix=inbox)
    subscription = await client.jetstream().pull_subscribe_bind(consumer, stream)
    while True:
        try:
            messages = await subscription.fetch(BATCH, timeout=5)
        except TimeoutError:
            continue
        for message in messages:
            await message.ack()


if __name__ == "__main__":
    loop, *told = sys.argv[1:]
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(*told))
