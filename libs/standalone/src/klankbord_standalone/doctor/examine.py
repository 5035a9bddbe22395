"""Gather the facts, and judge them: every check, in the order in which one would ask."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from klankbord_schemas.topology import STREAMS, Stream
from klankbord_standalone.address import without_users
from klankbord_standalone.command import Place
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.doctor import (
    bus,
    bus_checks,
    database,
    database_checks,
    growth_checks,
    machine,
    machine_checks,
    services,
    services_checks,
)
from klankbord_standalone.doctor.finding import Finding, Unknown, judged, why
from klankbord_standalone.explained import FileRefusedError
from klankbord_standalone.home import Running
from klankbord_standalone.retention import streams_kept
from klankbord_standalone.servers import Installation

FactsT = TypeVar("FactsT")
OtherT = TypeVar("OtherT")

PATIENCE = 60.0
"""Seconds that all that one server is asked may take."""
NOTHING_RUNS = "nothing runs on this data folder"


@dataclass(frozen=True)
class Asked:
    """What only the user knows."""

    services: Mapping[str, str]
    """Addresses of services, by name, where this command did not start them."""
    monitoring: Sequence[str]
    """The addresses of the NATS servers' monitoring; empty where it is not told."""
    replicas: int
    """How many servers of the cluster are to keep each stream."""


async def examine(place: Place, asked: Asked) -> list[Finding]:
    """Every check there is; what cannot be checked says why. Nothing is changed, nothing raised."""
    running = place.home.running()
    installation = _installation(place, running)
    credentials = Credentials(place.home.data / "credentials")
    if installation is not None:
        credentials = installation.credentials
    here = await _had(asyncio.to_thread(machine.gather, place.home, credentials))
    addresses = dict(asked.services)
    if running is not None:
        addresses = {name: running.address(name) for name in running.ports} | addresses
    conf = None if isinstance(here, Unknown) or place.elsewhere else here.nats_conf
    monitoring = asked.monitoring or machine.monitoring_addresses(conf)

    nats: bus.BusFacts | Unknown = Unknown(NOTHING_RUNS)
    postgres: database.DatabaseFacts | Unknown = Unknown(NOTHING_RUNS)
    sources: list[services.SourceFacts] | Unknown = Unknown(NOTHING_RUNS)
    if installation is not None:
        wanted = _streams(place.home.config)
        nats = await _had(bus.gather(installation, wanted, asked.replicas, monitoring))
        postgres = await _had(database.gather(installation))
        sources = await _sources(installation, postgres, place.home.secrets)
    reached = await _services(addresses)
    findings = [
        _there(place, running),
        *judged(machine_checks.CHECKS, here),
        *_answers("NATS", installation, nats),
        *judged(bus_checks.CHECKS, nats),
        *judged(growth_checks.CHECKS, _both(here, nats)),
        *_answers("PostgreSQL", installation, postgres),
        *judged(database_checks.CHECKS, postgres),
        *judged(services_checks.IN_FORCE, _both(here, postgres)),
        *judged(services_checks.SERVICE_CHECKS, reached),
        *judged(services_checks.SOURCE_CHECKS, sources),
    ]
    return [
        replace(one, found=without_users(one.found), fix=without_users(one.fix)) for one in findings
    ]


def _installation(place: Place, running: Running | None) -> Installation | None:
    """Where it is, without starting or making anything."""
    if running is not None:
        folder = Path(running.credentials)
        return Installation(running.nats_url, running.admin_url, Credentials(folder))
    return None if place.elsewhere is None else place.elsewhere.installation


def _there(place: Place, running: Running | None) -> Finding:
    """Whether there is an installation, and whether it runs."""
    name = "installation"
    if running is not None:
        return Finding(name, "ok", f"runs as process {running.pid}, in {place.home.data}", "")
    if place.elsewhere is not None:
        return Finding(
            name, "ok", f"servers elsewhere: {place.elsewhere.installation.nats_url}", ""
        )
    if place.home.is_made:
        return Finding(name, "problem", f"{NOTHING_RUNS}, {place.home.data}", "klankbord up")
    return Finding(
        name,
        "problem",
        f"there is none in {place.home.data}",
        "klankbord up makes one; --data, or --nats-url and its like, name another",
    )


def _answers(server: str, installation: Installation | None, facts: object) -> list[Finding]:
    """That a server which should be there does not answer is a problem of its own."""
    if installation is None or not isinstance(facts, Unknown):
        return []
    fix = "see whether it runs, at that address, and whether the credentials are its own"
    return [Finding(server, "problem", facts.why, fix)]


async def _had(facts: Coroutine[object, object, FactsT]) -> FactsT | Unknown:
    """The facts, or why they cannot be had: whatever goes wrong, the other checks are told."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await facts
    except Exception as error:  # noqa: BLE001 - a doctor who faints at one organ helps nobody
        return Unknown(why(error))


async def _sources(
    installation: Installation, postgres: database.DatabaseFacts | Unknown, secrets: Path
) -> list[services.SourceFacts] | Unknown:
    if isinstance(postgres, Unknown):
        return postgres
    return await _had(services.gather_sources(installation, postgres, secrets))


async def _services(addresses: Mapping[str, str]) -> dict[str, services.ServiceFacts] | Unknown:
    if not addresses:
        return Unknown(
            "where they are is not known here: --service NAME=URL, such as "
            "ingest=http://ingest:8080"
        )
    return await _had(services.gather_services(addresses))


def _streams(config: Path) -> Sequence[Stream]:
    """The streams as they are wanted; as shipped, where streams.yaml is refused, which is told."""
    try:
        return streams_kept(config)
    except (FileRefusedError, OSError):
        return STREAMS


def _both(one: FactsT | Unknown, other: OtherT | Unknown) -> tuple[FactsT, OtherT] | Unknown:
    if isinstance(one, Unknown):
        return one
    if isinstance(other, Unknown):
        return other
    return one, other
