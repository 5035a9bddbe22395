"""A collector that is not there, or never answers, is no matter of the service."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from tap import tapped
from world import Migrated, eventually, post, settings

from klankbord_runtime.service import Service
from klankbord_runtime.settings import TelemetrySettings
from klankbord_runtime.work import Work
from klankbord_schemas import PostReceived
from klankbord_standalone.child import LOOPBACK, free_port
from klankbord_standalone.servers import Installation

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def silent() -> AsyncIterator[int]:
    """The port of one that takes every connection, and says nothing."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(listen, LOOPBACK, 0) as server:
        yield server.sockets[0].getsockname()[1]


def moderation(installation: Installation, endpoint: str, handled: list[str]) -> Service:
    telemetry = TelemetrySettings(otlp_endpoint=endpoint, metrics_every=1)
    service = Service("moderation", settings(installation, "moderation", telemetry=telemetry))

    @service.consumer("moderation-posts")
    async def on_posts(events: list[PostReceived], work: Work) -> None:
        handled.extend(event.data.native_id for event in events)

    return service


async def publish(installation: Installation, number: int) -> None:
    async with installation.client("provision") as client:
        for name in range(number):
            event = post(str(name)).model_copy(update={"traceparent": SAMPLED})
            await client.jetstream().publish(event.bus_subject, event.to_json())


@pytest.mark.parametrize("answers", [False, True], ids=["not there", "silent"])
async def test_the_service_works_on_and_ends_in_time_and_says_it_once(
    installation: Installation,
    migrated: Migrated,
    silent: int,
    answers: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await migrated("moderation")
    port = silent if answers else free_port()
    endpoint, handled = f"http://{LOOPBACK}:{port}", list[str]()
    service = moderation(installation, endpoint, handled)
    async with service.running():
        await publish(installation, 200)
        await eventually(lambda: len(set(handled)) == 200)
        await eventually(lambda: told(caplog, endpoint, "metrics") == 1, seconds=30)
        async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{service.port}") as http:
            assert (await http.get("/livez")).text == "ok"
        await asyncio.sleep(2)  # another try, which is not told of
        begun = time.monotonic()
    assert time.monotonic() - begun < 20
    assert told(caplog, endpoint, "metrics") == 1
    assert told(caplog, endpoint, "spans") <= 1


def told(caplog: pytest.LogCaptureFixture, endpoint: str, what: str) -> int:
    return sum(f"{endpoint} does not take {what}" in line.getMessage() for line in caplog.records)


async def test_what_is_left_is_sent_at_the_end(
    installation: Installation, migrated: Migrated
) -> None:
    await migrated("moderation")
    handled: list[str] = []
    async with tapped() as tap:
        async with moderation(installation, tap.url, handled).running():
            await publish(installation, 5)
            await eventually(lambda: len(handled) == 5)
        ids = {str(post(str(number)).id) for number in range(5)}

        def has_all() -> bool:
            counted = tap.metrics.get("klankbord_events_handled")
            values = [] if counted is None else [p.as_double for p in counted.sum.data_points]
            sent = {tap.attributes(span).get("messaging.message.id") for span in tap.spans}
            return values == [5] and sent >= ids

        await eventually(has_all)
