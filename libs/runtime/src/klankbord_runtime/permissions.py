"""Who may say and hear what on the bus, derived from the topology: the least that works.

What a JetStream client needs is listed by
https://docs.nats.io/nats-concepts/security/deny_by_default and was tried subject by subject
(tests/integration/standalone/test_nats.py). Whoever is not allowed a subject is denied it.
"""

from dataclasses import dataclass
from typing import Any

from klankbord_schemas.topology import (
    CONSUMERS,
    SAID_BY_EACH,
    STREAMS,
    Consumer,
    Service,
    Stream,
    inbox_prefix,
    stream_of,
)

PROVISION = "provision"
OPERATOR = "operator"
ACCOUNT = "KLANKBORD"
"""NATS's account of everything that is ours."""
DEAD = "DEAD"
"""The stream of dead letters."""


@dataclass(frozen=True)
class Permissions:
    """Subjects, with wildcards: allowed to publish, but for those denied; allowed to subscribe."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    publish_deny: tuple[str, ...] = ()

    def as_config(self) -> dict[str, Any]:
        """The block `permissions` of nats-server's configuration."""
        publish: dict[str, Any] = {"allow": list(self.publish)}
        if self.publish_deny:
            publish["deny"] = list(self.publish_deny)
        return {"publish": publish, "subscribe": {"allow": list(self.subscribe)}}


@dataclass(frozen=True)
class Quotas:
    """The most that a third party may have at once: nats-server holds it to that."""

    connections: int = 10
    """How many connections."""
    subscriptions: int = 100
    """How many subscriptions, over all of them."""
    payload: int = 16 * 1024
    """How many bytes one message of its own may have: it only asks and acknowledges."""
    requests: int = 64
    """How many requests for events may wait at the server."""
    batch: int = 1000
    """How many events it may ask for in one request."""
    in_hand: int = 1000
    """How many events it may have without acknowledging them; then it gets no more."""

    def as_limits(self) -> dict[str, int]:
        """The block `limits` of an account in nats-server's configuration."""
        return {
            "max_connections": self.connections,
            "max_subscriptions": self.subscriptions,
            "max_payload": self.payload,
        }


USUAL = Quotas()


@dataclass(frozen=True)
class Subscriber:
    """A third party that reads subjects of one stream through a durable consumer of its own."""

    name: str
    stream: str
    subjects: tuple[str, ...]
    quotas: Quotas = USUAL

    @property
    def user(self) -> str:
        """Its name as a user, as a durable consumer, and in its inbox prefix."""
        return f"subscriber-{self.name}"


class NoOneStreamError(ValueError):
    """No stream keeps a subject, or the subjects are kept by more than one."""


def service_permissions(service: Service) -> Permissions:
    """What a service may: say its own events, read its own consumers, park its dead letters."""
    consumers = [consumer for consumer in CONSUMERS if consumer.service == service.name]
    streams = {stream_of(event).name for event in service.produces}
    streams |= {consumer.stream for consumer in consumers} | {DEAD}
    return Permissions(
        publish=(
            *(f"{event.subject_prefix()}.>" for event in service.produces),
            *(f"{event.subject_prefix()}.*.{service.name}" for event in SAID_BY_EACH),
            dead_letters(service.name),
            *(f"$JS.API.STREAM.INFO.{stream}" for stream in sorted(streams)),
            *(
                subject
                for consumer in consumers
                for subject in _reading(consumer.stream, consumer.name)
            ),
        ),
        subscribe=(inbox(service.name),),
    )


def subscriber_permissions(subscriber: Subscriber) -> Permissions:
    """What a third party may: read its own durable consumer, and publish nothing."""
    return Permissions(
        publish=_reading(subscriber.stream, subscriber.user),
        subscribe=(inbox(subscriber.user),),
    )


def subscriber_exports(subscriber: Subscriber) -> list[dict[str, Any]]:
    """What our account exports to the third party's: its own durable consumer, nothing else."""
    return [
        {"service": subject, "accounts": [subscriber.user]}
        | ({"response_type": "stream"} if ".MSG.NEXT." in subject else {})
        for subject in _reading(subscriber.stream, subscriber.user)
    ]


def provision_permissions() -> Permissions:
    """The provisioning job may everything: it makes streams and consumers."""
    return Permissions(publish=(">",), subscribe=(">",))


def operator_permissions() -> Permissions:
    """The operator's command may look at everything, erase events, and replay dead letters.

    It may make consumers of its own (to tail a stream), so those of the services are denied by
    name: it can neither change them nor take their events.
    """
    return Permissions(
        publish=(
            dead_letters("*"),
            "klankbord.replay.>",
            *(f"$JS.API.STREAM.MSG.DELETE.{stream.name}" for stream in STREAMS),
            "$JS.API.INFO",
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.LIST",
            "$JS.API.STREAM.INFO.*",
            "$JS.API.STREAM.MSG.GET.*",
            "$JS.API.CONSUMER.NAMES.*",
            "$JS.API.CONSUMER.LIST.*",
            "$JS.API.CONSUMER.INFO.*.*",
            "$JS.API.CONSUMER.CREATE.>",
            "$JS.API.CONSUMER.DURABLE.CREATE.*.*",
            "$JS.API.CONSUMER.DELETE.*.*",
            "$JS.API.CONSUMER.MSG.NEXT.*.*",
            "$JS.ACK.>",
            "$JS.FC.>",
        ),
        publish_deny=tuple(subject for consumer in CONSUMERS for subject in _handling(consumer)),
        subscribe=(inbox(OPERATOR),),
    )


def subscriber(name: str, subjects: tuple[str, ...], quotas: Quotas = USUAL) -> Subscriber:
    """A third party that reads these subjects, from the one stream that keeps them.

    Raises:
        NoOneStreamError: no stream keeps one of them, or they are kept by several streams.
    """
    streams = {stream_of_subject(subject).name for subject in subjects}
    if len(streams) != 1:
        raise NoOneStreamError(
            f"these subjects are kept by {len(streams)} streams ({', '.join(sorted(streams))}): "
            "a subscriber reads one stream, so add one subscriber for each"
        )
    return Subscriber(name, streams.pop(), subjects, quotas)


def stream_of_subject(subject: str) -> Stream:
    """The one stream that keeps the events of this subject, which may hold wildcards.

    Raises:
        NoOneStreamError: no stream does, or several do.
    """
    streams = [s for s in STREAMS if any(overlap(subject, held) for held in s.events)]
    if len(streams) == 1:
        return streams[0]
    subjects = ", ".join(held for stream in STREAMS for held in stream.events)
    found = " and ".join(stream.name for stream in streams) or "no stream"
    raise NoOneStreamError(
        f"{subject!r} is kept by {found}: give a subject of one stream, within one of {subjects}"
    )


def overlap(one: str, other: str) -> bool:
    """Whether a subject can match both patterns (`*` is one token, a final `>` one or more)."""
    first, second = one.split("."), other.split(".")
    for a, b in zip(first, second, strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(first) == len(second)


def dead_letters(service: str) -> str:
    """Where that service's dead letters are."""
    return f"klankbord.dead.{service}.>"


def inbox(user: str) -> str:
    """Where that user's answers arrive."""
    return f"{inbox_prefix(user)}.>"


def _reading(stream: str, consumer: str) -> tuple[str, ...]:
    return (
        f"$JS.API.CONSUMER.INFO.{stream}.{consumer}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}",
        *_acknowledging(stream, consumer),
    )


def _acknowledging(stream: str, consumer: str) -> tuple[str, ...]:
    """Both forms of the acknowledgement's subject: newer servers may use the second."""
    return (f"$JS.ACK.{stream}.{consumer}.>", f"$JS.ACK.*.*.{stream}.{consumer}.>")


def _handling(consumer: Consumer) -> tuple[str, ...]:
    address = f"{consumer.stream}.{consumer.name}"
    return (
        f"$JS.API.CONSUMER.CREATE.{address}",
        f"$JS.API.CONSUMER.CREATE.{address}.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{address}",
        f"$JS.API.CONSUMER.DELETE.{address}",
        f"$JS.API.CONSUMER.MSG.NEXT.{address}",
        *_acknowledging(consumer.stream, consumer.name),
    )
