"""Finds what the bus keeps about a member, by reading it, and deletes it from the disk.

nats-server overwrites a message that is deleted by its number (`STREAM.MSG.DELETE`). A purge, also
one by subject, takes messages out of reach and leaves their bytes: docs/adr/0009.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from pydantic import BaseModel, ValidationError

from klankbord_runtime.deadletter import DeadLetter
from klankbord_runtime.permissions import DEAD
from klankbord_runtime.provision import ProvisionError
from klankbord_runtime.puller import Puller, delivery_of
from klankbord_schemas import Event, MemberSeen, Person, PostReceived, event_class, member_digest
from klankbord_schemas.topology import STREAMS, Stream

BATCH = 1000
AT_ONCE = 50
"""How many deletions are on their way at once."""
GONE = 10043
"""nats-server's error code of a message that is not there any more."""
ANSWER_PATIENCE = 30.0
IDLE = 60.0
"""Seconds after which nats-server forgets a consumer that nobody asks."""


@dataclass(frozen=True)
class Member:
    """Whom to look for."""

    community: str
    pseudonym: str
    native_id: str | None = None
    """What the platform calls the member, where that is known."""

    @property
    def person(self) -> Person:
        """The member as erasures name one."""
        return Person(self.community, member_digest(self.pseudonym))


@dataclass
class Traces:
    """Where something about a member is."""

    places: dict[str, list[int]] = field(default_factory=dict)
    """The sequences of the messages, by stream."""
    read: int = 0
    """How many messages were looked at."""

    @property
    def found(self) -> int:
        """How many messages there are."""
        return sum(map(len, self.places.values()))


class _Typed(BaseModel):
    type: str


class Search:
    """Tells which messages are about a member. Hears of each message once, in any order."""

    def __init__(self, member: Member) -> None:
        self._person = member.person
        self._needles = [member.pseudonym.encode()]
        if member.native_id is not None:
            # as it stands in JSON, quotes included: a short one is a part of many words
            self._needles += {
                json.dumps(member.native_id, ensure_ascii=escaped).encode()
                for escaped in (True, False)
            }
        self._posts: set[UUID] = set()
        self._by_nobody: dict[UUID, list[tuple[str, int]]] = {}
        self.traces = Traces()

    def hear(self, stream: str, place: int, data: bytes) -> None:
        """Look at one message."""
        self.traces.read += 1
        letter = _letter(data) if stream == DEAD else None
        body = data if letter is None else letter.body
        if any(needle in part for needle in self._needles for part in {data, body}):
            if self._is_theirs(body):
                self._note(stream, place)
        elif b'"attributedTo"' not in body and PostReceived.type_name().encode() in body:
            self._hear_by_nobody(stream, place, body)

    def finish(self) -> Traces:
        """Everything was heard: what it is, the posts that name no author among it."""
        for post in self._posts & self._by_nobody.keys():
            for stream, place in self._by_nobody[post]:
                self._note(stream, place)
        return self.traces

    def _is_theirs(self, body: bytes) -> bool:
        """Whether it is about the member, and not about one who quotes the member."""
        event = _event(body)
        if event is None:
            return True  # nobody can tell what these bytes are, and they name the member
        if isinstance(event, PostReceived) and event.person == self._person:
            self._posts.add(event.data.post)
        return event.person == self._person

    def _hear_by_nobody(self, stream: str, place: int, body: bytes) -> None:
        """A post without author, such as a delete, is theirs where another version of it is."""
        event = _event(body)
        if isinstance(event, PostReceived):
            self._by_nobody.setdefault(event.data.post, []).append((stream, place))

    def _note(self, stream: str, place: int) -> None:
        self.traces.places.setdefault(stream, []).append(place)


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
    client: Client, stream: Stream, subjects: tuple[str, ...]
) -> AsyncIterator[list[Msg]]:
    """What a stream keeps on these subjects now, in batches; nothing is acknowledged."""
    config = ConsumerConfig(
        name=f"scan-{uuid4().hex}",
        deliver_policy=DeliverPolicy.ALL,
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


def _letter(data: bytes) -> DeadLetter | None:
    try:
        return DeadLetter.model_validate_json(data)
    except ValidationError:  # something else that lies there; its bytes are searched all the same
        return None


def _event(body: bytes) -> Event[Any] | None:
    try:
        return event_class(_Typed.model_validate_json(body).type).from_json(body)
    except (ValidationError, KeyError):
        return None


async def _delete(client: Client, stream: str, place: int) -> None:
    request = json.dumps({"seq": place}).encode()
    answer = await client.request(
        f"$JS.API.STREAM.MSG.DELETE.{stream}", request, timeout=ANSWER_PATIENCE
    )
    error = json.loads(answer.data).get("error")
    if error is not None and error["err_code"] != GONE:
        raise ProvisionError(f"nats-server does not delete {place} of {stream}: {error}")
