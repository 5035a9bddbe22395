"""A web server that answers what a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds_between_bytes: float = 0.0


Answer = Callable[[Request], Reply | Awaitable[Reply]]


class Web:
    """Serves on a loopback port; remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Request] = []
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str, reply: Reply) -> str:
        """Answer so at that path; gives the address."""
        self.answers[path] = lambda _: reply
        return self.url(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in fields}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Request(head[0].split(" ")[1], headers, body)
            self.asked.append(request)
            answer = self.answers.get(request.path.partition("?")[0])
            reply = answer(request) if answer else Reply(404)
            await self._write(writer, reply if isinstance(reply, Reply) else await reply)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # whoever asked went away, as a test may want
        finally:
            writer.close()

    async def _write(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        headers = {"content-length": str(len(reply.body)), "connection": "close"} | reply.headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {reply.status} Whatever\r\n{lines}\r\n".encode("latin-1"))
        if not reply.seconds_between_bytes:
            writer.write(reply.body)
        else:
            for byte in reply.body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(reply.seconds_between_bytes)
        await writer.drain()


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    web = Web()
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0)
    web.port = server.sockets[0].getsockname()[1]
    async with server:
        yield web


@pytest.fixture
def reply() -> type[Reply]:
    """The class of what it answers."""
    return Reply
