"""What nats-server's monitoring says of JetStream, as metrics: pure, from JSON to metric families.

In a cluster every server tells of every stream and consumer that it keeps a copy of, but only the
leader of each knows how far it is: so each is taken from the server that says that it leads it.

The format: https://docs.nats.io/running-a-nats-service/nats_admin/monitoring#jetstream-information
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from pydantic import BaseModel, Field

from klankbord_runtime.permissions import ACCOUNT
from klankbord_runtime.provision import NANOSECONDS
from klankbord_schemas.topology import CONSUMERS, STREAMS

MOST_REMEMBERED = 500
"""Points of a stream's past that are remembered: the older they are, the fewer."""


Number = Annotated[int, Field(ge=-(2**63), lt=2**64)]
"""As Go has them: a larger one could not be shown."""


class _Peer(BaseModel):
    current: bool = False


class _Group(BaseModel):
    leader: str = ""
    replicas: list[_Peer] = []


class _ConsumerConfig(BaseModel):
    durable_name: str = ""
    filter_subject: str = ""
    filter_subjects: list[str] = []

    @property
    def is_filtered(self) -> bool:
        return bool(self.filter_subject or self.filter_subjects)


class _Sequence(BaseModel):
    stream_seq: Number


class _Consumer(BaseModel):
    name: str
    config: _ConsumerConfig
    delivered: _Sequence
    ack_floor: _Sequence
    num_pending: Number
    num_ack_pending: Number
    num_redelivered: Number
    cluster: _Group | None = None
    """None where the server is alone."""

    @property
    def unread(self) -> int:
        return self.num_pending + self.num_ack_pending


class _StreamConfig(BaseModel):
    max_bytes: Number
    max_age: Number
    """In nanoseconds."""


class _State(BaseModel):
    messages: Number
    bytes: Number
    first_seq: Number
    first_ts: datetime
    last_seq: Number
    last_ts: datetime


class _Stream(BaseModel):
    name: str
    config: _StreamConfig
    state: _State
    cluster: _Group | None = None
    consumer_detail: list[_Consumer] | None = None


class _Account(BaseModel):
    name: str
    stream_detail: list[_Stream] | None = None


class Jsz(BaseModel):
    """The answer to `/jsz?streams=true&consumers=true&config=true&accounts=true`."""

    account_details: list[_Account] | None = None
    disabled: bool = False
    """Whether the server runs without JetStream."""


class Varz(BaseModel):
    """The part of the answer to `/varz` that is needed."""

    server_name: str
    """What leaders are called by."""


@dataclass(frozen=True)
class Answer:
    """What one server of a cluster, or the only one, said."""

    server: str
    jsz: Jsz

    def leads(self, group: _Group | None) -> bool:
        """Whether it knows best: it leads the group, or there are no others."""
        return group is None or group.leader == self.server

    @property
    def streams(self) -> list[_Stream]:
        """Our account's streams."""
        accounts = self.jsz.account_details or ()
        return [
            stream
            for account in accounts
            if account.name == ACCOUNT
            for stream in account.stream_detail or ()
        ]


class Past:
    """What was seen of the streams and consumers before: a few thousand numbers at most."""

    def __init__(self) -> None:
        self._arrivals: dict[str, list[tuple[int, float]]] = {}
        self._read: dict[tuple[str, str], int] = {}

    def note_arrivals(self, name: str, state: _State) -> None:
        """Remember when a stream's last message had come, and forget what it does not hold."""
        known = self._arrivals.get(name, [])
        if known and known[-1][0] > state.last_seq:
            known = []  # it was made anew
        points = [point for point in known if point[0] > state.first_seq]
        if state.messages:
            points = [point for point in points if point[0] < state.last_seq]
            points.append((state.last_seq, state.last_ts.timestamp()))
        if len(points) > MOST_REMEMBERED:
            half = len(points) // 2
            points = points[:half:2] + points[half:]
        self._arrivals[name] = points

    def arrival(self, name: str, state: _State, sequence: int) -> float | None:
        """About when that message of a stream came, in seconds since 1970; None if never seen.

        It is on the straight line between the two known moments around it: those of the stream's
        first message, and of the message that was the last one at each look. So it is as exact as
        looks are frequent, and for what came before the first look only between its bounds.
        """
        points = self._arrivals.get(name)
        if not points:
            return None
        before = (state.first_seq, state.first_ts.timestamp())
        for point in points:
            if point[0] >= sequence:
                way = (sequence - before[0]) / max(1, point[0] - before[0])
                return before[1] + way * (point[1] - before[1])
            before = point
        return before[1]

    def note_read(self, stream: str, consumer: _Consumer, last: int) -> int:
        """How far a consumer has read a stream for sure, its last message being that.

        The server's own floor lags where a consumer chooses: it stays at the last event that was
        for it. So it is remembered how far the stream went whenever nothing was left to read.
        """
        place = consumer.ack_floor.stream_seq
        if not consumer.num_ack_pending:
            place = max(place, consumer.delivered.stream_seq)
        if consumer.config.is_filtered:
            before = self._read.get((stream, consumer.name), 0)
            if before <= last:
                place = max(place, before)
            if not consumer.unread:
                place = max(place, last)
            self._read[stream, consumer.name] = place
        return place

    def keep_only(self, streams: Iterable[str], consumers: Iterable[tuple[str, str]]) -> None:
        """Forget everything else."""
        self._arrivals = {name: self._arrivals[name] for name in streams if name in self._arrivals}
        self._read = {key: self._read[key] for key in consumers if key in self._read}


class Families:
    """Every metric family of the exporter, empty at first."""

    def __init__(self) -> None:
        stream, consumer = ["stream"], ["stream", "consumer"]
        self._made: dict[str, GaugeMetricFamily] = {}
        self.up = self._make("nats_up", "Whether a server of NATS answers, with JetStream", [])
        self.messages = self._make("stream_messages", "Events that a stream keeps", stream)
        self.bytes = self._make("stream_bytes", "Bytes that it keeps", stream)
        self.max_bytes = self._make(
            "stream_max_bytes", "Bytes that it may keep; not there where it is unbounded", stream
        )
        self.max_age = self._make(
            "stream_max_age_seconds",
            "Seconds that it keeps an event; not there where it is for ever",
            stream,
        )
        self.oldest = self._make(
            "stream_oldest_timestamp_seconds",
            "When its oldest event came; not there where it is empty",
            stream,
        )
        self.last = self._make("stream_last_sequence", "How many events it was ever given", stream)
        self.replicas = self._make(
            "stream_replicas_current",
            "Servers that have all of it, the leader too; 0 while it has no leader",
            stream,
        )
        self.stream_missing = self._make(
            "stream_missing", "1 for a stream of the topology that is not there", stream
        )
        self.pending = self._make(
            "consumer_pending", "Events that a consumer was not given yet", consumer
        )
        self.ack_pending = self._make(
            "consumer_ack_pending", "Events that it was given and has not acknowledged", consumer
        )
        self.redelivered = self._make(
            "consumer_redelivered", "Of those, how many were delivered more than once", consumer
        )
        self.missed = self._make(
            "consumer_missed",
            "Events that its stream dropped before it acknowledged them; until it reads on",
            consumer,
        )
        self.oldest_unread = self._make(
            "consumer_oldest_unread_timestamp_seconds",
            "About when the oldest event came that it has not acknowledged; not there without one",
            consumer,
        )
        self.known = self._make(
            "consumer_known", "1 for a consumer of the topology, 0 for a third party's", consumer
        )
        self.consumer_missing = self._make(
            "consumer_missing", "1 for a consumer of the topology that is not there", consumer
        )

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._made.values())

    def _make(self, name: str, help_text: str, labels: list[str]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"klankbord_{name}", help_text, labels=labels)
        self._made[name] = family
        return family


KNOWN_STREAMS = frozenset(stream.name for stream in STREAMS)
KNOWN_CONSUMERS = frozenset((consumer.stream, consumer.name) for consumer in CONSUMERS)


def families(answers: Sequence[Answer], asked: int, past: Past) -> list[Metric]:
    """The metrics: nothing but what these answers say, and `up`.

    Args:
        answers: of the servers that answered, with JetStream.
        asked: how many servers were asked. What is not there is said to be missing only when all
            of them answered: a stream may be on the one that did not.
        past: what was seen before; what is seen now is added to it.
    """
    found = Families()
    found.up.add_metric([], 1 if answers else 0)
    for answer, stream in _streams(answers):
        if answer.leads(stream.cluster):
            _tell_stream(found, stream, past)
    for answer, stream, consumer in _consumers(answers):
        if answer.leads(consumer.cluster):
            _tell_consumer(found, stream, consumer, past)
    for name in _without_leader(answers):
        found.replicas.add_metric([name], 0)
    if answers and len(answers) == asked:
        streams = {stream.name for _, stream in _streams(answers)}
        consumers = {(stream.name, consumer.name) for _, stream, consumer in _consumers(answers)}
        _tell_missing(found, streams, consumers)
        past.keep_only(streams, consumers)
    return [family for family in found if family.samples]


def _streams(answers: Sequence[Answer]) -> Iterator[tuple[Answer, _Stream]]:
    for answer in answers:
        for stream in answer.streams:
            yield answer, stream


def _consumers(answers: Sequence[Answer]) -> Iterator[tuple[Answer, _Stream, _Consumer]]:
    """The durable ones: the others are of whoever looks for a moment."""
    for answer, stream in _streams(answers):
        for consumer in stream.consumer_detail or ():
            if consumer.config.durable_name:
                yield answer, stream, consumer


def _tell_stream(found: Families, stream: _Stream, past: Past) -> None:
    label, state = [stream.name], stream.state
    past.note_arrivals(stream.name, state)
    found.messages.add_metric(label, state.messages)
    found.bytes.add_metric(label, state.bytes)
    if stream.config.max_bytes > 0:
        found.max_bytes.add_metric(label, stream.config.max_bytes)
    if stream.config.max_age > 0:
        found.max_age.add_metric(label, stream.config.max_age / NANOSECONDS)
    if state.messages:
        found.oldest.add_metric(label, state.first_ts.timestamp())
    found.last.add_metric(label, state.last_seq)
    others = () if stream.cluster is None else stream.cluster.replicas
    found.replicas.add_metric(label, 1 + sum(peer.current for peer in others))


def _tell_consumer(found: Families, stream: _Stream, consumer: _Consumer, past: Past) -> None:
    key, state = (stream.name, consumer.name), stream.state
    found.pending.add_metric(key, consumer.num_pending)
    found.ack_pending.add_metric(key, consumer.num_ack_pending)
    found.redelivered.add_metric(key, consumer.num_redelivered)
    found.known.add_metric(key, 1 if key in KNOWN_CONSUMERS else 0)
    floor = past.note_read(stream.name, consumer, state.last_seq)
    found.missed.add_metric(key, max(0, state.first_seq - 1 - floor))
    if consumer.unread and state.messages:
        oldest = min(max(floor + 1, state.first_seq), state.last_seq)
        if (came := past.arrival(stream.name, state, oldest)) is not None:
            found.oldest_unread.add_metric(key, came)


def _tell_missing(found: Families, streams: Set[str], consumers: Set[tuple[str, str]]) -> None:
    for name in sorted(KNOWN_STREAMS - streams):
        found.stream_missing.add_metric([name], 1)
    for key in sorted(KNOWN_CONSUMERS - consumers):
        found.consumer_missing.add_metric(key, 1)


def _without_leader(answers: Sequence[Answer]) -> set[str]:
    """The streams that nobody is said to lead."""
    led = {
        stream.name
        for _, stream in _streams(answers)
        if stream.cluster is None or stream.cluster.leader
    }
    return {stream.name for _, stream in _streams(answers)} - led
