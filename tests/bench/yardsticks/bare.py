"""Yardstick: an endpoint that reads the body and says 204, on the very server of the services."""

import asyncio
import sys

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from klankbord_runtime.http_server import HttpServer
from klankbord_standalone.child import LOOPBACK


async def nothing(request: Request) -> Response:
    await request.body()
    return Response(status_code=204)


async def main(port: str) -> None:
    application = Starlette(routes=[Route("/v1/sources/{name}", nothing, methods=["POST"])])
    await HttpServer(application, LOOPBACK, int(port)).serve_here()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
