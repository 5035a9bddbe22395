"""What the running services say of themselves, and what is heard of each source."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from klankbord_ingest.keys import file_name
from klankbord_ingest.source import Source
from klankbord_ingest.sources import parse_sources
from klankbord_runtime.refused import Refused
from klankbord_schemas import InteractionReceived, PostReceived
from klankbord_standalone.doctor.bus import last_heard
from klankbord_standalone.doctor.database import DatabaseFacts, Feed, SchemaFacts
from klankbord_standalone.doctor.finding import Unknown, why
from klankbord_standalone.servers import Installation

PATIENCE = 3.0
BUILD = "klankbord_build_info"


@dataclass(frozen=True)
class ServiceFacts:
    """One service that runs."""

    problems: list[str]
    """Why it is not ready; empty where it is."""
    version: str | None
    """None where it does not tell."""


@dataclass(frozen=True)
class SourceFacts:
    """One source that is listed."""

    name: str
    kind: str
    silent_for: timedelta | None
    """Since its last event that the streams keep; None where they keep none."""
    has_secret: bool | None
    """Whether a webhook's secret is there; None where that is not known here."""
    feed: Feed | None
    """How its polls go; none where it is not polled."""


async def gather_services(addresses: Mapping[str, str]) -> dict[str, ServiceFacts]:
    """Ask each service at its address."""
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http:
        found = await asyncio.gather(*(_service(http, address) for address in addresses.values()))
    return dict(zip(addresses, found, strict=True))


async def gather_sources(
    installation: Installation, database: DatabaseFacts, secrets: Path
) -> list[SourceFacts] | Unknown:
    """Ask the bus when each source that is in force was last heard.

    Args:
        installation: where the bus is.
        database: knows what is in force, and how feeds do.
        secrets: the folder of the webhooks' secrets; perhaps it is not on this machine.

    Raises:
        nats.errors.Error, OSError: the bus is not there.
    """
    ingest = database.schemas["ingest"]
    if isinstance(ingest, Unknown):
        return ingest
    if "klankbord" not in ingest.accepted:
        return Unknown("no klankbord.yaml is in force")
    try:
        sources = parse_sources(ingest.accepted["klankbord"][1]).by_name
    except Refused:
        return Unknown("the klankbord.yaml in force is another build's")
    heard = await last_heard(installation, [s for name in sources.values() for s in _said_by(name)])
    return [_source(source, heard, ingest, secrets) for source in sources.values()]


def _said_by(source: Source) -> Sequence[str]:
    return [
        f"{event.subject_prefix()}.{source.community.slug}.{source.name}"
        for event in (PostReceived, InteractionReceived)
    ]


def _source(
    source: Source,
    heard: Mapping[str, datetime | None],
    ingest: SchemaFacts,
    secrets: Path,
) -> SourceFacts:
    last = max((moment for s in _said_by(source) if (moment := heard[s])), default=None)
    has_secret = None
    own = [feed for feed in ingest.feeds if feed.source == source.name]
    files = [
        file_name(source.name, role)
        for entry in (source.entry,)
        if entry is not None
        for role, secret in entry.secrets.items()
        if entry.needs(secret)
    ]
    if files and secrets.exists():
        has_secret = all((secrets / file).exists() for file in files)
    return SourceFacts(
        name=source.name,
        kind=source.kind,
        silent_for=None if last is None else datetime.now(UTC) - last,
        has_secret=has_secret,
        feed=min(own, key=lambda feed: feed.healthy, default=None),
    )


async def _service(http: httpx.AsyncClient, address: str) -> ServiceFacts:
    try:
        readiness = (await http.get(f"{address}/readyz")).json()
        metrics = (await http.get(f"{address}/metrics")).text
        return ServiceFacts(list(readiness["problems"]), _version(metrics))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
        return ServiceFacts([f"{address} does not answer: {why(error)}"], None)


def _version(metrics: str) -> str | None:
    return next(
        (
            sample.labels.get("version")
            for family in text_string_to_metric_families(metrics)
            for sample in family.samples
            if sample.name == BUILD
        ),
        None,
    )
