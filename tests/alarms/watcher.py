"""Debian's Prometheus with the shipped configuration and the shortened rules."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from alarms.shortened import SCRAPE_EVERY, shortened
from prometheus import Prometheus, configured, target

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus"


@dataclass(frozen=True)
class Alert:
    """One that fires, as Prometheus tells it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def is_like(self, labels: Mapping[str, str]) -> bool:
        """Whether it has all of these labels."""
        return labels.items() <= self.labels.items()


async def firing(watcher: Prometheus) -> list[Alert]:
    """What fires now."""
    return [
        Alert(alert["labels"], alert["annotations"])
        for alert in (await watcher.get("alerts"))["alerts"]
        if alert["state"] == "firing"
    ]


@asynccontextmanager
async def watcher(folder: Path, targets: Mapping[str, str]) -> AsyncIterator[Prometheus]:
    """Start one.

    Args:
        folder: where it keeps everything.
        targets: `host:port` of each job of the shipped configuration.
    """
    (folder / "rules").mkdir(parents=True)
    rules = (SHIPPED / "rules" / "klankbord.yaml").read_text("utf-8")
    (folder / "rules" / "klankbord.yaml").write_text(shortened(rules), "utf-8")
    async with configured(folder, _here(targets)) as prometheus:
        yield prometheus


def _here(targets: Mapping[str, str]) -> dict[str, Any]:
    """The shipped configuration, for what runs on this machine."""
    config: dict[str, Any] = yaml.safe_load((SHIPPED / "prometheus.yml").read_text("utf-8"))
    every = f"{round(SCRAPE_EVERY * 1000)}ms"
    for setting in ("scrape_interval", "scrape_timeout", "evaluation_interval"):
        config["global"][setting] = every
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        job.update(target(targets[job["job_name"]]))
    return config
