"""Finds what the bus keeps about a member, by reading it, and deletes it from the disk.

nats-server overwrites a message that is deleted by its number (`STREAM.MSG.DELETE`). A purge, also
one by subject, takes messages out of reach and leaves their bytes: docs/adr/0009.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from klankbord_runtime.permissions import DEAD
from klankbord_runtime.provision import ProvisionError
from klankbord_runtime.puller import Puller, delivery_of
from klankbord_schemas import MemberSeen
from klankbord_schemas.topology import STREAMS, Stream
from klankbord_standalone.traces import Member, Search, Traces

BATCH = 1000
AT_ONCE = 50
"""How many deletions are on their way at once."""
GONE = 10043
"""nats-server's error code of a message that is not there any more."""
ANSWER_PATIENCE = 30.0
IDLE = 60.0
"""Seconds after which nats-server forgets a consumer that nobody asks."""


async def find(client: Client, member: Member, tell: Callable[[str], None]) -> Traces:
    """Read every stream as far as it may hold something about the member.

    Args:
        client: connected as the operator.
        member: whom to look for.
        tell: told how far it is.
    """
    search = Search(member)
    for stream in STREAMS:
        async for messages in read(client, stream, _subjects(stream, member)):
            for message in messages:
                place = delivery_of(message).stream_sequence
                search.hear(stream.name, place, message.data)
            tell(f"{stream.name}: {search.traces.read:,} messages read")
    return search.finish()


async def delete(client: Client, traces: Traces, tell: Callable[[str], None]) -> None:
    """Delete these messages, so that nothing of them is left on the disk.

    Raises:
        ProvisionError: the server refuses one.
        nats.errors.Error: it does not answer.
    """
    gate = asyncio.Semaphore(AT_ONCE)
    done = 0

    async def one(stream: str, place: int) -> None:
        nonlocal done
        async with gate:
            await _delete(client, stream, place)
        done += 1
        tell(f"{done:,} of {traces.found:,} messages deleted")

    async with asyncio.TaskGroup() as group:
        for stream, places in traces.places.items():
            for place in places:
                group.create_task(one(stream, place))


async def read(
    client: Client, stream: Stream, subjects: tuple[str, ...], since: datetime | None = None
) -> AsyncIterator[list[Msg]]:
    """What a stream keeps on these subjects now, in batches; nothing is acknowledged.

    Args:
        client: connected as the operator.
        stream: which one.
        subjects: what is wanted of it.
        since: leave out what came before then.
    """
    config = ConsumerConfig(
        name=f"scan-{uuid4().hex}",
        deliver_policy=DeliverPolicy.BY_START_TIME if since else DeliverPolicy.ALL,
        opt_start_time=since,
        ack_policy=AckPolicy.NONE,
        filter_subjects=list(subjects),
        inactive_threshold=IDLE,
        mem_storage=True,
    )
    jetstream = client.jetstream()
    consumer = await jetstream.add_consumer(stream.name, config)
    puller = Puller(client, stream.name, consumer.name, BATCH)
    await puller.start()
    try:
        left = consumer.num_pending or 0
        while left:
            if messages := await puller.take():
                left = messages[-1].metadata.num_pending
                yield messages
    finally:
        await puller.stop()
        await jetstream.delete_consumer(stream.name, consumer.name)


def _subjects(stream: Stream, member: Member) -> tuple[str, ...]:
    """Where in a stream something about the member may be."""
    if stream.name == DEAD:
        return stream.subjects
    replays = stream.subjects[-1]
    if stream.keeps(MemberSeen.subject_prefix()):
        return (f"{MemberSeen.subject_prefix()}.{member.community}.{member.pseudonym}", replays)
    return (f"klankbord.*.*.*.{member.community}.*", replays)


async def _delete(client: Client, stream: str, place: int) -> None:
    request = json.dumps({"seq": place}).encode()
    answer = await client.request(
        f"$JS.API.STREAM.MSG.DELETE.{stream}", request, timeout=ANSWER_PATIENCE
    )
    error = json.loads(answer.data).get("error")
    if error is not None and error["err_code"] != GONE:
        raise ProvisionError(f"nats-server does not delete {place} of {stream}: {error}")
