"""`klankbord status`: is everything running, is anything waiting, did anything go wrong."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from nats.errors import Error as NatsError
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from klankbord_runtime.permissions import DEAD, OPERATOR
from klankbord_schemas.topology import CONSUMERS, STREAMS
from klankbord_standalone.address import without_users
from klankbord_standalone.home import Running
from klankbord_standalone.servers import Installation

OUTBOX = "klankbord_outbox_pending"
ANSWER_PATIENCE = 3.0
"""Seconds that NATS, and each service, has to answer."""


@dataclass(frozen=True)
class ServiceStatus:
    """One service."""

    ready: bool
    problems: list[str]
    outbox: int
    """Events that it has said and that are not on the bus yet."""


@dataclass(frozen=True)
class ConsumerStatus:
    """One durable consumer."""

    waiting: int
    """Events that it has not been given yet."""
    in_hand: int
    """Events that it was given and has not acknowledged."""


@dataclass(frozen=True)
class Bus:
    """What NATS says."""

    consumers: dict[str, ConsumerStatus]
    streams: dict[str, int]
    """How many events each stream keeps."""


@dataclass(frozen=True)
class Status:
    """How an installation is; None is what NATS would know and does not say."""

    running: bool
    services: dict[str, ServiceStatus]
    consumers: dict[str, ConsumerStatus] | None
    streams: dict[str, int] | None
    """How many events each stream keeps."""
    dead_letters: int | None
    problems: list[str]
    """Why NATS does not say it."""

    @property
    def healthy(self) -> bool:
        """Whether NATS answers, every service is ready and no event was given up."""
        return (
            self.running
            and not self.problems
            and all(s.ready for s in self.services.values())
            and not self.dead_letters
        )

    @property
    def waiting(self) -> int | None:
        """Events that are still on their way somewhere."""
        if self.consumers is None:
            return None
        return sum(c.waiting + c.in_hand for c in self.consumers.values()) + sum(
            service.outbox for service in self.services.values()
        )

    def as_json(self) -> dict[str, Any]:
        """For a script."""
        return {"healthy": self.healthy, "waiting": self.waiting, **asdict(self)}


async def read_status(installation: Installation, running: Running | None) -> Status:
    """Ask the bus and every service, none longer than `ANSWER_PATIENCE`."""
    services = {}
    if running is not None:
        async with httpx.AsyncClient(timeout=ANSWER_PATIENCE, trust_env=False) as http:
            services = {name: await _service(http, running.address(name)) for name in running.ports}
    place = without_users(installation.nats_url)
    try:
        async with asyncio.timeout(ANSWER_PATIENCE):
            bus = await _bus(installation)
    except OSError as error:  # a TimeoutError, too
        problem = f"NATS: does not answer at {place} ({type(error).__name__})"
    except NatsError as error:
        problem = f"NATS: refuses at {place} ({error})"
    else:
        return Status(
            running is not None, services, bus.consumers, bus.streams, bus.streams[DEAD], []
        )
    return Status(running is not None, services, None, None, None, [problem])


async def _bus(installation: Installation) -> Bus:
    async with installation.client(OPERATOR) as client:
        stream = client.jetstream()
        consumers = {}
        for consumer in CONSUMERS:
            state = await stream.consumer_info(consumer.stream, consumer.name)
            consumers[consumer.name] = ConsumerStatus(
                state.num_pending or 0, state.num_ack_pending or 0
            )
        streams = {s.name: (await stream.stream_info(s.name)).state.messages for s in STREAMS}
    return Bus(consumers, streams)


async def _service(http: httpx.AsyncClient, address: str) -> ServiceStatus:
    try:
        readiness = (await http.get(f"{address}/readyz")).json()
        measured = (await http.get(f"{address}/metrics")).text
    except httpx.TransportError as error:
        problem = f"{address} does not answer: {type(error).__name__}"
        return ServiceStatus(ready=False, problems=[problem], outbox=0)
    return ServiceStatus(readiness["ready"], readiness["problems"], int(gauge(measured, OUTBOX)))


def show(status: Status, out: Console) -> None:
    """Print it."""
    if not status.running:
        out.print("nothing runs on this data folder: start it with [bold]klankbord up[/bold]")
    for name, service in status.services.items():
        state = "[green]ready[/green]" if service.ready else "[red]not ready[/red]"
        out.print(f"{name:<12} {state}  {'; '.join(service.problems)}")
    for problem in status.problems:
        out.print(f"[red]{problem}[/red]")
    if status.consumers is not None:
        table = Table("consumer", box=None, header_style="dim")
        table.add_column("waiting", justify="right")
        table.add_column("in hand", justify="right")
        for name, consumer in status.consumers.items():
            table.add_row(name, f"{consumer.waiting:,}", f"{consumer.in_hand:,}")
        out.print(table)
    if status.streams is not None:
        kept = ", ".join(f"{name} {count:,}" for name, count in status.streams.items())
        out.print(f"events kept: {kept}")
    if status.dead_letters:
        out.print(
            f"[red]{status.dead_letters} dead letters[/red]: see [bold]klankbord dlq list[/bold]"
        )


def gauge(metrics: str, name: str) -> float:
    """The sum of a metric in Prometheus' text format; 0 when it is not there."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == name
    )
