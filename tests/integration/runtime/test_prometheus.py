"""A real Prometheus takes what is served, and keeps what leads from a number to its trace."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from signal import SIGTERM
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from world import eventually

from klankbord_runtime.http_server import HttpServer, exposition
from klankbord_runtime.telemetry import RuntimeMetrics
from klankbord_standalone.child import LOOPBACK, Child, free_port

PROMETHEUS = shutil.which("prometheus")
TRACE = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, int]]:
    """One that scrapes a port every second."""
    assert PROMETHEUS is not None
    scraped, own = free_port(), free_port()
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": "klankbord",
                "static_configs": [{"targets": [f"{LOOPBACK}:{scraped}"]}],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # YAML 1.2 contains JSON
    command = (
        PROMETHEUS,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={LOOPBACK}:{own}",
        "--enable-feature=exemplar-storage",
    )
    child = await Child.start("prometheus", command, log=tmp_path / "log", dies_by=SIGTERM)
    try:
        async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{own}") as http:
            yield http, scraped
    finally:
        await child.end(SIGTERM, patience=10)


@pytest.mark.system
@pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus here: make setup-system")
async def test_prometheus_finds_the_trace_of_a_measurement(
    prometheus: tuple[httpx.AsyncClient, int],
) -> None:
    http, port = prometheus
    registry = CollectorRegistry()
    RuntimeMetrics(registry, "moderation").batch_seconds.labels("c").observe(0.3, TRACE)

    async def metrics(request: Request) -> Response:
        return exposition(registry, request)

    server = HttpServer(Starlette(routes=[Route("/metrics", metrics)]), LOOPBACK, port)

    async def ask(path: str, **parameters: str) -> Any:
        try:
            told = await http.get(f"/api/v1/{path}", params=parameters)
        except httpx.TransportError:  # it does not listen yet
            return None
        return told.json().get("data") if told.is_success else None  # 503: it is not ready yet

    async def found() -> Any:
        data = await ask(
            "query_exemplars", query="klankbord_batch_seconds_bucket", start="0", end="9999999999"
        )
        return [one for series in data or () for one in series["exemplars"]]

    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve_here())
        (exemplar,) = await eventually(found, seconds=60)
        up = await ask("query", query='up{job="klankbord"}')
        server.should_exit = True
    assert exemplar["labels"] == TRACE
    assert [series["value"][1] for series in up["result"]] == ["1"]
