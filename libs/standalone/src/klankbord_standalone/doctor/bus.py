"""What NATS says: asked as the operator, who may look at everything and take nothing."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from klankbord_runtime.permissions import DEAD, OPERATOR
from klankbord_runtime.provision import NOT_FOUND, Config, consumer_config, drift, stream_config
from klankbord_schemas.topology import CONSUMERS, SAID_BY_EACH, Service, Stream, stream_keeping
from klankbord_schemas.topology import SERVICES as USERS
from klankbord_standalone.doctor.finding import Unknown, why
from klankbord_standalone.explained import ExplainedError
from klankbord_standalone.servers import Installation

PATIENCE = 2.0
PROBE = {"Nats-Expected-Stream": "KLANKBORD-DOCTOR"}
"""What lets nats-server refuse a message that it would have let in: nothing is stored."""


@dataclass(frozen=True)
class StreamFacts:
    """One stream of the topology, as it is."""

    name: str
    drift: list[str]
    messages: int
    bytes: int
    max_bytes: int
    max_age: timedelta | None
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True)
class ConsumerFacts:
    """One durable consumer of the topology, as it is."""

    name: str
    stream: str
    drift: list[str]
    waiting: int
    """Events that it has not been given, or has not acknowledged."""
    acknowledged: int
    """The place in the stream up to which everything is acknowledged."""
    oldest_unread: timedelta | None
    """How long ago the oldest event was stored that it has not acknowledged; None: there is none,
    or it is there no more."""
    reads_whole: bool
    """Whether it reads every event of its stream."""


@dataclass(frozen=True)
class Monitoring:
    """What only nats-server's monitoring tells; of a cluster, what its worst server does."""

    sync_always: bool
    max_store: int
    reserved: int
    """The sum of every stream's max_bytes."""


@dataclass(frozen=True)
class BusFacts:
    """NATS."""

    version: tuple[int, int]
    ahead: timedelta | Unknown
    """How far its clock is ahead of this machine's."""
    streams: dict[str, StreamFacts | None]
    """None is missing."""
    consumers: dict[str, ConsumerFacts | None]
    dead: dict[str, int]
    """Dead letters, by the consumer that could not handle them."""
    refused: dict[str, list[str]]
    """What each service may not do and must, in words."""
    monitoring: Monitoring | Unknown


async def gather(
    installation: Installation,
    streams: Sequence[Stream],
    replicas: int,
    monitoring: Sequence[str],
) -> BusFacts:
    """Ask NATS.

    Args:
        installation: where it is.
        streams: the topology's, each with how long and how much it is to keep.
        replicas: how many servers are to keep each stream.
        monitoring: the addresses of its servers' HTTP monitoring; none where it is not known.

    Raises:
        nats.errors.Error, OSError, ExplainedError: it is not there, or does not let us in.
    """
    async with installation.client(OPERATOR) as client:
        version = client.connected_server_version
        return BusFacts(
            version=(version.major, version.minor),
            ahead=await _ahead(client),
            streams={s.name: await _stream(client, s, replicas) for s in streams},
            consumers={c.name: await _consumer(client, c.name) for c in CONSUMERS},
            dead=await _dead(client),
            refused=dict(
                zip(
                    [user.name for user in USERS],
                    await asyncio.gather(*(_refused(installation, user) for user in USERS)),
                    strict=True,
                )
            ),
            monitoring=await _monitoring(monitoring),
        )


async def last_heard(
    installation: Installation, subjects: Sequence[str]
) -> dict[str, datetime | None]:
    """When the last event of each subject, which may hold wildcards, was stored.

    Raises:
        nats.errors.Error, OSError: NATS is not there, or does not let us in.
    """
    heard: dict[str, datetime | None] = {}
    async with installation.client(OPERATOR) as client:
        for subject in subjects:
            stream = stream_keeping(subject).name
            heard[subject] = await _message(client, stream, {"last_by_subj": subject})
    return heard


async def _ahead(client: Client) -> timedelta | Unknown:
    """How far the server's clock is ahead: it tells its time with what it says of a stream."""
    begun = datetime.now(UTC)
    info = await _asked(client, f"STREAM.INFO.{DEAD}")
    if info is None:
        return Unknown(f"the stream {DEAD} is missing")
    middle = begun + (datetime.now(UTC) - begun) / 2
    return datetime.fromisoformat(info["ts"]) - middle


async def _stream(client: Client, stream: Stream, replicas: int) -> StreamFacts | None:
    info = await _asked(client, f"STREAM.INFO.{stream.name}")
    if info is None:
        return None
    config, state = info["config"], info["state"]
    age = config.get("max_age", 0)
    return StreamFacts(
        name=stream.name,
        drift=drift(stream_config(stream, replicas), config),
        messages=state["messages"],
        bytes=state["bytes"],
        max_bytes=config["max_bytes"],
        max_age=timedelta(microseconds=age / 1000) if age else None,
        first_sequence=state["first_seq"],
        last_sequence=state["last_seq"],
    )


async def _consumer(client: Client, name: str) -> ConsumerFacts | None:
    (wanted,) = (consumer for consumer in CONSUMERS if consumer.name == name)
    info = await _asked(client, f"CONSUMER.INFO.{wanted.stream}.{name}")
    if info is None:
        return None
    acknowledged = info["ack_floor"]["stream_seq"]
    waiting = info["num_pending"] + info["num_ack_pending"]
    oldest = None
    if waiting:
        ask = {"seq": acknowledged + 1, "next_by_subj": ">"}
        oldest = await _message(client, wanted.stream, ask)
    return ConsumerFacts(
        name=name,
        stream=wanted.stream,
        drift=drift(consumer_config(wanted), info["config"]),
        waiting=waiting,
        acknowledged=acknowledged,
        oldest_unread=None if oldest is None else datetime.now(UTC) - oldest,
        reads_whole=not wanted.filters,
    )


async def _message(client: Client, stream: str, ask: Config) -> datetime | None:
    """When that message was stored; what it says is not looked at."""
    found = await _asked(client, f"STREAM.MSG.GET.{stream}", ask)
    return None if found is None else datetime.fromisoformat(found["message"]["time"])


async def _dead(client: Client) -> dict[str, int]:
    """Dead letters by consumer: the last word of their subject."""
    info = await _asked(client, f"STREAM.INFO.{DEAD}", {"subjects_filter": ">"})
    subjects = {} if info is None else info["state"].get("subjects", {})
    return {subject.rpartition(".")[2]: count for subject, count in subjects.items()}


async def _asked(client: Client, subject: str, body: Config | None = None) -> Config | None:
    """JetStream's answer; None where what was asked about does not exist.

    Raises:
        nats.errors.Error, TimeoutError: it does not answer, or refuses.
    """
    payload = b"" if body is None else json.dumps(body).encode()
    try:
        message = await client.request(f"$JS.API.{subject}", payload, timeout=PATIENCE)
    except NoRespondersError:
        raise NatsError("JetStream is not on there") from None
    answer: dict[str, Any] = json.loads(message.data)
    if answer.get("error", {}).get("code") == NOT_FOUND:
        return None
    if "error" in answer:
        raise NatsError(f"{subject}: {answer['error']['description']}")
    return answer


async def _refused(installation: Installation, service: Service) -> list[str]:
    """What the service's NATS user may not do and must. Nothing is stored by trying."""
    try:
        async with installation.client(service.name) as client:
            tried = await asyncio.gather(*(_may(client, *t) for t in _needs(service)))
    except (NatsError, OSError, ExplainedError) as error:
        return [f"connect ({why(error)})"]
    return [refused for refused in tried if refused is not None]


def _needs(service: Service) -> list[tuple[str, str, dict[str, str] | None]]:
    """What a service must be able to do: in words, the subject, and headers."""
    says = [f"{event.subject_prefix()}.doctor.doctor" for event in service.produces]
    says += [f"{event.subject_prefix()}.doctor.{service.name}" for event in SAID_BY_EACH]
    reads = [consumer for consumer in CONSUMERS if consumer.service == service.name]
    return [
        *((f"publish {subject}", subject, PROBE) for subject in says),
        *((f"publish {c.dead_subject}", c.dead_subject, PROBE) for c in reads),
        *((f"read {c.name}", f"$JS.API.CONSUMER.INFO.{c.stream}.{c.name}", None) for c in reads),
    ]


async def _may(
    client: Client, words: str, subject: str, headers: dict[str, str] | None
) -> str | None:
    try:
        await client.request(subject, b"", timeout=PATIENCE, headers=headers)
    except NoRespondersError:
        return None  # it is let through; that nobody is there is another check's matter
    except TimeoutError:  # nats-server does not answer who may not ask
        return words
    return None


async def _monitoring(addresses: Sequence[str]) -> Monitoring | Unknown:
    if not addresses:
        return Unknown(
            "only nats-server's monitoring tells: give --nats-monitoring-url, such as "
            "http://nats:8222"
        )
    told = []
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http:
        for address in addresses:
            try:
                answer = (await http.get(f"{address}/varz")).raise_for_status()
                told.append(_told(answer.json()["jetstream"]))
            except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
                return Unknown(f"{address}/varz does not tell: {type(error).__name__}")
    return Monitoring(
        sync_always=all(one.sync_always for one in told),
        max_store=min(one.max_store for one in told),
        reserved=max(one.reserved for one in told),
    )


def _told(jetstream: Config) -> Monitoring:
    return Monitoring(
        sync_always=bool(jetstream["config"].get("sync_always")),
        max_store=jetstream["config"]["max_storage"],
        reserved=jetstream["stats"]["reserved_storage"],
    )
