"""Print the feedback that is routed to one department: all the integration a team needs.

    pip install nats-py[nkeys] ./libs/schemas
    klankbord subscriber add product-board --subjects 'klankbord.feedback.routed.v1.*.product' \
        --creds product-board.nk
    python examples/subscriber.py product-board product-board.nk nats://127.0.0.1:PORT

One line of JSON per event, each event once by its id: an event that comes again, because this
program ended before it had acknowledged it, is printed again with the same id. Ctrl-C ends it; the
next start goes on where this one stopped, because the place is kept at the server.
"""

import asyncio
import json
import signal
import sys

import nats
import nats.errors

from klankbord_schemas import FeedbackRouted

STREAM = "ROUTING"


async def complain(error: Exception) -> None:
    """Why there is no connection: it is tried again, with a wrong key too."""
    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)


async def main(name: str, seed_file: str, url: str) -> None:
    user = f"subscriber-{name}"
    client = await nats.connect(
        url.split(","),  # the servers of a cluster
        nkeys_seed=seed_file,
        inbox_prefix=f"_INBOX_{user}",
        max_reconnect_attempts=-1,
        error_cb=complain,
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    feedback = await client.jetstream().pull_subscribe_bind(user, STREAM)
    seen: set[str] = set()
    while not stop.is_set():
        try:
            messages = await feedback.fetch(100, timeout=1)
        except TimeoutError:
            continue
        except nats.errors.Error:  # the server is away, or a cluster chooses a leader
            await asyncio.sleep(1)
            continue
        for message in messages:
            event = FeedbackRouted.from_json(message.data)
            if str(event.id) not in seen:
                seen.add(str(event.id))
                said = event.data
                print(
                    json.dumps(
                        {
                            "id": str(event.id),
                            "intent": said.intent,
                            "priority": said.priority,
                            "due": said.due_at.isoformat(),
                            "content": said.content,
                        },
                        ensure_ascii=False,
                    ),
                    flush=True,
                )
            await message.ack()
    await client.flush()  # the last acknowledgements
    await client.close()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: subscriber.py NAME SEED_FILE NATS_URL")
    asyncio.run(main(*sys.argv[1:]))
