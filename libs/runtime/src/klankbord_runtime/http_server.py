"""An HTTP server for an application, in a loop that is not its own."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from klankbord_runtime.request_head import BoundedHeads


class HttpServer(uvicorn.Server):
    """uvicorn, where signals stay with whoever runs it; it listens from when it is made."""

    def __init__(self, application: Starlette, host: str, port: int) -> None:
        """Listen.

        Args:
            application: what answers.
            host: the address to listen on.
            port: the port to listen on; 0 takes a free one, which `port` then says.

        Raises:
            OSError: it cannot listen there.
        """
        super().__init__(
            uvicorn.Config(
                application,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nobody asks who the client is
                http=BoundedHeads,
                ws="none",
                timeout_keep_alive=75,  # longer than a sender's pool keeps a connection
                timeout_graceful_shutdown=10,
            )
        )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=1024)
        self.port: int = self._socket.getsockname()[1]

    async def serve_here(self) -> None:
        """Serve until `should_exit` is set."""
        await self.serve(sockets=[self._socket])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def exposition(registry: CollectorRegistry, request: Request) -> Response:
    """What a registry holds, in the format that is asked for: OpenMetrics shows exemplars too."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"content-type": media_type})
