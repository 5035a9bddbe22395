"""The values of the KEDA triggers, against the answers of a real nats-server."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from keda import StreamNotFoundError, Trigger, lag
from scripts.manifests import K8S, render

from klankbord_schemas.topology import CONSUMERS, SERVICES
from klankbord_standalone.servers import Installation, Servers

SCALED = {
    manifest["metadata"]["name"]: manifest["spec"]
    for manifest in render(K8S / "overlays" / "production")
    if manifest["kind"] == "ScaledObject"
}
TRIGGERS = {
    name: [Trigger.read(t["metadata"]) for t in spec["triggers"] if t["type"] == "nats-jetstream"]
    for name, spec in SCALED.items()
}
EACH = [trigger for triggers in TRIGGERS.values() for trigger in triggers]
WAITING = 20


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
async def waiting(installation: Installation) -> Installation:
    """In each stream wait events, of which each consumer has taken some and acknowledged others."""
    async with installation.client("provision") as client:
        jetstream = client.jetstream()
        heard = {consumer.events[0].subject_prefix() for consumer in CONSUMERS}
        for subject in heard:
            for number in range(WAITING):
                await jetstream.publish(f"{subject}.acme.x", json.dumps(number).encode())
        for trigger in EACH:
            reading = await jetstream.pull_subscribe_bind(trigger.consumer, trigger.stream)
            taken = await reading.fetch(3, timeout=10)
            await taken[0].ack_sync(timeout=10)
    return installation


def test_each_consumer_of_the_topology_scales_its_service() -> None:
    assert set(TRIGGERS) == {service.name for service in SERVICES}
    named = {(service, t.stream, t.consumer) for service, ts in TRIGGERS.items() for t in ts}
    assert named == {(c.service, c.stream, c.name) for c in CONSUMERS}
    assert len(EACH) == len(CONSUMERS)


async def test_keda_reads_the_lag_that_the_consumer_has(
    waiting: Installation, servers: Servers, http: httpx.AsyncClient
) -> None:
    endpoint = servers.nats.monitor_url.removeprefix("http://")
    async with waiting.client("operator") as client:
        for trigger in EACH:
            info = await client.jetstream().consumer_info(trigger.stream, trigger.consumer)
            told = (info.num_pending or 0) + (info.num_ack_pending or 0)
            assert told == WAITING - 1
            assert await lag(http, replace(trigger, endpoint=endpoint)) == told


async def test_a_wrong_name_of_a_consumer_would_scale_by_all_there_ever_was(
    waiting: Installation, servers: Servers, http: httpx.AsyncClient
) -> None:
    """Which is why the names are held here: with everything read it sees the whole stream."""
    endpoint = servers.nats.monitor_url.removeprefix("http://")
    async with waiting.client("provision") as client:
        await client.jetstream().purge_stream("POSTS")
        last = (await client.jetstream().stream_info("POSTS")).state.last_seq
    right = Trigger(endpoint, "KLANKBORD", "POSTS", "routing-posts", 5000)
    assert await lag(http, right) == 0
    assert await lag(http, replace(right, consumer="routing-post")) == last > 0


@pytest.mark.parametrize("wrong", [("stream", "POST"), ("account", "$G")])
async def test_a_wrong_stream_or_account_is_said(
    waiting: Installation, servers: Servers, http: httpx.AsyncClient, wrong: tuple[str, str]
) -> None:
    endpoint = servers.nats.monitor_url.removeprefix("http://")
    with pytest.raises(StreamNotFoundError):
        await lag(http, Trigger(**{**vars(EACH[0]), "endpoint": endpoint, wrong[0]: wrong[1]}))
