"""What is written at once is what nats-py would write one by one; and what this stands on."""

import asyncio
import inspect
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import BadSubjectError, ConnectionReconnectingError, ProtocolError
from nats.protocol import command
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from klankbord_runtime import wire

HEADERS = {"Nats-Msg-Id": "7d0e", "content-type": "application/cloudevents+json"}


class Connected(Client):
    """A client that thinks it is connected, and keeps what it would write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.flushes = 0

    @property
    def is_connected(self) -> bool:
        return True

    async def _send_command(self, cmd: bytes, priority: bool = False) -> None:
        self.written.append(cmd)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        self.flushes += 1


async def test_commands_are_those_of_nats_py() -> None:
    client = Connected()
    await client.publish("klankbord.post.received.v1.acme.forum", b"{}", headers=HEADERS)
    await client.publish("$JS.ACK.POSTS.x.1.2.3.4.5")
    await client.publish("$JS.ACK.POSTS.x.1.3.4.4.5", Msg.Ack.Progress)
    one_by_one = b"".join(client.written).replace(b"  ", b" ")
    client.written.clear()
    client.flushes = 0
    await wire.send(
        client,
        [
            wire.publication("klankbord.post.received.v1.acme.forum", b"{}", HEADERS),
            wire.acknowledgement("$JS.ACK.POSTS.x.1.2.3.4.5"),
            wire.progress("$JS.ACK.POSTS.x.1.3.4.4.5"),
        ],
    )
    assert client.written == [one_by_one]
    assert client.flushes == 1


def test_a_subject_cannot_smuggle_a_command() -> None:
    for subject in ("", "a b", "a\r\nPUB b 0\r\n"):
        with pytest.raises(BadSubjectError):
            wire.publication(subject, b"", {})


async def test_without_a_connection_nothing_is_written_and_the_caller_knows() -> None:
    with pytest.raises(ConnectionReconnectingError):
        await wire.send(Client(), [wire.acknowledgement("x")])


OURS, ANOTHER = 7, 17
ACK = b"$JS.ACK.POSTS.moderation-posts.1.4.4.1700000000000000000.0"
HEAD = b"NATS/1.0\r\nNats-Msg-Id: 7d0e\r\n\r\n"
TIME_IS_UP = b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n"
FLOW_CONTROL = b"NATS/1.0 100 FlowControl Request\r\n\r\n"


def said(inbox: int, body: bytes, *, head: bytes = b"", reply: bytes = b"") -> bytes:
    """What the server says when it delivers this."""
    line = b"klankbord.post.received.v1.acme.forum %d %b" % (inbox, reply and reply + b" ")
    if head:
        return b"HMSG %b%d %d\r\n%b%b\r\n" % (line, len(head), len(head + body), head, body)
    return b"MSG %b%d\r\n%b\r\n" % (line, len(body), body)


DELIVERIES = [
    said(OURS, b'{"a": 1}', head=HEAD, reply=ACK),
    said(OURS, b"", head=HEAD, reply=ACK),
    said(OURS, b"no header", reply=ACK),
    said(OURS, b"\r\nPING\r\n" + said(OURS, b"?", reply=ACK), head=HEAD, reply=ACK),
]
ALL_ELSE = [
    said(ANOTHER, b"for another", head=HEAD, reply=ACK),
    said(OURS, b"", head=TIME_IS_UP),
    said(OURS, b"", head=FLOW_CONTROL, reply=b"$JS.FC.POSTS"),
    said(OURS, b"cannot be acknowledged"),
    b"PING\r\n",
    b"PONG\r\n",
    b"+OK\r\n",
    b"-ERR 'Slow Consumer'\r\n",
    b'INFO {"server_id": "x"}\r\n',
]


class Listening(Client):
    """A client that notes what its parser tells it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[Any, ...]] = []
        self.handed_over: list[bytes] = []

    def receive(self, message: Msg) -> None:
        assert message.headers is None
        self.handed_over.append(message.data)
        self.heard.append((message.subject.encode(), message.reply.encode(), message.data))

    async def read(self, *chunks: bytes) -> None:
        for chunk in chunks:
            await self._ps.parse(chunk)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        self.heard.append((subject, reply, data))

    async def _process_ping(self) -> None:
        self.heard.append(("ping",))

    async def _process_pong(self) -> None:
        self.heard.append(("pong",))

    async def _process_info(self, info: Any, initial_connection: bool = False) -> None:
        self.heard.append(("info", info))

    async def _process_err(self, err_msg: str) -> None:
        self.heard.append(("error", err_msg))


@pytest.fixture
def client() -> Listening:
    return short_cut()


def short_cut() -> Listening:
    client = Listening()
    wire.hand_over(client, Subscription(client, id=OURS), client.receive)
    return client


@given(st.lists(st.sampled_from(DELIVERIES + ALL_ELSE)), st.data())
def test_what_is_read_and_in_which_order_is_what_nats_py_reads(
    commands: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(commands)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=9)))
    chunks = [stream[begin:end] for begin, end in pairwise([0, *cuts, len(stream)])]
    theirs, ours = Listening(), short_cut()
    asyncio.run(theirs.read(stream))
    asyncio.run(ours.read(*chunks))
    assert ours.heard == theirs.heard


async def test_a_delivery_is_handed_over_and_nothing_else_is(client: Listening) -> None:
    await client.read(b"".join([*DELIVERIES, *ALL_ELSE, *DELIVERIES]))
    assert len(client.handed_over) == 2 * len(DELIVERIES)


async def test_each_inbox_has_its_own_receiver(client: Listening) -> None:
    others: list[bytes] = []
    another = Subscription(client, id=ANOTHER)
    wire.hand_over(client, another, lambda message: others.append(message.data))
    await client.read(DELIVERIES[0] + ALL_ELSE[0])
    assert (client.handed_over, others) == ([b'{"a": 1}'], [b"for another"])


async def test_a_message_that_was_being_read_before_is_read_to_its_end() -> None:
    client = Listening()
    await client.read(ALL_ELSE[0][:-5])
    wire.hand_over(client, Subscription(client, id=OURS), client.receive)
    await client.read(ALL_ELSE[0][-5:], *DELIVERIES)
    assert [body for *_, body in client.heard] == [b"for another", *client.handed_over]
    assert len(client.handed_over) == len(DELIVERIES)


async def test_a_new_connection_begins_with_a_new_message(client: Listening) -> None:
    await client.read(DELIVERIES[0][:-5])
    client._ps.reset()  # as nats-py does when it connects again
    await client.read(DELIVERIES[2])
    assert client.handed_over == [b"no header"]


async def test_what_came_over_a_connection_that_is_given_up_under_way_is_forgotten(
    client: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def give_up(_why: str) -> None:  # as nats-py does when the server calls it stale
        client._ps.reset()

    monkeypatch.setattr(client, "_process_err", give_up)
    await client.read(b"-ERR 'Stale Connection'\r\n" + DELIVERIES[0][:-5])
    await client.read(DELIVERIES[2])
    assert client.handed_over == [b"no header"]


async def test_what_a_delivery_says_of_a_status_is_its_own_affair(client: Listening) -> None:
    await client.read(said(OURS, b"{}", head=TIME_IS_UP, reply=ACK))
    assert client.handed_over == [b"{}"]


async def test_what_no_server_says_is_refused(client: Listening) -> None:
    with pytest.raises(ProtocolError):
        await client.read(b"GET / HTTP/1.1\r\n")


def test_nats_py_still_calls_what_is_replaced_and_what_is_used() -> None:
    assert "await self._ps.parse(b)" in inspect.getsource(Client._read_loop)
    assert "self._ps.reset()" in inspect.getsource(Client._process_connect_init)
    assert inspect.getsource(Client).count("self._ps: Parser = Parser(self)") == 1
    assert inspect.getsource(Client).count("self._ps = ") == 0
    parser = Parser()
    assert (parser.buf, parser.state) == (bytearray(), AWAITING_CONTROL_LINE)
    publish = inspect.getsource(Client._send_publish)
    assert "await self._send_command(pub_cmd)" in publish
    assert "await self._flush_pending()" in publish
    assert command.pub_cmd("a", "", b"") == b"PUB a  0\r\n\r\n"
