"""The puller asks ahead, never lingers, and does not lose count of what it asked for."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol.parser import Parser

from klankbord_runtime.puller import EXPIRES, Delivery, Puller, delivery_of

Callback = Callable[[Msg], Awaitable[None]]


class Server:
    """A client's side of a server that answers when the test says so."""

    _id = 1

    def __init__(self) -> None:
        self._ps = Parser()
        self.requests: list[int] = []
        self.callback: Callback | None = None

    def new_inbox(self) -> str:
        return "_INBOX_test.1"

    async def subscribe(self, _inbox: str, cb: Callback, **_limits: int) -> "Server":
        self.callback = cb
        return self

    async def unsubscribe(self) -> None:
        self.callback = None

    async def publish(self, _subject: str, body: bytes, reply: str) -> None:
        assert reply == "_INBOX_test.1"
        self.requests.append(json.loads(body)["batch"])

    async def deliver(self, *names: str) -> None:
        for name in names:
            await self._ps.parse(b"MSG x 1 $JS.ACK.x %d\r\n%b\r\n" % (len(name), name.encode()))

    async def say(self, status: str, **headers: str) -> None:
        assert self.callback is not None
        told = {"Status": status} | {name.replace("_", "-"): told for name, told in headers.items()}
        await self.callback(Msg(Client(), subject="x", headers=told))


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def puller(server: Server) -> Puller:
    client: Any = server
    puller = Puller(client, "POSTS", "moderation-posts", size=10)
    await puller.start()
    return puller


def names(messages: list[Msg]) -> list[str]:
    return [message.data.decode() for message in messages]


async def test_what_has_arrived_is_taken_at_once_and_in_order(
    server: Server, puller: Puller
) -> None:
    await server.deliver("a", "b", "c")
    assert names(await puller.take()) == ["a", "b", "c"]


async def test_a_batch_is_never_larger_than_its_size(server: Server, puller: Puller) -> None:
    await server.deliver(*map(str, range(25)))
    assert [len(await puller.take()) for _ in range(3)] == [10, 10, 5]


async def test_the_server_is_asked_ahead_but_not_for_more_than_is_asked_already(
    server: Server, puller: Puller
) -> None:
    await server.deliver("a")
    await puller.take()
    assert server.requests == [10]
    await server.deliver("b")
    await puller.take()
    assert server.requests == [10], "nine are still on their way"
    await server.deliver(*map(str, range(9)))
    await puller.take()
    assert server.requests == [10, 10]


async def test_a_request_whose_time_is_up_is_asked_anew(server: Server, puller: Puller) -> None:
    await server.deliver("a")
    await puller.take()
    await server.say("408", Nats_Pending_Messages="10")
    await server.deliver("b")
    await puller.take()
    assert server.requests == [10, 10]


async def test_a_connection_that_is_new_is_asked_anew(server: Server, puller: Puller) -> None:
    await server.deliver("a")
    await puller.take()
    puller.reconnected()
    await server.deliver("b")
    await puller.take()
    assert server.requests == [10, 10]


async def test_a_server_that_forgot_a_request_is_asked_anew(
    server: Server, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("klankbord_runtime.puller.time.monotonic", lambda: now)
    await server.deliver("a")
    await puller.take()
    now += EXPIRES + 3
    await server.deliver("b")
    await puller.take()
    assert server.requests == [10, 10]


async def test_a_server_that_refuses_is_left_in_peace_for_a_moment(
    server: Server, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("klankbord_runtime.puller.time.monotonic", lambda: now)
    await server.say("503", Description="no responders")
    await server.deliver("a")
    await puller.take()
    assert server.requests == []
    now += 2
    await server.deliver("b")
    await puller.take()
    assert server.requests == [10]


async def test_what_was_not_taken_is_given_back(server: Server, puller: Puller) -> None:
    await server.deliver("a", "b")
    assert names(puller.waiting) == ["a", "b"]
    assert names(await puller.stop()) == ["a", "b"]
    assert server.callback is None


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.POSTS.moderation-posts.4.17.12.1700000000000000000.3",
        "$JS.ACK._.hash.POSTS.moderation-posts.4.17.12.1700000000000000000.3",
        "$JS.ACK._.hash.POSTS.moderation-posts.4.17.12.1700000000000000000.3.random",
    ],
)
def test_reads_what_the_server_says_of_a_delivery(reply: str) -> None:
    message = Msg(Client(), subject="klankbord.post.received.v1.acme.forum", reply=reply)
    assert delivery_of(message) == Delivery(stream_sequence=17, deliveries=4)
