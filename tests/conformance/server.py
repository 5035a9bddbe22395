"""The HTTP server that a platform which is asked answers on, and the trouble that it may have."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from conformance.platform import Answered, Asked
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass
class Server:
    """A running server."""

    port: int
    trouble: Callable[[Asked], Answered | None] | None = None
    """What is answered instead; None lets the platform answer."""
    hangs: bool = False
    """Whether it answers nothing at all."""
    asked: list[Asked] = field(default_factory=list)

    @property
    def base(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(
    answer: Callable[[Asked], Answered | Awaitable[Answered]],
) -> AsyncGenerator[Server, None]:
    """Serve what `answer` answers, on a free port of this machine; it may take its time."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = Server(listening.getsockname()[1])

    async def endpoint(request: Request) -> Response:
        asked = Asked(
            request.method,
            request.url.path,
            dict(request.query_params),
            dict(request.headers),
            await request.body(),
            server.base,
        )
        server.asked.append(asked)
        if server.hangs:
            await asyncio.sleep(60)
        answered = server.trouble(asked) if server.trouble else None
        if answered is None:
            given = answer(asked)
            answered = given if isinstance(given, Answered) else await given
        return Response(answered.body, answered.status, dict(answered.headers))

    methods = ["GET", "POST", "PUT", "HEAD"]
    app = Starlette(routes=[Route("/{path:path}", endpoint, methods=methods)])
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    uvicorn_server = uvicorn.Server(config)
    uvicorn_server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(uvicorn_server.serve(sockets=[listening]))
    while not uvicorn_server.started:
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        uvicorn_server.should_exit = uvicorn_server.force_exit = True
        await task
        listening.close()
