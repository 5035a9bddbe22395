"""Many messages in one write, and none of the detours to read one.

nats-py serves one message at a time: each publication and each acknowledgement is checked, built
and handed over by itself; each delivery goes through a parser that copies it twice, four
coroutines, a queue and a task, and has each of its headers parsed. For a batch of hundreds that is
a fifth of a consumer's time (docs/adr/0011). So four private names of nats-py are used here, in
this one place: `_send_command`, `_flush_pending`, `_ps` (its parser) and a subscription's `_id`;
and what the parser keeps: `parse`, which is replaced, `buf` and `state`. A fifth is `_public_nkey`:
nats-py reads the seed for each connection and remembers the public half of the first.
The version is pinned, and tests/unit/runtime/test_wire.py fails when an upgrade changes what stands
here.

The protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import nkeys
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import BadSubjectError, ConnectionReconnectingError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

log = logging.getLogger(__name__)

VERSION = b"NATS/1.0"
DELIVERY = b"$JS.ACK."
"""What the reply subject of a message from a durable consumer begins with."""
LINE_END = b"\r\n"
COMMAND = re.compile(
    rb"(?:"
    rb"(H)?MSG (\S+) (\d+) (\S+) (?(1)(\d+) )(\d+)"  # a message that can be answered
    rb"|H?MSG [^\r\n]* (\d+)"  # another message
    rb"|[^\r\n]*"
    rb")\r\n"
)
"""The first line of whatever the server says, and how many bytes follow it."""


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


def progress(reply: str) -> bytes:
    """The command that says that the delivery with this reply subject is being worked on."""
    return b"PUB %s 4\r\n+WPI\r\n" % reply.encode()


async def send(client: Client, commands: Iterable[bytes]) -> None:
    """Write these commands as one.

    Raises:
        nats.errors.ConnectionReconnectingError: there is no connection, so nothing is written.
    """
    if not client.is_connected:
        raise ConnectionReconnectingError
    await client._send_command(b"".join(commands))  # noqa: SLF001
    await client._flush_pending()  # noqa: SLF001


def show_key(client: Client, seed_file: Path) -> None:
    """Let the next connection show the public half of the seed that is in the file by then.

    A file that holds no seed just now changes nothing.
    """
    try:
        pair = nkeys.from_seed(bytearray(seed_file.read_bytes().strip()))
    except (OSError, nkeys.NkeysError, ValueError) as error:
        log.warning("%s holds no nkey seed: %s", seed_file, error)
        return
    client._public_nkey = pair.public_key.decode()  # noqa: SLF001
    pair.wipe()


def hand_over(
    client: Client, subscription: Subscription, receive: Callable[[Msg], None]
) -> Callable[[], None]:
    """Give what is delivered to this subscription to `receive` as it is read, without its headers.

    Only what can be acknowledged. All else takes nats-py's own way: what the server says of a
    request so comes to the subscription's callback.

    Returns:
        What ends this, once the subscription is ended.
    """
    reader = client._ps.parse  # noqa: SLF001
    if not isinstance(reader, _Reader):
        reader = client._ps.parse = _Reader(client._ps, client)  # type: ignore[method-assign]  # noqa: SLF001
    sid = b"%d" % subscription._id  # noqa: SLF001
    reader.receivers[sid] = receive

    def end() -> None:
        reader.receivers.pop(sid, None)

    return end


class _Reader:
    """Stands in for `Parser.parse`: hands over deliveries, and gives it each other command."""

    def __init__(self, parser: Parser, client: Client) -> None:
        self.receivers: dict[bytes, Callable[[Msg], None]] = {}
        self._parser = parser
        self._parse = parser.parse
        self._client = client

    async def __call__(self, data: bytes = b"") -> None:
        parser = self._parser
        if parser.state != AWAITING_CONTROL_LINE:  # in the middle of a message since before us
            await self._parse(data)
            return
        arrived, at = parser.buf, 0
        arrived += data
        given = parser.buf = bytearray()  # the parser appends to it what it is given below
        while command := COMMAND.match(arrived, at):
            _, subject, sid, reply, head, size, other_size = command.groups()
            start = end = command.end()
            if size or other_size:
                end += int(size or other_size) + len(LINE_END)
            if end > len(arrived):
                break
            receive = self.receivers.get(sid)
            if receive is None or not reply.startswith(DELIVERY):
                await self._parse(bytes(arrived[at:end]))
                if parser.buf is not given:
                    return  # nats-py has given the connection up, and what came over it
            else:
                body = bytes(arrived[start + int(head or 0) : end - len(LINE_END)])
                receive(Msg(self._client, subject.decode(), reply.decode(), body))
            at = end
        del arrived[:at]
        parser.buf = arrived  # what is not whole yet
