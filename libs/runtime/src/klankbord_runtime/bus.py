"""The bus: one connection to NATS that never gives up, and publishing that is known to be durable.

Why these settings: docs/adr/0003. Publishing an outbox batch as one JetStream atomic batch
(https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md) is what makes
`sync_interval: always` as fast as the default.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ssl import create_default_context
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from faststream.nats import NatsBroker
from faststream.nats.security import NatsNKey, NatsSecurity
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from klankbord_runtime import wire
from klankbord_runtime.settings import NatsSettings
from klankbord_schemas.event import CONTENT_TYPE
from klankbord_schemas.topology import inbox_prefix

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT = 10.0
MAX_ATOMIC_BATCH = 1000
"""The most messages that nats-server takes in one atomic batch."""
SINGLES_IN_FLIGHT = 100
PENDING_BYTES = 32 * 1024**2
"""How much may wait in the client for the socket: a few atomic batches of the largest kind."""


@dataclass(frozen=True)
class Message:
    """What is to be published: its id, for the server to notice a repetition, and its bytes."""

    id: UUID | str
    subject: str
    body: bytes


class RefusedByServerError(NatsError):
    """The server refused a publication, such as on a full stream; retried, nothing is lost."""


class _Broker(NatsBroker):
    """A broker that no answer of the server's keeps from connecting again.

    FastStream raises what it thinks no second try can mend (not let in, too many connections) from
    the callback that nats-py tells its errors to. That ends a first connect, which is tried again
    in `service.py`; later it would end nats-py's reconnecting for good, and with it the service.
    """

    def _log_connection_broken(
        self, error_cb: Callable[[Exception], Awaitable[None]] | None = None
    ) -> Callable[[Exception], Awaitable[None]]:
        raising = super()._log_connection_broken(error_cb)

        async def told(error: Exception) -> None:
            if error_cb is not None and self.config.connection_state:
                await error_cb(error)
            else:
                await raising(error)

        return told


def make_broker(
    service: str,
    settings: NatsSettings,
    on_error: Callable[[Exception], Awaitable[None]],
    on_lost: Callable[[], Awaitable[None]],
    on_reconnect: Callable[[], Awaitable[None]],
) -> NatsBroker:
    """A FastStream broker that reconnects for ever and notices a dead server within 30 s."""
    return _Broker(
        servers=settings.url.split(","),
        name=f"klankbord-{service}",
        inbox_prefix=inbox_prefix(service),
        connect_timeout=5,
        reconnect_time_wait=1,
        max_reconnect_attempts=-1,
        ping_interval=10,
        max_outstanding_pings=2,
        pending_size=PENDING_BYTES,
        error_cb=on_error,
        disconnected_cb=on_lost,
        reconnected_cb=on_reconnect,
        apply_types=False,
        logger=None,
        security=_security(settings),
    )


def _security(settings: NatsSettings) -> NatsSecurity | None:
    tls = None if settings.ca_file is None else create_default_context(cafile=settings.ca_file)
    if settings.seed_file is not None:
        return NatsNKey(settings.seed_file, ssl_context=tls)
    return None if tls is None else NatsSecurity(ssl_context=tls)


async def reachable(url: str) -> bool:
    """Whether one of the servers accepts connections.

    Asked before the first connect, which nats-py would otherwise retry only after a pause.
    """
    for server in url.split(","):
        address = urlsplit(server)
        try:
            _, writer = await asyncio.wait_for(
                asyncio.open_connection(address.hostname, address.port or 4222), timeout=3
            )
        except (OSError, TimeoutError):
            continue
        writer.close()
        return True
    return False


async def publish(client: Client, messages: Sequence[Message]) -> None:
    """Publish messages of one stream and return when the server has them on disk.

    Messages that the server has already are dropped there, by their id: an atomic batch that
    holds one of those is refused whole, and its messages are then published one by one.

    Raises:
        nats.errors.Error, TimeoutError: not all were stored; publish them again, nothing doubles.
    """
    unique = list({message.id: message for message in messages}.values())
    for start in range(0, len(unique), MAX_ATOMIC_BATCH):
        part = unique[start : start + MAX_ATOMIC_BATCH]
        if len(part) == 1 or not await _publish_atomically(client, part):
            await _publish_singly(client, part)


async def _publish_atomically(client: Client, messages: Sequence[Message]) -> bool:
    batch = uuid4().hex
    last = len(messages)
    await wire.send(
        client,
        (
            wire.publication(message.subject, message.body, _headers(message, batch, number))
            for number, message in enumerate(messages[:-1], start=1)
        ),
    )
    final = messages[-1]
    commit = _headers(final, batch, last) | {"Nats-Batch-Commit": "1"}
    answer = await client.request(
        final.subject, final.body, timeout=PUBLISH_TIMEOUT, headers=commit
    )
    told = json.loads(answer.data)
    if "error" in told:
        log.info("atomic batch of %d refused (%s): publishing one by one", last, told["error"])
    # a server that knows no batches stores each message, but confirms the last one alone
    return bool(told.get("batch") == batch and told.get("count") == last)


async def _publish_singly(client: Client, messages: Sequence[Message]) -> None:
    gate = asyncio.Semaphore(SINGLES_IN_FLIGHT)

    async def one(message: Message) -> None:
        async with gate:
            answer = await client.request(
                message.subject,
                message.body,
                timeout=PUBLISH_TIMEOUT,
                headers=_headers(message),
            )
        acknowledgement = json.loads(answer.data)
        if "error" in acknowledgement:
            raise RefusedByServerError(f"{message.subject}: {acknowledgement['error']}")

    try:
        async with asyncio.TaskGroup() as group:
            for message in messages:
                group.create_task(one(message))
    except* (NatsError, TimeoutError, OSError) as errors:
        raise errors.exceptions[0] from None


def _headers(message: Message, batch: str | None = None, number: int = 0) -> dict[str, str]:
    headers = {"Nats-Msg-Id": str(message.id), "content-type": CONTENT_TYPE}
    if batch is not None:
        headers["Nats-Batch-Id"] = batch
        headers["Nats-Batch-Sequence"] = str(number)
    return headers


async def consumer_state(client: Client, stream: str, consumer: str) -> dict[str, Any] | None:
    """What the server says of a durable consumer; None when it does not exist.

    Raises:
        nats.errors.Error, TimeoutError: the server does not answer.
    """
    return await _ask(client, f"$JS.API.CONSUMER.INFO.{stream}.{consumer}")


async def stream_max_age(client: Client, stream: str) -> timedelta | None:
    """How long the stream keeps an event; None is for ever.

    Raises:
        nats.errors.Error, TimeoutError: the server does not answer, or has no such stream.
    """
    state = await _ask(client, f"$JS.API.STREAM.INFO.{stream}")
    if state is None:
        raise NatsError(f"the stream {stream} does not exist: run `klankbord provision`")
    nanoseconds = state["config"].get("max_age", 0)
    return timedelta(microseconds=nanoseconds / 1000) if nanoseconds else None


async def _ask(client: Client, subject: str) -> dict[str, Any] | None:
    try:
        answer = await client.request(subject, b"", timeout=3)
    except NoRespondersError:
        raise NatsError("JetStream is not available on this server") from None
    state: dict[str, Any] = json.loads(answer.data)
    if state.get("error", {}).get("code") == 404:
        return None
    if "error" in state:
        raise RefusedByServerError(str(state["error"]))
    return state
