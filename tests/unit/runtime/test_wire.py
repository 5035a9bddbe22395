"""What is written at once is what nats-py would write one by one; and what this stands on."""

import inspect
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import BadSubjectError, ConnectionReconnectingError
from nats.protocol import command

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
    one_by_one = b"".join(client.written).replace(b"  ", b" ")
    client.written.clear()
    client.flushes = 0
    await wire.send(
        client,
        [
            wire.publication("klankbord.post.received.v1.acme.forum", b"{}", HEADERS),
            wire.acknowledgement("$JS.ACK.POSTS.x.1.2.3.4.5"),
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


async def test_headers_are_left_unread_but_a_status_is_read() -> None:
    client = Client()
    wire.leave_headers_unread(client)
    assert await client._process_headers(None) is None
    assert await client._process_headers(b"NATS/1.0\r\nNats-Msg-Id: 7d0e\r\n\r\n") is None
    assert await client._process_headers(
        b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n"
    ) == {"Status": "408", "Description": "Request Timeout", "Nats-Pending-Messages": "3"}


def test_nats_py_still_calls_what_is_replaced_and_what_is_used() -> None:
    assert "await self._process_headers(headers)" in inspect.getsource(Client._process_msg)
    publish = inspect.getsource(Client._send_publish)
    assert "await self._send_command(pub_cmd)" in publish
    assert "await self._flush_pending()" in publish
    assert command.pub_cmd("a", "", b"") == b"PUB a  0\r\n\r\n"
