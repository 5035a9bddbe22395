"""The exporter says of a real nats-server, and of three, what their API says."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGTERM

import httpx
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError
from prometheus_client import Metric
from trust.nodes import NODES, believed, nodes, url
from world import eventually, post

from klankbord_runtime import provision
from klankbord_schemas.topology import CONSUMERS, STREAMS
from klankbord_standalone import exporter
from klankbord_standalone.child import LOOPBACK, Child, free_port
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.exporter import Exporter
from klankbord_standalone.nats_server import NatsServer
from klankbord_standalone.servers import Installation, Servers


def values(found: list[Metric], name: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric, by the values of their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in found
        for sample in family.samples
        if sample.name == f"klankbord_{name}"
    }


async def told_by_the_api(client: Client) -> dict[str, dict[tuple[str, ...], float]]:
    """What the server's own API says of the topology, under the exporter's names."""
    told: dict[str, dict[tuple[str, ...], float]] = {}

    def note(name: str, key: tuple[str, ...], value: float | None) -> None:
        told.setdefault(name, {})[key] = value or 0

    stream_api = client.jetstream()
    for stream in STREAMS:
        info = await stream_api.stream_info(stream.name)
        key: tuple[str, ...] = (stream.name,)
        note("stream_messages", key, info.state.messages)
        note("stream_bytes", key, info.state.bytes)
        note("stream_last_sequence", key, info.state.last_seq)
        note("stream_max_bytes", key, info.config.max_bytes)
        peers = (info.cluster.replicas or []) if info.cluster else []
        note("stream_replicas_current", key, 1 + sum(bool(peer.current) for peer in peers))
        if info.config.max_age:
            note("stream_max_age_seconds", key, info.config.max_age)
    for consumer in CONSUMERS:
        of = await stream_api.consumer_info(consumer.stream, consumer.name)
        key = (consumer.stream, consumer.name)
        note("consumer_pending", key, of.num_pending)
        note("consumer_ack_pending", key, of.num_ack_pending)
        note("consumer_redelivered", key, of.num_redelivered)
        note("consumer_known", key, 1)
    return told


async def read_some(client: Client) -> None:
    """Ten posts; moderation is given four and acknowledges two."""
    stream = client.jetstream()
    for number in range(10):
        event = post(str(number))
        await stream.publish(event.bus_subject, event.to_json())
    reader = await stream.pull_subscribe_bind("moderation-posts", stream="POSTS")
    for message in (await reader.fetch(4, timeout=10))[:2]:
        await message.ack_sync()


@asynccontextmanager
async def exporting(*urls: str) -> AsyncIterator[Exporter]:
    async with httpx.AsyncClient(trust_env=False) as http:
        yield Exporter(urls, http)


async def test_its_numbers_are_those_of_the_api(
    installation: Installation, servers: Servers
) -> None:
    async with installation.client("provision") as client, exporting(servers.nats.monitor_url) as e:
        await read_some(client)
        told, found = await told_by_the_api(client), await e.look()
        assert {name: values(found, name) for name in told} == told
        assert values(found, "nats_up") == {(): 1}
        info = await client.jetstream().stream_info("POSTS")
        (oldest,) = values(found, "stream_oldest_timestamp_seconds").values()
        first = await client.jetstream().get_msg("POSTS", info.state.first_seq)
        assert first.time is not None
        assert oldest == pytest.approx(first.time.timestamp(), abs=0.001)
        unread = values(found, "consumer_oldest_unread_timestamp_seconds")
        assert {consumer for _, consumer in unread} == {
            "moderation-posts",
            "routing-posts",
            "metrics-posts",
        }
        assert unread["POSTS", "routing-posts"] == pytest.approx(oldest, abs=0.001)
        assert unread["POSTS", "moderation-posts"] > oldest
        assert set(values(found, "consumer_missed").values()) == {0}


async def test_what_the_topology_wants_and_is_not_there_is_missing(
    installation: Installation, servers: Servers
) -> None:
    async with installation.client("provision") as client, exporting(servers.nats.monitor_url) as e:
        found = await e.look()
        assert values(found, "consumer_missing") == values(found, "stream_missing") == {}
        await client.jetstream().delete_consumer("POSTS", "routing-posts")
        await client.jetstream().delete_stream("METRICS")
        found = await e.look()
    assert values(found, "consumer_missing") == {("POSTS", "routing-posts"): 1}
    assert values(found, "stream_missing") == {("METRICS",): 1}
    assert ("POSTS", "routing-posts") not in values(found, "consumer_pending")


async def test_a_third_party_is_told_apart_and_whoever_looks_for_a_moment_is_not_shown(
    installation: Installation, servers: Servers
) -> None:
    async with installation.client("provision") as client, exporting(servers.nats.monitor_url) as e:
        stream = client.jetstream()
        for name in ("board", None):
            asked = ConsumerConfig(durable_name=name, ack_policy=AckPolicy.EXPLICIT)
            await stream.add_consumer("POSTS", asked)
        known = values(await e.look(), "consumer_known")
    assert known == {(c.stream, c.name): 1 for c in CONSUMERS} | {("POSTS", "board"): 0}


async def test_what_was_removed_unread_is_missed_and_what_was_read_is_not(
    installation: Installation, servers: Servers
) -> None:
    async with installation.client("provision") as client, exporting(servers.nats.monitor_url) as e:
        await read_some(client)
        for number in (1, 2, 3):
            await client.jetstream().delete_msg("POSTS", number)
        new = ConsumerConfig(durable_name="board", ack_policy=AckPolicy.EXPLICIT)
        await client.jetstream().add_consumer("POSTS", new)  # begins with what is there
        missed = values(await e.look(), "consumer_missed")
    # what moderation had in hand, the server counts as acknowledged
    assert {consumer: number for (_, consumer), number in missed.items() if number} == {
        "routing-posts": 3,
        "metrics-posts": 3,
    }


async def test_without_nats_there_are_no_numbers(
    servers: Servers, installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    async with exporting(servers.nats.monitor_url) as e:
        assert len(await e.look()) > 10
        await servers.nats.stop()
        try:
            for _ in range(3):
                (up,) = await e.look()
                assert values([up], "nats_up") == {(): 0}
        finally:
            await servers.nats.start()
        assert len(await e.look()) > 10
    assert len(caplog.records) == 1, "what goes on is not told with every scrape"


@pytest.mark.parametrize(
    "answer",
    [b"{", b"[]", b'{"server_name": 1}', b" " * 200_000, b"slow"],
    ids=["no JSON", "a list", "another type", "endless", "slow"],
)
async def test_an_answer_that_cannot_be_used_counts_as_none(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "PATIENCE", 0.3)
    monkeypatch.setattr(exporter, "MAX_ANSWER_BYTES", 100_000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer != b"slow":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with exporting(f"http://{LOOPBACK}:{port}") as e:
            (up,) = await e.look()
    assert values([up], "nats_up") == {(): 0}


async def test_the_command_serves_prometheus_and_ends_at_sigterm(
    installation: Installation, servers: Servers, tmp_path: Path
) -> None:
    port = free_port()
    command = (
        *(sys.executable, "-m", "klankbord_standalone", "exporter", "--port", str(port)),
        *("--nats-monitoring-url", servers.nats.monitor_url),
    )
    child = await Child.start("exporter", command, log=tmp_path / "log", dies_by=SIGTERM)
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False) as http:

        async def listens() -> bool:
            try:
                return (await http.get("/livez")).text == "ok"
            except httpx.TransportError:
                return False

        await eventually(listens, seconds=60)
        assert (await http.get("/readyz")).status_code == 200
        told = (await http.get("/metrics")).text
        assert 'klankbord_stream_messages{stream="DEAD"} 0.0' in told
        open_metrics = {"accept": "application/openmetrics-text;version=1.0.0"}
        assert (await http.get("/metrics", headers=open_metrics)).text.endswith("# EOF\n")
    child.send(SIGTERM)
    async with asyncio.timeout(30):
        assert await child.wait() == 0


# --- a cluster ---------------------------------------------------------------------------------


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[tuple[Sequence[NatsServer], Client]]:
    """Three servers that each keep all of it, and a client of theirs."""
    credentials = Credentials.create(folder / "credentials")
    servers = nodes(folder, credentials)
    try:
        for server in servers:
            await server.start()
        installation = Installation(url(servers), "", credentials)
        with believed(folder / "tls"):
            async with installation.client("provision") as client:
                await provision.apply(client, replicas=NODES)
                yield servers, client
    finally:
        for server in servers:
            await server.stop()


async def test_in_a_cluster_each_number_is_that_of_the_leader(place: Path) -> None:
    async with cluster(place) as (servers, client), AsyncExitStack() as stack:
        urls = [server.monitor_url for server in servers]
        e = await stack.enter_async_context(exporting(*urls))
        await read_some(client)

        async def the_same() -> bool:  # who follows is told a moment later
            told, found = await told_by_the_api(client), await e.look()
            same = {name: values(found, name) for name in told} == told
            return same and set(values(found, "stream_replicas_current").values()) == {3}

        await eventually(the_same, seconds=60)
        async with exporting(urls[0]) as of_one:
            alone = await of_one.look()
        pending = values(alone, "consumer_pending")
        assert 0 < len(pending) < len(CONSUMERS), "of one server: what it leads, and no more"
        assert values(alone, "consumer_missing") == {}

        await client.jetstream().delete_consumer("POSTS", "routing-posts")
        with pytest.raises(NotFoundError):
            await client.jetstream().consumer_info("POSTS", "routing-posts")
        gone = {("POSTS", "routing-posts"): 1.0}

        async def is_missing() -> bool:
            return values(await e.look(), "consumer_missing") == gone

        await eventually(is_missing, seconds=60)
        await servers[0].stop()
        found = await e.look()
        assert values(found, "nats_up") == {(): 1}
        assert values(found, "consumer_missing") == {}, "it may be on the one that is away"
