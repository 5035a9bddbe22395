"""Debian's Prometheus with the shipped configuration and the shortened rules."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from signal import SIGTERM
from typing import Any

import httpx
import yaml
from alarms.shortened import SCRAPE_EVERY, shortened

from klankbord_standalone.child import LOOPBACK, Child, free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus"
START_PATIENCE = 60.0


@dataclass(frozen=True)
class Alert:
    """One that fires, as Prometheus tells it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def is_like(self, labels: Mapping[str, str]) -> bool:
        """Whether it has all of these labels."""
        return labels.items() <= self.labels.items()


class Watcher:
    """A Prometheus that runs."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self.url = url

    async def firing(self) -> list[Alert]:
        """What fires now."""
        answer = await self._http.get(f"{self.url}/api/v1/alerts")
        return [
            Alert(alert["labels"], alert["annotations"])
            for alert in answer.raise_for_status().json()["data"]["alerts"]
            if alert["state"] == "firing"
        ]

    async def ask(self, expression: str) -> list[float]:
        """The values of an expression now."""
        answer = await self._http.get(f"{self.url}/api/v1/query", params={"query": expression})
        found = answer.raise_for_status().json()["data"]["result"]
        return [float(one["value"][1]) for one in found]


@asynccontextmanager
async def watcher(folder: Path, targets: Mapping[str, str]) -> AsyncIterator[Watcher]:
    """Start one.

    Args:
        folder: where it keeps everything.
        targets: `host:port` of each job of the shipped configuration.
    """
    program = which("prometheus")
    assert program is not None, "there is no prometheus here: make setup-system"
    port = free_port()
    (folder / "rules").mkdir(parents=True)
    rules = (SHIPPED / "rules" / "klankbord.yaml").read_text("utf-8")
    (folder / "rules" / "klankbord.yaml").write_text(shortened(rules), "utf-8")
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(_here(targets)), "utf-8")
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]
    child = await Child.start("prometheus", command, log=folder / "prometheus.log", dies_by=SIGTERM)
    url = f"http://{LOOPBACK}:{port}"
    try:
        async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
            await _ready(child, http, url)
            yield Watcher(http, url)
    finally:
        await child.end(SIGTERM, patience=20)


def _here(targets: Mapping[str, str]) -> dict[str, Any]:
    """The shipped configuration, for what runs on this machine."""
    config: dict[str, Any] = yaml.safe_load((SHIPPED / "prometheus.yml").read_text("utf-8"))
    every = f"{round(SCRAPE_EVERY * 1000)}ms"
    for setting in ("scrape_interval", "scrape_timeout", "evaluation_interval"):
        config["global"][setting] = every
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    return config


async def _ready(child: Child, http: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(START_PATIENCE):
        while True:
            try:
                answer = await http.get(f"{url}/-/ready")
            except httpx.TransportError:
                if not child.running:
                    raise child.failed("did not start") from None
            else:
                if answer.status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.1)
