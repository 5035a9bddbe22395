"""The real nats-server: what runs, who may do what, what the topology makes of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig
from world import eventually

from klankbord_runtime.permissions import overlap, service_permissions, subscriber
from klankbord_runtime.provision import (
    ProvisionError,
    apply,
    apply_consumer,
    check,
    stream_config,
    subscriber_config,
)
from klankbord_schemas import EVENTS
from klankbord_schemas.topology import (
    CONSUMERS,
    LOOKS,
    SERVICES,
    STREAMS,
    consumer,
    stream_of,
)
from klankbord_standalone.child import FREE_PORTS, free_port
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.nats_server import NatsServer
from klankbord_standalone.servers import Installation, Servers

SERVICE_NAMES = [service.name for service in SERVICES]
EVENT_SUBJECTS = [f"{event.subject_prefix()}.forum.web" for event in EVENTS]
DENIED_ALL = "permissions violation for subscription"


class Refusals:
    """What the server refused, as its client is told: never as an answer, always on the side."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def note(self, error: Exception) -> None:
        self.told.append(str(error).lower())

    def of(self, subject: str) -> bool:
        return any(f'"{subject.lower()}"' in told for told in self.told)

    async def all_told(self, client: Client) -> None:
        """Wait until the server was told of everything so far: it refuses in order."""
        last = f"nobody.may.{uuid4()}"
        await client.publish(last, b"")
        await client.flush()
        await eventually(lambda: self.of(last))


@asynccontextmanager
async def connected(
    installation: Installation, user: str, refusals: Refusals | None = None
) -> AsyncIterator[Client]:
    client = await nats.connect(
        installation.nats_url,
        nkeys_seed=str(installation.seed_file(user)),
        inbox_prefix=f"_INBOX_{user}",
        allow_reconnect=False,
        error_cb=(refusals or Refusals()).note,
    )
    try:
        yield client
    finally:
        await client.close()


async def api(client: Client, subject: str, body: object = None) -> dict[str, object]:
    payload = b"" if body is None else json.dumps(body).encode()
    answer: dict[str, object] = json.loads(
        (await client.request(f"$JS.API.{subject}", payload)).data
    )
    assert "error" not in answer
    return answer


async def subjects_in_streams(client: Client) -> list[str]:
    found: list[str] = []
    for stream in STREAMS:
        info = await api(client, f"STREAM.INFO.{stream.name}", {"subjects_filter": ">"})
        state = info["state"]
        assert isinstance(state, dict)
        found += state.get("subjects", {})
    return found


# --- NATS: what runs ---------------------------------------------------------------------------


async def test_nats_runs_as_configured(servers: Servers) -> None:
    async with httpx.AsyncClient(base_url=servers.nats.monitor_url) as http:
        store = (await http.get("/jsz")).json()["config"]
        server = (await http.get("/varz")).json()
    assert store["sync_always"] is True
    assert server["max_payload"] == 1024**2
    assert server["host"] == server["http_host"] == "127.0.0.1"


async def test_a_free_port_is_none_that_a_reconnecting_client_may_be_given() -> None:
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert free_port() in FREE_PORTS
    assert FREE_PORTS.stop <= given


# --- NATS: who may do what ---------------------------------------------------------------------


@pytest.mark.parametrize("user", [*SERVICE_NAMES, "operator"])
async def test_a_service_can_say_its_own_events_and_no_other(
    installation: Installation, user: str
) -> None:
    refusals = Refusals()
    async with connected(installation, user, refusals) as client:
        for subject in EVENT_SUBJECTS:
            await client.publish(subject, b"{}")
        await refusals.all_told(client)
    own = [
        f"{event.subject_prefix()}.forum.web"
        for service in SERVICES
        if service.name == user
        for event in service.produces
    ]
    assert [subject for subject in EVENT_SUBJECTS if not refusals.of(subject)] == own
    async with connected(installation, "provision") as client:
        assert sorted(await subjects_in_streams(client)) == sorted(own)


@pytest.mark.parametrize("user", SERVICE_NAMES)
async def test_a_service_can_read_its_own_consumers_and_no_other(
    installation: Installation, user: str
) -> None:
    async with connected(installation, "provision") as client:
        for subject in EVENT_SUBJECTS:
            await client.jetstream().publish(subject, b"{}")
    refusals = Refusals()
    async with connected(installation, user, refusals) as client:
        stream = client.jetstream()
        for reader in CONSUMERS:
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{reader.stream}.{reader.name}"
            if reader.service == user:
                pull = await stream.pull_subscribe_bind(reader.name, reader.stream)
                messages = await pull.fetch(len(reader.events), timeout=5)
                await asyncio.gather(*(message.ack_sync() for message in messages))
                assert (await pull.consumer_info()).num_ack_pending == 0
            else:
                await client.publish(subject, b"1", reply=client.new_inbox())
                await refusals.all_told(client)
                assert refusals.of(subject)
        refusals.told.clear()
        await client.subscribe("klankbord.>")
        await client.subscribe("_INBOX_provision.>")
        await refusals.all_told(client)
    assert len([told for told in refusals.told if DENIED_ALL in told]) == 2


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
async def test_a_service_can_ask_what_readiness_needs_and_park_a_dead_letter(
    installation: Installation, service: object
) -> None:
    name = getattr(service, "name", "")
    async with connected(installation, name) as client:
        for stream in {stream_of(event).name for event in getattr(service, "produces", ())}:
            assert "config" in await api(client, f"STREAM.INFO.{stream}")
        letter = await client.jetstream().publish(f"klankbord.dead.{name}.x", b"{}")
    assert letter.stream == "DEAD"


async def test_nobody_comes_in_without_a_key(installation: Installation, place: Path) -> None:
    quiet = Refusals()
    with pytest.raises(NatsError, match="Authorization Violation"):
        await nats.connect(installation.nats_url, allow_reconnect=False, error_cb=quiet.note)
    stranger = Credentials.create(place / "stranger").seed_file("ingest")
    with pytest.raises(NatsError, match="Authorization Violation"):
        await nats.connect(
            installation.nats_url,
            nkeys_seed=str(stranger),
            allow_reconnect=False,
            error_cb=quiet.note,
        )


async def test_the_operator_looks_tails_and_erases_but_takes_nothing(
    installation: Installation,
) -> None:
    async with connected(installation, "routing") as client:
        await client.jetstream().publish("klankbord.dead.routing.routing-posts", b"letter")
    refusals = Refusals()
    async with connected(installation, "operator", refusals) as client:
        stream = client.jetstream()
        assert len(await stream.streams_info()) == len(STREAMS)
        assert (await stream.get_msg("DEAD", 1)).data == b"letter"
        tail = await stream.pull_subscribe(
            "klankbord.dead.>", stream="DEAD", config=ConsumerConfig(inactive_threshold=60)
        )
        (message,) = await tail.fetch(1, timeout=5)
        assert message.data == b"letter"
        assert await stream.delete_msg("DEAD", 1)
        assert refusals.told == []
        for denied in (
            "$JS.API.CONSUMER.MSG.NEXT.POSTS.moderation-posts",
            "$JS.API.CONSUMER.DELETE.POSTS.moderation-posts",
            "$JS.API.CONSUMER.DURABLE.CREATE.POSTS.moderation-posts",
            "$JS.API.STREAM.DELETE.POSTS",
            "$JS.API.STREAM.UPDATE.POSTS",
            "$JS.API.STREAM.PURGE.POSTS",
            "$JS.ACK.POSTS.moderation-posts.1.1.1.1.0",
        ):
            await client.publish(denied, b"", reply=client.new_inbox())
            await refusals.all_told(client)
            assert refusals.of(denied)


async def test_a_third_party_is_let_in_while_all_runs_and_reads_its_subjects_only(
    place: Path,
) -> None:
    credentials = Credentials.create(place / "credentials")
    server = NatsServer(place / "nats", credentials.authorization())
    await server.start()
    here = Installation(server.url, "", credentials)
    product = subscriber("product", ("klankbord.feedback.routed.v1.*.product",))
    try:
        async with connected(here, "provision") as provision:
            await apply(provision)
        credentials.add_subscriber(product)
        await server.admit(credentials.authorization())
        async with connected(here, "provision") as provision, connected(here, "routing") as routing:
            assert await apply_consumer(provision, product.stream, subscriber_config(product))
            for department in ("product", "sales", "product"):
                subject = f"klankbord.feedback.routed.v1.forum.{department}"
                await routing.jetstream().publish(subject, b"{}")
            refusals = Refusals()
            async with connected(here, product.user, refusals) as client:
                reading = await client.jetstream().pull_subscribe_bind(product.user, product.stream)
                messages = await reading.fetch(10, timeout=1)
                await asyncio.gather(*(message.ack_sync() for message in messages))
                assert [message.subject.rpartition(".")[2] for message in messages] == [
                    "product",
                    "product",
                ]
                assert refusals.told == []
                for denied in (
                    *EVENT_SUBJECTS,
                    "$JS.API.CONSUMER.MSG.NEXT.ROUTING.metrics-feedback",
                ):
                    await client.publish(denied, b"{}")
                    await refusals.all_told(client)
                    assert refusals.of(denied)
    finally:
        await server.stop()


async def test_a_third_party_cannot_let_the_servers_answers_act_for_it(place: Path) -> None:
    """nats-server does not check the reply subject of a request, and sends its answer there."""
    credentials = Credentials.create(place / "credentials")
    product = subscriber("product", ("klankbord.feedback.routed.v1.*.product",))
    credentials.add_subscriber(product)
    server = NatsServer(place / "nats", credentials.authorization())
    await server.start()
    here = Installation(server.url, "", credentials)
    following = f"$JS.API.CONSUMER.MSG.NEXT.{product.stream}.{product.user}"
    try:
        async with connected(here, "provision") as provision, connected(here, "routing") as routing:
            await apply(provision)
            await apply_consumer(provision, product.stream, subscriber_config(product))
            stream = routing.jetstream()
            for _ in range(5):
                await stream.publish("klankbord.feedback.routed.v1.forum.product", b"{}")
            async with connected(here, product.user) as client:
                for target in (
                    "$JS.API.STREAM.DELETE.POSTS",
                    "$JS.API.CONSUMER.DELETE.POSTS.moderation-posts",
                    "klankbord.feedback.routed.v1.forum.product",
                    "klankbord.dead.routing.routing-posts",
                ):
                    request = b'{"batch": 1, "no_wait": true}'
                    for _ in range(3):  # an event as the answer, and then that there is none
                        await client.publish(following, request, reply=target)
                await client.flush()
                await asyncio.sleep(0.5)
            js = provision.jetstream()
            assert (await js.stream_info("ROUTING")).state.messages == 5
            assert (await js.stream_info("DEAD")).state.messages == 0
            assert await js.consumer_info("POSTS", "moderation-posts")
    finally:
        await server.stop()


# --- NATS: the topology ------------------------------------------------------------------------


async def test_provisioning_again_changes_nothing(installation: Installation) -> None:
    assert await installation.provision() == []
    async with connected(installation, "provision") as client:
        assert await check(client) == []


async def test_a_difference_is_found_and_set_right_without_losing_an_event(
    installation: Installation,
) -> None:
    async with connected(installation, "provision") as client:
        await client.jetstream().publish("klankbord.post.received.v1.forum.web", b"{}")
        stream = (await api(client, "STREAM.INFO.POSTS"))["config"]
        assert isinstance(stream, dict)
        changed = stream | {"max_age": 3600 * 10**9, "discard": "old", "description": "ours"}
        await api(client, "STREAM.UPDATE.POSTS", changed)
        reader = consumer("moderation-posts")
        await api(
            client,
            "CONSUMER.DURABLE.CREATE.POSTS.moderation-posts",
            {
                "stream_name": "POSTS",
                "config": {
                    "durable_name": reader.name,
                    "ack_policy": "explicit",
                    "ack_wait": 30 * 10**9,
                    "max_deliver": 5,
                    "max_ack_pending": 5000,
                    "filter_subject": "klankbord.post.received.v1.forum.>",
                },
            },
        )
        await api(client, "CONSUMER.DELETE.MODERATION.routing-flags")
        differences = await check(client)
        assert sorted(differences) == [
            "consumer moderation-posts: ack_wait is 30 s, and should be 10 s",
            (
                "consumer moderation-posts: filter_subject is "
                '"klankbord.post.received.v1.forum.>", and should be ""'
            ),
            "consumer moderation-posts: max_deliver is 5, and should be -1",
            "consumer routing-flags is missing",
            'stream POSTS: discard is "old", and should be "new"',
            "stream POSTS: max_age is 3600 s, and should be 30d",
        ]
        changes = await apply(client)
        assert [(change.kind, change.what) for change in changes] == [
            ("changed", "stream POSTS"),
            ("changed", "consumer moderation-posts"),
            ("created", "consumer routing-flags"),
        ]
        assert await check(client) == []
        info = await api(client, "STREAM.INFO.POSTS")
        state, config = info["state"], info["config"]
        assert isinstance(state, dict)
        assert isinstance(config, dict)
        assert state["messages"] == 1
        assert config["description"] == "ours"


async def test_what_cannot_be_changed_is_refused_with_the_way_out(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klankbord_runtime.provision.ANSWER_PATIENCE", 0.5)
    monkeypatch.setattr("klankbord_runtime.provision.ELECTION_PATIENCE", 0.5)
    async with connected(installation, "provision") as client:
        await api(client, "STREAM.DELETE.METRICS")
        config = {"name": "METRICS", "subjects": ["klankbord.community.>"], "storage": "memory"}
        await api(client, "STREAM.CREATE.METRICS", config | {"retention": "workqueue"})
        with pytest.raises(ProvisionError, match='stream METRICS: retention is "workqueue", and'):
            await apply(client)
    async with connected(installation, "ingest") as client:
        with pytest.raises(ProvisionError, match="connect with the seed of `provision`"):
            await apply(client)


async def test_the_last_looks_of_a_member_are_kept(installation: Installation) -> None:
    async with connected(installation, "ingest") as client:
        stream = client.jetstream()
        subject = "klankbord.member.seen.v1.forum.p-1"
        for number in range(LOOKS + 1):
            await stream.publish(subject, str(number).encode())
    async with connected(installation, "provision") as client:
        last = await client.jetstream().get_last_msg("MEMBERS", subject)
        assert last.data == str(LOOKS).encode()
        assert (await client.jetstream().stream_info("MEMBERS")).state.messages == LOOKS


async def test_a_stream_of_another_name_is_refused_and_said_what_to_do_about(
    installation: Installation,
) -> None:
    old = {**stream_config(STREAMS[0]), "name": "OLD"}
    async with connected(installation, "provision") as client:
        await api(client, f"STREAM.DELETE.{STREAMS[0].name}")
        await api(client, "STREAM.CREATE.OLD", old)
        with pytest.raises(ProvisionError, match="let its readers come to its end, delete"):
            await apply(client)
        await api(client, "STREAM.DELETE.OLD")
        await apply(client)
        assert await check(client) == []


async def test_events_survive_a_crash_and_a_restart(
    installation: Installation, servers: Servers
) -> None:
    before = servers.nats.url
    async with connected(installation, "ingest") as client:
        for number in range(20):
            await client.jetstream().publish(
                "klankbord.post.received.v1.forum.web", str(number).encode()
            )
    await servers.nats.kill()
    await servers.nats.start()
    await servers.nats.restart()
    assert servers.nats.url == before
    async with connected(installation, "moderation") as client:
        reading = await client.jetstream().pull_subscribe_bind("moderation-posts", "POSTS")
        messages = await reading.fetch(20, timeout=5)
        assert [int(message.data) for message in messages] == list(range(20))
        await asyncio.gather(*(message.ack_sync() for message in messages))


def test_the_matrix_covers_every_service() -> None:
    for service in SERVICES:
        allowed = service_permissions(service).publish
        assert any(overlap(subject, may) for subject in EVENT_SUBJECTS for may in allowed)
