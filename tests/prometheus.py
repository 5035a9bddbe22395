"""A real Prometheus that scrapes what a test runs. It is Debian's: such a test is marked `system`.

async with prometheus(folder, targets_at(home.ports(), exporter=port)) as server:
    await server.scraped()
    await server.ask('sum(klankbord_community_posts)')
"""

import asyncio
import json
import math
import shutil
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any

import httpx
import pytest

from klankbord_standalone.child import LOOPBACK, Child, free_port
from klankbord_standalone.services import SERVICES

PROGRAM = shutil.which("prometheus")
PATIENCE = 60.0
SCRAPES = 3
"""The first that is seen may be an old one."""
needs_prometheus = pytest.mark.skipif(
    PROGRAM is None, reason="there is no Prometheus here: make setup-system"
)


@dataclass(frozen=True)
class Series:
    """What Prometheus knows of one set of labels."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]
    """Moments in seconds since 1970, and the values at them."""

    @property
    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [value for _, value in self.samples if not math.isnan(value)]


class Prometheus:
    """A Prometheus that runs."""

    def __init__(self, url: str, jobs: Collection[str], http: httpx.AsyncClient) -> None:
        self.url = url
        self._jobs = jobs
        self._http = http

    async def ask(self, expression: str) -> list[Series]:
        """What an expression gives now."""
        found = await self.get("query", query=expression)
        return [Series(one["metric"], _samples([one["value"]])) for one in found["result"]]

    async def ask_over(
        self, expression: str, begin: float, end: float, step: float
    ) -> list[Series]:
        """What an expression gives from one moment to another, in seconds since 1970."""
        found = await self.get("query_range", query=expression, start=begin, end=end, step=step)
        return [Series(one["metric"], _samples(one["values"])) for one in found["result"]]

    async def scraped(self) -> None:
        """Wait until every target has been scraped twice from now on, so that there are rates."""
        seen: dict[str, set[str]] = {job: set() for job in self._jobs}
        unwell = "nothing"
        try:
            async with asyncio.timeout(PATIENCE):
                while any(len(scrapes) < SCRAPES for scrapes in seen.values()):
                    await asyncio.sleep(0.1)
                    targets = (await self.get("targets"))["activeTargets"]
                    unwell = "; ".join(one["lastError"] for one in targets if one["lastError"])
                    for one in targets:
                        if one["health"] == "up":
                            seen[one["labels"]["job"]].add(one["lastScrape"])
        except TimeoutError:
            raise AssertionError(f"Prometheus cannot scrape: {unwell}") from None

    async def get(self, path: str, **parameters: Any) -> Any:
        """What its API answers."""
        answer = await self._http.get(f"{self.url}/api/v1/{path}", params=parameters)
        said = answer.json()
        assert said["status"] == "success", f"{parameters}: {said.get('error')}"
        return said["data"]


def targets_at(ports: Mapping[str, int], exporter: int) -> dict[str, str]:
    """What there is to scrape of an installation, by the name of its job.

    Args:
        ports: of the services, by name.
        exporter: the port of `klankbord exporter`.
    """
    services = {f"klankbord-{name}": f"{LOOPBACK}:{ports[name]}" for name in SERVICES}
    return {**services, "klankbord-exporter": f"{LOOPBACK}:{exporter}"}


@asynccontextmanager
async def exporter(monitored: str, port: int, log: Path) -> AsyncIterator[None]:
    """`klankbord exporter` on that port, of a nats-server that is monitored at that address."""
    command = [sys.executable, "-m", "klankbord_standalone", "exporter"]
    where = ["--nats-monitoring-url", monitored, "--host", LOOPBACK, "--port", str(port)]
    child = await Child.start("exporter", [*command, *where], log=log, dies_by=SIGTERM)
    try:
        yield
    finally:
        await child.end(SIGTERM, patience=10)


@asynccontextmanager
async def prometheus(folder: Path, targets: Mapping[str, str]) -> AsyncIterator[Prometheus]:
    """Start one that scrapes these targets each second, from when they are there.

    It takes five seconds to find its targets: start it before what it is to scrape.

    Args:
        folder: where it keeps what it scraped.
        targets: by the name of their job, as `host:port`.
    """
    jobs = [{"job_name": job, **target(address)} for job, address in targets.items()]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
    async with configured(folder, config) as server:
        yield server


def target(address: str) -> dict[str, Any]:
    """What a job says of where its only target is."""
    return {"static_configs": [{"targets": [address]}]}


@asynccontextmanager
async def configured(folder: Path, config: Mapping[str, Any]) -> AsyncIterator[Prometheus]:
    """Start one with this configuration, and wait until it is ready.

    Args:
        folder: where it keeps everything; files that the configuration names are there.
        config: as in `prometheus.yml`.
    """
    assert PROGRAM is not None, "there is no Prometheus here: make setup-system"
    port = free_port()
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config), "utf-8")  # YAML 1.2 contains JSON
    command = [
        PROGRAM,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--enable-feature=exemplar-storage",
    ]
    child = await Child.start("prometheus", command, log=folder / "prometheus.log", dies_by=SIGTERM)
    try:
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http:
            jobs = [job["job_name"] for job in config["scrape_configs"]]
            server = Prometheus(f"http://{LOOPBACK}:{port}", jobs, http)
            await _ready(server.url, http, child)
            yield server
    finally:
        await child.end(SIGTERM, patience=20)


async def _ready(url: str, http: httpx.AsyncClient, child: Child) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if not child.running:
                raise child.failed("did not start")
            try:
                if (await http.get(f"{url}/-/ready")).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


def _samples(found: Sequence[tuple[float, str]]) -> list[tuple[float, float]]:
    return [(float(moment), float(value)) for moment, value in found]
