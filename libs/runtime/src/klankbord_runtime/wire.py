"""Many messages in one write, and none of the headers that nobody reads.

nats-py serves one message at a time: each publication and each acknowledgement is checked, built
and handed over by itself, and each header of each delivery is parsed. For a batch of hundreds that
is a fifth of a consumer's time (docs/adr/0011). So three private names of nats-py are used here,
in this one place: `_send_command`, `_flush_pending` and `_process_headers`. The version is pinned,
and tests/unit/runtime/test_wire.py fails when an upgrade changes what stands here.

The protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from collections.abc import Iterable, Mapping
from typing import Any

from nats.aio.client import Client
from nats.errors import BadSubjectError, ConnectionReconnectingError

VERSION = b"NATS/1.0"
WITH_STATUS = VERSION + b" "


def publication(subject: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """The command that publishes this.

    Args:
        subject: where to.
        body: the message.
        headers: names and values of ours, each in one line.

    Raises:
        nats.errors.BadSubjectError: the subject holds white space, or is empty.
    """
    if len(subject.split()) != 1:
        raise BadSubjectError
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = b"%s\r\n%s\r\n" % (VERSION, lines.encode())
    sizes = b"%d %d" % (len(head), len(head) + len(body))
    return b"HPUB %s %s\r\n%s%s\r\n" % (subject.encode(), sizes, head, body)


def acknowledgement(reply: str) -> bytes:
    """The command that acknowledges the delivery with this reply subject."""
    return b"PUB %s 0\r\n\r\n" % reply.encode()


async def send(client: Client, commands: Iterable[bytes]) -> None:
    """Write these commands as one.

    Raises:
        nats.errors.ConnectionReconnectingError: there is no connection, so nothing is written.
    """
    if not client.is_connected:
        raise ConnectionReconnectingError
    await client._send_command(b"".join(commands))  # noqa: SLF001
    await client._flush_pending()  # noqa: SLF001


def leave_headers_unread(client: Client) -> None:
    """Parse no headers from now on but those with which the server states a status.

    The headers of our events are for the server, which tells repetitions by them; what a reader
    needs to know is in the body.
    """
    parse = client._process_headers  # noqa: SLF001

    async def parse_status(headers: bytes | None) -> dict[str, str] | None:
        if not headers or not headers.startswith(WITH_STATUS):
            return None
        parsed: dict[str, str] | None = await parse(headers)
        return parsed

    replaced: Any = parse_status
    client._process_headers = replaced  # type: ignore[method-assign]  # noqa: SLF001
