"""A stream in a file, and back: JetStream's snapshots, and where its durable consumers are.

A snapshot is the server's own copy, packed and with the checksum of every message looked at. It is
sent in chunks, each acknowledged, so that only a window of it is ever in memory. Consumers are kept
beside it, as how far each had acknowledged everything: their own state would be as of a later
moment than the messages, and might lie beyond them. Subjects and formats: ADR-31 of NATS,
https://docs.nats.io/reference/jetstream/api/stream/snapshot.md; the reset of a consumer is ADR-60.
"""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from pydantic import BaseModel, ConfigDict

from klankbord_runtime.provision import NOT_FOUND, ProvisionError
from klankbord_schemas import topology
from klankbord_standalone.private_file import make_private

CHUNK_BYTES = 128 * 1024
WINDOW_BYTES = 4 * 1024**2
"""How much the server sends before it waits for an acknowledgement."""
ANSWER_PATIENCE = 300.0
"""Seconds for the first chunk, the next one, and the end: a large stream is checked first."""
BEGINNING = "all"
"""The deliver policy of every consumer of ours."""
KEPT_OF_A_CONSUMER = frozenset(
    {
        *("durable_name", "description", "deliver_policy", "opt_start_seq", "opt_start_time"),
        *("ack_policy", "ack_wait", "max_deliver", "backoff", "filter_subject", "filter_subjects"),
        *("replay_policy", "sample_freq", "max_waiting", "max_ack_pending", "headers_only"),
        *("max_batch", "max_expires", "max_bytes", "inactive_threshold"),
    }
)
"""What of a consumer's configuration is its own, and not the server's."""


class ConsumerPlace(BaseModel):
    """A durable consumer, and how far it was."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    config: dict[str, Any]
    acknowledged: int
    """The sequence up to which it had acknowledged everything."""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.config["durable_name"])


class StreamCopy(BaseModel):
    """What a snapshot holds."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    config: dict[str, Any]
    messages: int
    first_sequence: int
    last_sequence: int
    consumers: list[ConsumerPlace]

    @property
    def name(self) -> str:
        """The stream's."""
        return str(self.config["name"])


async def durables(client: Client, stream: str) -> list[ConsumerPlace]:
    """Every durable consumer of a stream, ours and third parties', and how far it is now.

    Raises:
        ProvisionError: there is no such stream.
    """
    found: list[ConsumerPlace] = []
    offset, total = 0, 1
    while offset < total:
        answer = await _ask(client, f"CONSUMER.LIST.{stream}", {"offset": offset})
        total = answer["total"]
        consumers = answer["consumers"] or []
        offset += len(consumers)
        found += [
            ConsumerPlace(
                config={k: v for k, v in one["config"].items() if k in KEPT_OF_A_CONSUMER},
                acknowledged=one["ack_floor"]["stream_seq"],
            )
            for one in consumers
            if one["config"].get("durable_name")
        ]
        if not consumers:
            break
    return found


async def take(
    client: Client, stream: str, consumers: list[ConsumerPlace], file: Path
) -> tuple[StreamCopy, str]:
    """Write a snapshot of a stream to a file; gives what it holds, and the file's SHA-256.

    Args:
        client: connected as `provision`.
        stream: its name.
        consumers: what `durables` gave, before this.
        file: not there yet.

    Raises:
        ProvisionError: the server ends the snapshot before it is complete.
    """
    inbox = client.new_inbox()
    arriving: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await client.subscribe(inbox, cb=arriving.put)
    digest = hashlib.sha256()
    try:
        answer = await _ask(
            client,
            f"STREAM.SNAPSHOT.{stream}",
            {
                "deliver_subject": inbox,
                "no_consumers": True,
                "jsck": True,
                "chunk_size": CHUNK_BYTES,
                "window_size": WINDOW_BYTES,
            },
        )
        make_private(file)
        with file.open("wb") as output:
            while data := (message := await _next(arriving, stream)).data:
                # one write of a chunk takes less than handing it to a thread
                output.write(data)
                digest.update(data)
                if message.reply:
                    await client.publish(message.reply, b"")
        status = (message.headers or {}).get("Status", "204")
        if status != "204":
            raise ProvisionError(f"nats-server ended the snapshot of {stream} with {status}")
    finally:
        await subscription.unsubscribe()
    state = answer["state"]
    copy = StreamCopy(
        config=answer["config"],
        messages=state["messages"],
        first_sequence=state["first_seq"],
        last_sequence=state["last_seq"],
        consumers=consumers,
    )
    return copy, digest.hexdigest()


async def put_back(client: Client, copy: StreamCopy, file: Path, replicas: int) -> None:
    """Make the stream what the snapshot holds, in place of the one that is there.

    Args:
        client: connected as `provision`.
        copy: what the snapshot holds.
        file: as `take` wrote it.
        replicas: how many servers of the cluster keep the stream.

    Raises:
        ProvisionError: the server refuses it, or made something else of it.
    """
    await remove(client, copy.name)
    config = copy.config | {"num_replicas": replicas}
    state = {
        "messages": copy.messages,
        "first_seq": copy.first_sequence,
        "last_seq": copy.last_sequence,
        "consumer_count": 0,
    }
    answer = await _ask(client, f"STREAM.RESTORE.{copy.name}", {"config": config, "state": state})
    subject = answer["deliver_subject"]
    with file.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            await client.request(subject, chunk, timeout=ANSWER_PATIENCE)
    done = _accepted(await client.request(subject, b"", timeout=ANSWER_PATIENCE), subject)
    found = done["state"]["last_seq"]
    if found != copy.last_sequence:
        raise ProvisionError(
            f"stream {copy.name} ends with {found} now, and ended with {copy.last_sequence}: "
            "restore again"
        )


async def put_consumers_back(client: Client, copy: StreamCopy) -> None:
    """Let each durable consumer go on behind what it had acknowledged.

    What it had acknowledged out of order is delivered again: an inbox, and an event's id, tell.

    Raises:
        ProvisionError: the server refuses it.
    """
    for consumer in copy.consumers:
        config, following = consumer.config, consumer.acknowledged + 1
        at_the_beginning = config["deliver_policy"] == BEGINNING
        if consumer.acknowledged and not at_the_beginning:
            # the server sets no consumer back that was to begin elsewhere
            config = {k: v for k, v in config.items() if k != "opt_start_time"} | {
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": following,
            }
        await _ask(
            client,
            f"CONSUMER.DURABLE.CREATE.{copy.name}.{consumer.name}",
            {"stream_name": copy.name, "config": config},
        )
        if consumer.acknowledged and at_the_beginning:
            reset = f"CONSUMER.RESET.{copy.name}.{consumer.name}"
            await _ask(client, reset, {"seq": following})


async def remove(client: Client, stream: str) -> None:
    """Delete a stream with all that it keeps; nothing happens where there is none."""
    answer = await _request(client, f"STREAM.DELETE.{stream}", None)
    if answer.get("error", {}).get("code") != NOT_FOUND:
        _refuse_error(answer, f"STREAM.DELETE.{stream}")


async def is_empty(client: Client) -> bool:
    """Whether no stream of ours ever held a message."""
    for stream in topology.STREAMS:
        answer = await _request(client, f"STREAM.INFO.{stream.name}", None)
        if "error" not in answer and answer["state"]["last_seq"]:
            return False
    return True


def server_version(client: Client) -> str:
    """The version of the nats-server that the client is connected to, such as 2.15.1."""
    version = client.connected_server_version
    return f"{version.major}.{version.minor}.{version.patch}"


async def _next(arriving: asyncio.Queue[Msg], stream: str) -> Msg:
    try:
        return await asyncio.wait_for(arriving.get(), ANSWER_PATIENCE)
    except TimeoutError:
        raise ProvisionError(
            f"nats-server sent no more of the snapshot of {stream}: back up again"
        ) from None


async def _ask(client: Client, subject: str, body: Any) -> dict[str, Any]:
    return _refuse_error(await _request(client, subject, body), subject)


async def _request(client: Client, subject: str, body: Any) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    try:
        message = await client.request(f"$JS.API.{subject}", payload, timeout=ANSWER_PATIENCE)
    except NoRespondersError:
        raise ProvisionError("JetStream is not on at this nats-server") from None
    answer: dict[str, Any] = json.loads(message.data)
    return answer


def _accepted(message: Msg, subject: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(message.data)
    return _refuse_error(answer, subject)


def _refuse_error(answer: dict[str, Any], subject: str) -> dict[str, Any]:
    if "error" in answer:
        error = answer["error"]
        message = f"nats-server refused {subject}: {error['description']}"
        raise ProvisionError(message, error.get("err_code"))
    return answer
