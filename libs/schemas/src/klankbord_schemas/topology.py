"""The bus: which streams keep which events, who reads them, and who may say what.

These names are addresses. Renaming a durable consumer makes it read its stream again from the
start; a snapshot test (tests/contracts/test_topology.py) holds them.
"""

from dataclasses import dataclass
from functools import lru_cache

from klankbord_schemas.catalogue import EventClass
from klankbord_schemas.erasure import ErasureCompleted
from klankbord_schemas.feedback import FeedbackRouted, FeedbackWithdrawn
from klankbord_schemas.interaction import InteractionReceived
from klankbord_schemas.measure import CommunityMeasured
from klankbord_schemas.member import MemberErased, MemberSeen
from klankbord_schemas.post import PostFlagged, PostReceived
from klankbord_schemas.query import QueryMatched
from klankbord_schemas.source import SourceSilent

DAY = 24 * 3600
REPLAYS = "klankbord.replay."
"""What the subjects of replayed dead letters begin with."""


@dataclass(frozen=True)
class Stream:
    """A JetStream stream: file storage, limits retention, new messages refused when it is full."""

    name: str
    events: tuple[str, ...]
    """The subjects of the events that it keeps."""
    max_age: int = 30 * DAY
    """Seconds after which a message is dropped; 0 keeps it for ever."""
    max_bytes: int = 20 * 1024**3
    max_msgs_per_subject: int = -1
    duplicate_window: int = 120
    """Seconds in which a second message with the same `Nats-Msg-Id` is dropped."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """What it keeps: its events, and dead letters that are replayed to a reader of it."""
        return (*self.events, f"{REPLAYS}{self.name}.>")

    def keeps(self, subject: str) -> bool:
        """Whether it keeps what is published on that subject."""
        return any(subject.startswith(held.removesuffix(">")) for held in self.subjects)


@dataclass(frozen=True)
class Consumer:
    """A durable pull consumer: one service reading one stream, shared by its replicas."""

    name: str
    service: str
    stream: str
    events: tuple[EventClass, ...]
    ack_wait: int = 10
    """Seconds after which an event that nobody acknowledged is delivered again."""
    max_ack_pending: int = 5000

    @property
    def subjects(self) -> tuple[str, ...]:
        """What it reads: every community and facet of its events, and what is replayed to it."""
        return (*(f"{event.subject_prefix()}.>" for event in self.events), self.replay_subject)

    @property
    def filters(self) -> tuple[str, ...]:
        """What it asks the server to choose by: nothing, where it reads every event of its stream.

        With a choice to make, nats-server may look through every subject there is for each message:
        twenty times the work with a thousand communities (docs/adr/0012). So what is replayed to
        another reader of the stream is delivered here too, and passed over.
        """
        (stream,) = (stream for stream in STREAMS if stream.name == self.stream)
        kept = {f"{event.subject_prefix().rpartition('.')[0]}.>" for event in self.events}
        return () if kept >= set(stream.events) else self.subjects

    @property
    def replay_subject(self) -> str:
        """Where a dead letter is published again, for this consumer alone."""
        return f"{REPLAYS}{self.stream}.{self.name}"

    @property
    def dead_subject(self) -> str:
        """Where what it cannot handle is put."""
        return f"klankbord.dead.{self.service}.{self.name}"


@dataclass(frozen=True)
class Service:
    """A service on the bus and the events that it, and nobody else, may publish."""

    name: str
    produces: tuple[EventClass, ...]


LOOKS = 32
"""How many looks of a member the bus keeps. What a stream drops by itself stays on the disk, out
of reach of an erasure, until nats-server happens to write its file anew: so it drops rarely."""

# What is read by the same consumers is kept together: they read a stream whole. Each event is
# spelled out, since `Consumer.filters` compares.
STREAMS = (
    Stream("POSTS", ("klankbord.post.received.>",)),
    Stream("INTERACTIONS", ("klankbord.interaction.received.>",)),
    Stream("MEMBERS", ("klankbord.member.seen.>",), max_age=0, max_msgs_per_subject=LOOKS),
    Stream("ERASURES", ("klankbord.member.erased.>", "klankbord.erasure.completed.>")),
    Stream("MODERATION", ("klankbord.post.flagged.>",)),
    Stream("ROUTING", ("klankbord.feedback.routed.>", "klankbord.feedback.withdrawn.>")),
    Stream("METRICS", ("klankbord.community.measured.>",)),
    Stream("QUERIES", ("klankbord.query.matched.>",), max_bytes=5 * 1024**3),
    Stream("SOURCES", ("klankbord.source.silent.>",), max_bytes=1024**3),
    Stream("DEAD", ("klankbord.dead.>",), duplicate_window=DAY),
)

SERVICES = (
    Service(
        "ingest",
        (
            PostReceived,
            InteractionReceived,
            MemberSeen,
            MemberErased,
            QueryMatched,
            SourceSilent,
        ),
    ),
    Service("moderation", (PostFlagged,)),
    Service("routing", (FeedbackRouted, FeedbackWithdrawn)),
    Service("metrics", (CommunityMeasured,)),
)

SAID_BY_EACH = (ErasureCompleted,)
"""What every service says of itself alone: its name is the facet, and no other may use that."""

CONSUMERS = (
    Consumer("ingest-erasures", "ingest", "ERASURES", (MemberErased,)),
    Consumer("moderation-erasures", "moderation", "ERASURES", (MemberErased,)),
    Consumer("routing-erasures", "routing", "ERASURES", (MemberErased,)),
    Consumer("metrics-erasures", "metrics", "ERASURES", (MemberErased,)),
    Consumer("moderation-posts", "moderation", "POSTS", (PostReceived,)),
    Consumer("routing-posts", "routing", "POSTS", (PostReceived,)),
    Consumer("routing-flags", "routing", "MODERATION", (PostFlagged,)),
    Consumer("metrics-posts", "metrics", "POSTS", (PostReceived,)),
    Consumer("metrics-interactions", "metrics", "INTERACTIONS", (InteractionReceived,)),
    Consumer("metrics-flags", "metrics", "MODERATION", (PostFlagged,)),
    Consumer("metrics-feedback", "metrics", "ROUTING", (FeedbackRouted, FeedbackWithdrawn)),
)


def consumer(name: str) -> Consumer:
    """The consumer of that name.

    Raises:
        KeyError: the topology has no such consumer.
    """
    return {consumer.name: consumer for consumer in CONSUMERS}[name]


@lru_cache(maxsize=4096)
def stream_keeping(subject: str) -> Stream:
    """The stream that keeps what is published on that subject.

    Raises:
        KeyError: none does.
    """
    for stream in STREAMS:
        if stream.keeps(subject):
            return stream
    raise KeyError(f"no stream keeps {subject}: add it to klankbord_schemas.topology")


def stream_of(event: EventClass) -> Stream:
    """The stream that keeps events of that class.

    Raises:
        KeyError: none does.
    """
    return stream_keeping(f"{event.subject_prefix()}.x")


def inbox_prefix(user: str) -> str:
    """What the answers to that user's requests begin with: each may hear only its own."""
    return f"_INBOX_{user}"


def producers_of(event: EventClass) -> list[Service]:
    """Who may say it: one service, or each for itself.

    Raises:
        KeyError: nobody does.
    """
    if event in SAID_BY_EACH:
        return list(SERVICES)
    found = [service for service in SERVICES if event in service.produces]
    if not found:
        raise KeyError(f"no service says {event.type_name()}: add it to klankbord_schemas.topology")
    return found


def readers_of(event: EventClass) -> list[Consumer]:
    """The durable consumers that read it."""
    return [consumer for consumer in CONSUMERS if event in consumer.events]
