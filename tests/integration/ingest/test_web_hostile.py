"""What a hostile platform can do to a source that asks it: nothing, and no secret is told."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from klankbord_ingest import fetch
from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.manners import limit_of
from klankbord_ingest.outgoing import Allowed, FetchError, Gate
from klankbord_ingest.web import Hosts, Web

TICKET = "a-ticket-that-opens-the-door"


def asking(port: int) -> Web:
    return Web(Fetcher(Gate(Allowed.of([f"127.0.0.1:{port}"]))), Hosts())


@asynccontextmanager
async def server(
    answer: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncGenerator[int, None]:
    """A server that does to whoever asks what `answer` does; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(await reader.readuntil(b"\r\n\r\n"), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def events(web: Web, url: str) -> list[Any]:
    async with aclosing(web.events(url)) as heard:
        return [event async for event in heard]


async def test_a_stream_that_takes_the_question_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "HEAD_SECONDS", 0.2)

    async def silence(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with server(silence) as port, asyncio.timeout(5):
        with pytest.raises(FetchError) as given_up:
            await events(asking(port), f"http://127.0.0.1:{port}/")
    assert given_up.value.code == "too_slow"


async def test_a_refusal_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "HEAD_SECONDS", 0.2)

    async def trickle(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 9999\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with server(trickle) as port, asyncio.timeout(5):
        with pytest.raises(FetchError):
            await events(asking(port), f"http://127.0.0.1:{port}/")


async def test_a_stream_is_asked_for_as_it_is_read() -> None:
    heads: list[bytes] = []

    async def once(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head.lower())
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: 1\n\n")
        await writer.drain()

    async with server(once) as port:
        (event,) = await events(asking(port), f"http://127.0.0.1:{port}/")
    assert event.data == "1"
    assert b"accept-encoding: identity" in heads[0]


def moved(to: str) -> Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n".encode())
        await writer.drain()

    return answer


async def opened(web: Web, url: str) -> None:
    async with web.websocket(url):
        pass


@pytest.mark.parametrize("location", ["ws://10.0.0.1/", f"/again?ticket={TICKET}", "http://[::1"])
async def test_a_web_socket_that_redirects_is_refused_and_its_ticket_is_not_told(
    location: str,
) -> None:
    async with server(moved(location)) as port:
        with pytest.raises(FetchError) as refused:
            await opened(asking(port), f"ws://127.0.0.1:{port}/link?ticket={TICKET}")
    assert refused.value.code == "bad_answer"
    assert TICKET not in str(refused.value)


async def test_a_web_socket_that_breaks_does_not_tell_its_ticket() -> None:
    async def nonsense(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"nonsense\r\n\r\n")
        await writer.drain()

    async with server(nonsense) as port:
        with pytest.raises(FetchError) as refused:
            await opened(asking(port), f"ws://127.0.0.1:{port}/link?ticket={TICKET}")
    assert TICKET not in str(refused.value)


@pytest.mark.parametrize(
    "location",
    [f"/again?key={TICKET}", "http://[::1", f"file:///?key={TICKET}", f"http://u:{TICKET}@h/"],
)
async def test_where_a_redirect_leads_is_told_without_what_stands_in_its_query(
    location: str,
) -> None:
    async with server(moved(location)) as port:
        with pytest.raises(FetchError) as refused:
            await asking(port).get(f"http://127.0.0.1:{port}/a?key={TICKET}")
    assert refused.value.code in {"too_many_redirects", "bad_address"}
    assert TICKET not in str(refused.value)


@pytest.mark.parametrize("left", ["4294967295", "9" * 5000])
def test_more_requests_left_than_anybody_counts_are_as_many_as_a_table_holds(left: str) -> None:
    limit = limit_of(200, {"x-ratelimit-remaining": left}, datetime.now(UTC))
    assert limit.left is not None
    assert 0 < limit.left < 2**31
