"""Discord's gateway, played by a web socket server: heartbeats, a broken socket, a resume."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest
from asked import Asked, Question
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from world import eventually

from klankbord_ingest.kind import FetchError, Page
from klankbord_ingest.kinds.discord import Discord
from klankbord_ingest.submission import PostSubmission
from klankbord_ingest.web import RefusedTokenError

GUILD, GENERAL = "244567637332328449", "300000000000000001"
TOKEN = "the-token-of-the-bot"


def dispatch(seq: int) -> dict[str, Any]:
    data = {
        "id": str(310000000000000000 + seq),
        "guild_id": GUILD,
        "channel_id": GENERAL,
        "author": {"id": "114941315417899012", "username": "jo"},
        "content": f"No. {seq}",
        "timestamp": "2026-03-01T12:00:00+00:00",
        "edited_timestamp": None,
        "type": 0,
    }
    return {"op": 0, "t": "MESSAGE_CREATE", "s": seq, "d": data}


class Gateway:
    """Ten messages, numbered from 2; a session may be resumed after any of them."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[dict[str, Any]] = []
        self.says_hello = True
        self.interval = 41250
        self.breaks_after = 0
        self.closed_with: list[int | None] = []
        self.behaviour: Callable[[ServerConnection], Awaitable[None]] | None = None

    async def serve(self, socket: ServerConnection) -> None:
        if self.behaviour is not None and not self.says_hello:
            await self.behaviour(socket)
            return
        await self._send(socket, {"op": 10, "d": {"heartbeat_interval": self.interval}})
        greeting = json.loads(await socket.recv())
        while greeting["op"] == 1:
            self.heard.append(greeting)
            greeting = json.loads(await socket.recv())
        self.heard.append(greeting)
        if self.behaviour is not None:
            await self.behaviour(socket)
            return
        if greeting["op"] == 2:
            ready = {"session_id": "s-1", "resume_gateway_url": self.url, "guilds": []}
            await self._send(socket, {"op": 0, "t": "READY", "s": 1, "d": ready})
            first = 2
        else:
            first = greeting["d"]["seq"] + 1
        for seq in range(first, 11):
            await self._send(socket, dispatch(seq))
            if seq == self.breaks_after:
                self.breaks_after = 0
                socket.transport.abort()
                return
        if greeting["op"] == 6:
            await self._send(socket, {"op": 0, "t": "RESUMED", "s": 11, "d": {}})
        await self._send(socket, {"op": 7, "d": None})
        with suppress(ConnectionClosed):
            async for frame in socket:
                self.heard.append(json.loads(frame))
        self.closed_with.append(socket.close_code)

    @staticmethod
    async def _send(socket: ServerConnection, frame: Any) -> None:
        await socket.send(json.dumps(frame))


@pytest.fixture
async def gateway() -> AsyncGenerator[Gateway, None]:
    played = Gateway()
    async with serve(played.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        played.url = f"ws://127.0.0.1:{port}"
        yield played


def web_of(gateway: Gateway) -> Asked:
    def answer(question: Question) -> Any:
        if question.url.endswith("/gateway/bot"):
            return {"url": gateway.url, "shards": 1}
        if question.url.endswith("/threads/active"):
            return {"threads": []}
        return [{"id": GENERAL, "type": 0, "name": "general"}]

    return Asked(answer, allowed=gateway.url.removeprefix("ws://"), token=TOKEN)


def entry(**fields: Any) -> Discord:
    return Discord(name="guild", community="demo", kind="discord", guild=GUILD, **fields)


async def listened(gateway: Gateway, cursor: Any = None) -> list[Page]:
    """What one connection tells."""
    async with (
        asyncio.timeout(10),
        aclosing(entry().stream(web_of(gateway), cursor or {})) as pages,
    ):
        return [page async for page in pages]


def contents(pages: list[Page]) -> list[str]:
    return [
        one.content for page in pages for one in page.submissions if isinstance(one, PostSubmission)
    ]


def last_cursor(pages: list[Page]) -> Any:
    (*_, last) = (page.cursor for page in pages if page.cursor is not None)
    return json.loads(json.dumps(last))


async def test_the_gateway_is_told_who_listens_to_what_and_a_reconnect_keeps_the_session(
    gateway: Gateway,
) -> None:
    pages = await listened(gateway)
    identify = gateway.heard[0]
    assert (identify["op"], identify["d"]["token"]) == (2, TOKEN)
    assert identify["d"]["intents"] == 1 | 1 << 1 | 1 << 9 | 1 << 10 | 1 << 15
    assert pages[0].submissions == ()
    assert contents(pages) == [f"No. {seq}" for seq in range(2, 11)]
    assert last_cursor(pages) == {"session": "s-1", "url": gateway.url, "seq": 10}
    await eventually(lambda: gateway.closed_with)
    assert gateway.closed_with == [4000]  # with 1000 the session would be forgotten


async def test_a_broken_socket_is_resumed_where_it_broke_and_nothing_is_lost(
    gateway: Gateway,
) -> None:
    gateway.breaks_after = 5
    before = await listened(gateway)
    cursor = last_cursor(before)
    after = await listened(gateway, cursor)
    resume = next(frame for frame in gateway.heard if frame["op"] == 6)
    assert resume["d"] == {"token": TOKEN, "session_id": "s-1", "seq": cursor["seq"]}
    assert contents(before + after) == [f"No. {seq}" for seq in range(2, 11)]


async def test_a_resume_from_what_was_committed_tells_again_what_was_not(gateway: Gateway) -> None:
    pages = await listened(gateway)
    committed = next(page.cursor for page in pages if contents([page]) == ["No. 4"])
    assert contents(await listened(gateway, committed)) == [f"No. {seq}" for seq in range(5, 11)]


async def test_a_session_that_is_no_more_is_forgotten(gateway: Gateway) -> None:
    async def invalid(socket: ServerConnection) -> None:
        await socket.send('{"op": 9, "d": false}')

    gateway.behaviour = invalid
    cursor = {"session": "s-0", "url": gateway.url, "seq": 3}
    assert last_cursor(await listened(gateway, cursor)) == {}

    async def late(socket: ServerConnection) -> None:
        await socket.close(4009, "Session timed out")

    gateway.behaviour = late
    assert last_cursor(await listened(gateway, cursor)) == {}

    gateway.says_hello = False
    assert last_cursor(await listened(gateway, cursor)) == {}


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (4004, RefusedTokenError, "token is wrong"),
        (4014, RefusedTokenError, "Message Content Intent"),
        (4011, FetchError, "too many servers"),
        (4000, FetchError, "before it said anything"),
    ],
)
async def test_a_closed_connection_says_in_plain_words_why(
    gateway: Gateway, code: int, kind: type[FetchError], words: str
) -> None:
    async def close(socket: ServerConnection) -> None:
        await socket.close(code, "no")

    gateway.behaviour = close
    with pytest.raises(kind, match=words) as failed:
        await listened(gateway)
    assert TOKEN not in str(failed.value)


async def test_heartbeats_are_sent_and_a_gateway_that_answers_none_is_hung_up_on(
    gateway: Gateway,
) -> None:
    beats: list[Any] = []

    async def silent(socket: ServerConnection) -> None:
        ready = {"session_id": "s-1", "resume_gateway_url": gateway.url}
        await socket.send(json.dumps({"op": 0, "t": "READY", "s": 1, "d": ready}))
        await socket.send('{"op": 1, "d": null}')
        async for frame in socket:
            beats.append(json.loads(frame))
            if len(beats) == 2:
                await socket.send('{"op": 11}')

    gateway.interval = 200
    gateway.behaviour = silent
    pages = await listened(gateway)
    assert last_cursor(pages)["session"] == "s-1"
    assert len(beats) >= 2
    assert {beat["op"] for beat in beats} == {1}
