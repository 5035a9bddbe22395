"""A real Prometheus takes what is served, and keeps what leads from a number to its trace."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prometheus import needs_prometheus, prometheus
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from world import eventually

from klankbord_runtime.http_server import HttpServer, exposition
from klankbord_runtime.telemetry import RuntimeMetrics
from klankbord_standalone.child import LOOPBACK, free_port

TRACE = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}


@pytest.mark.system
@needs_prometheus
async def test_prometheus_finds_the_trace_of_a_measurement(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    RuntimeMetrics(registry, "moderation").batch_seconds.labels("c").observe(0.3, TRACE)

    async def metrics(request: Request) -> Response:
        return exposition(registry, request)

    server = HttpServer(Starlette(routes=[Route("/metrics", metrics)]), LOOPBACK, free_port())
    async with prometheus(tmp_path, {"klankbord": f"{LOOPBACK}:{server.port}"}) as watching:

        async def found() -> Any:
            data = await watching.get(
                "query_exemplars",
                query="klankbord_batch_seconds_bucket",
                start="0",
                end="9999999999",
            )
            return [one for series in data for one in series["exemplars"]]

        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve_here())
            (exemplar,) = await eventually(found, seconds=60)
            (up,) = await watching.ask('up{job="klankbord"}')
            server.should_exit = True
    assert exemplar["labels"] == TRACE
    assert up.numbers == [1.0]
