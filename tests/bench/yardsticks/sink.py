"""A collector that takes everything and keeps nothing: `python -m bench.yardsticks.sink PORT`."""

import asyncio
import sys

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from klankbord_runtime.http_server import HttpServer
from klankbord_standalone.child import LOOPBACK


async def take(request: Request) -> Response:
    await request.body()
    return Response(media_type="application/x-protobuf")


async def main(port: str) -> None:
    routes = [Route(f"/v1/{signal}", take, methods=["POST"]) for signal in ("traces", "metrics")]
    await HttpServer(Starlette(routes=routes), LOOPBACK, int(port)).serve_here()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
