"""The one contract of every consumer, on a real NATS and a real PostgreSQL."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version

import asyncpg
import httpx
import pytest
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from world import NOW, Migrated, eventually, post, settings

from klankbord_runtime import consumer as contract
from klankbord_runtime.deadletter import DeadLetter
from klankbord_runtime.migrate import SchemaBehindError
from klankbord_runtime.service import Service
from klankbord_runtime.work import Work
from klankbord_schemas import Flags, Label, PostFlagged, PostReceived
from klankbord_schemas.topology import consumer
from klankbord_standalone.child import free_port
from klankbord_standalone.servers import Installation, Servers

OF_POSTS = {"consumer": "moderation-posts"}


def flag(cause: PostReceived) -> PostFlagged:
    label = Label(val="spam", rule="r", explanation="why", severity="low", mode="live")
    flags = Flags(
        community="acme",
        source="forum",
        post=cause.data.post,
        post_sequence=cause.version,
        policy="0" * 64,
        labels=[label],
    )
    return PostFlagged.of(cause, flags, NOW)


class World:
    """A moderation service whose handler is the test's, and a stream to feed it from."""

    def __init__(self, installation: Installation, stream: JetStreamContext) -> None:
        self.installation = installation
        self.stream = stream
        self.handled: Counter[str] = Counter()

    async def publish(self, *events: PostReceived) -> None:
        for event in events:
            await self.stream.publish(event.bus_subject, event.to_json())

    @asynccontextmanager
    async def moderation(
        self, effect: Callable[[list[PostReceived], Work], Awaitable[None]]
    ) -> AsyncIterator[Service]:
        service = Service("moderation", settings(self.installation, "moderation"))

        @service.consumer("moderation-posts")
        async def on_posts(events: list[PostReceived], work: Work) -> None:
            await effect(events, work)
            self.handled.update(event.data.native_id for event in events)

        async with service.running():
            yield service

    async def dead_letters(self) -> list[DeadLetter]:
        state = (await self.stream.stream_info("DEAD")).state
        return [
            DeadLetter.model_validate_json((await self.stream.get_msg("DEAD", number)).data or b"")
            for number in range(state.first_seq, state.last_seq + 1)
            if state.messages
        ]

    async def settled(self) -> bool:
        state = await self.stream.consumer_info("POSTS", "moderation-posts")
        return (state.num_pending, state.num_ack_pending) == (0, 0)


@pytest.fixture
async def world(installation: Installation, migrated: Migrated) -> AsyncIterator[World]:
    await migrated("moderation")
    async with installation.client("provision") as client:
        yield World(installation, client.jetstream())


async def kept(stream: JetStreamContext, name: str) -> int:
    """How many events a stream keeps."""
    return (await stream.stream_info(name)).state.messages


async def nothing(events: list[PostReceived], work: Work) -> None:
    """An effect that leaves no trace."""


async def test_each_event_is_handled_once_and_what_it_emits_is_published_once(world: World) -> None:
    async def flags(events: list[PostReceived], work: Work) -> None:
        work.emit(*(flag(event) for event in events))

    posts = [post(str(number)) for number in range(700)]
    await world.publish(*posts, *posts[:100])
    async with world.moderation(flags):
        await eventually(lambda: len(world.handled) == 700)
        await eventually(world.settled)
    assert set(world.handled.values()) == {1}
    assert await kept(world.stream, "MODERATION") == 700


async def test_what_does_not_decode_becomes_a_dead_letter_and_holds_nobody_up(world: World) -> None:
    subject = post("x").bus_subject
    bad = [b"", b"{", b'{"specversion":"1.0"}', post("0").to_json().replace(b"1.0", b"9.9")]
    for body in bad:
        await world.stream.publish(subject, body)
    await world.publish(post("good"))
    async with world.moderation(nothing):
        await eventually(lambda: world.handled["good"] == 1)
    letters = await world.dead_letters()
    assert [letter.body for letter in letters] == bad
    assert {(letter.reason, letter.consumer) for letter in letters} == {
        ("invalid", "moderation-posts")
    }
    assert all(letter.detail for letter in letters)
    assert await world.settled()


async def test_what_others_read_of_a_stream_is_passed_over(world: World) -> None:
    letter = post("replayed")
    to = [consumer(name).replay_subject for name in ("routing-posts", "moderation-posts")]
    later = letter.bus_subject.replace(".v1.", ".v2.")
    nobodys = letter.bus_subject.replace(".v1.", ".one.")
    for subject in (to[0], later, nobodys, to[1]):
        await world.stream.publish(subject, letter.to_json() if subject == to[1] else b"{}")
    async with world.moderation(nothing) as service:
        await eventually(world.settled)
        passed_over = service.registry.get_sample_value(
            "klankbord_events_passed_over_total", {"consumer": "moderation-posts"}
        )
    assert (world.handled, passed_over) == ({"replayed": 1}, 2)
    assert [dead.subject for dead in await world.dead_letters()] == [nobodys]


async def test_a_bad_event_as_large_as_the_bus_carries_is_a_dead_letter_too(world: World) -> None:
    await world.stream.publish(post("x").bus_subject, b"x" * 1_000_000)
    await world.publish(post("good"))
    async with world.moderation(nothing):
        await eventually(lambda: world.handled["good"] == 1)
        (letter,) = await eventually(world.dead_letters)
    assert (letter.body, letter.stream_sequence) == (b"", 1)
    assert "1000000 bytes" in letter.detail


async def test_a_poison_post_is_tried_alone_three_times_and_its_batchmates_are_handled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "RETRY_AFTER", (0.05, 0.1))
    tries: list[int] = []

    async def chokes(events: list[PostReceived], work: Work) -> None:
        if any(event.data.native_id == "poison" for event in events):
            tries.append(len(events))
            raise ValueError("cannot swallow this")

    await world.publish(*(post(str(number)) for number in range(20)), post("poison"))
    async with world.moderation(chokes):
        await eventually(lambda: len(world.handled) == 20)
        await eventually(world.settled)
    assert tries.count(1) == contract.ATTEMPTS
    (letter,) = await world.dead_letters()
    assert letter.reason == "bug"
    assert letter.detail == "ValueError: cannot swallow this"
    assert set(world.handled.values()) == {1}


async def test_a_fault_of_the_database_is_retried_and_never_a_dead_letter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "RETRY_AFTER", (0.05, 0.1))
    failures = iter([ConnectionResetError("gone"), asyncpg.CannotConnectNowError("starting")] * 4)

    async def recovers(events: list[PostReceived], work: Work) -> None:
        for failure in failures:
            raise failure

    await world.publish(post("patient"))
    async with world.moderation(recovers):
        await eventually(lambda: world.handled["patient"] == 1)
    assert await world.dead_letters() == []


async def test_after_an_outage_events_are_handled_in_batches_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often each was given back: thousands alone would take longer than the outage."""
    monkeypatch.setattr(contract, "RETRY_AFTER", (0.05, 0.1))
    sizes: list[int] = []
    is_back = False

    async def notes_its_size(events: list[PostReceived], work: Work) -> None:
        if not is_back:
            raise ConnectionResetError("gone")
        sizes.append(len(events))

    await world.publish(*(post(str(number)) for number in range(100)))
    async with world.moderation(notes_its_size):
        given_back = 0
        while given_back < 8 * 100:
            await asyncio.sleep(0.1)
            state = await world.stream.consumer_info("POSTS", "moderation-posts")
            given_back = state.delivered.consumer_seq if state.delivered else 0
        is_back = True
        await eventually(lambda: len(world.handled) == 100)
    assert max(sizes) > 1
    assert len(sizes) < 50


async def test_an_effect_that_is_rolled_back_says_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "RETRY_AFTER", (0.05, 0.1))
    first = iter([True])

    async def late(events: list[PostReceived], work: Work) -> None:
        work.emit(*(flag(event) for event in events))
        if next(first, False):
            raise ConnectionResetError("after it was emitted")

    await world.publish(post("once"))
    async with world.moderation(late):
        await eventually(lambda: world.handled["once"] == 1)
        assert await eventually(partial(kept, world.stream, "MODERATION")) == 1


async def test_work_longer_than_ack_wait_is_not_given_to_another(world: World) -> None:
    async def slow(events: list[PostReceived], work: Work) -> None:
        await asyncio.sleep(12)  # ack_wait is 10 s

    await world.publish(post("long"))
    async with world.moderation(slow):
        await eventually(lambda: world.handled["long"] == 1, seconds=20)
    state = await world.stream.consumer_info("POSTS", "moderation-posts")
    assert state.delivered is not None
    assert state.delivered.consumer_seq == 1


async def test_a_database_or_a_bus_that_restarts_loses_nothing(
    world: World, servers: Servers
) -> None:
    async def flags(events: list[PostReceived], work: Work) -> None:
        work.emit(*(flag(event) for event in events))

    async with world.moderation(flags) as service:
        await eventually(lambda: service.connected)
        await servers.nats.kill()
        await servers.nats.start()
        measured = service.registry.get_sample_value
        await servers.postgres.kill()
        try:
            await eventually(lambda: measured("klankbord_database_errors_total"))
        finally:
            await servers.postgres.start()
        async with world.installation.client("provision") as client:
            stream = client.jetstream()
            for number in range(300):
                event = post(str(number))
                await stream.publish(event.bus_subject, event.to_json())
            await eventually(lambda: len(world.handled) == 300, seconds=40)

            async def all_are_flagged() -> bool:
                return await kept(stream, "MODERATION") >= 300

            await eventually(all_are_flagged, seconds=40)
            assert await kept(stream, "MODERATION") == 300
            assert await kept(stream, "DEAD") == 0
        last = measured("klankbord_last_batch_timestamp_seconds", OF_POSTS)
        assert last == pytest.approx(time.time(), abs=60)


async def test_a_fault_is_counted_where_it_is_the_databases_and_nowhere_else(world: World) -> None:
    async with world.moderation(nothing) as service:
        before = service.registry.get_sample_value("klankbord_database_errors_total") or 0
        for of_database in (asyncpg.DeadlockDetectedError("x"), TimeoutError(), OSError()):
            with pytest.raises(type(of_database)):
                async with service.work():
                    raise of_database
        for of_another in (NatsTimeoutError(), ValueError(), asyncpg.UniqueViolationError("x")):
            with pytest.raises(type(of_another)):
                async with service.work():
                    raise of_another
        assert service.registry.get_sample_value("klankbord_database_errors_total") == before + 3


async def test_it_says_why_it_is_not_ready(world: World) -> None:
    async with world.moderation(nothing) as service:
        await eventually(lambda: service.problems == [])
        config = (await world.stream.consumer_info("POSTS", "moderation-posts")).config
        config.max_ack_pending = 7
        await world.stream.add_consumer("POSTS", config)
        await eventually(lambda: any("max_ack_pending is 7" in why for why in service.problems))
        await world.stream.delete_consumer("POSTS", "moderation-posts")
        await eventually(lambda: any("klankbord provision" in why for why in service.problems))
        assert service.registry.get_sample_value("klankbord_ready") == 0


async def test_health_is_served_over_http(world: World) -> None:
    async with world.moderation(nothing) as service:
        await eventually(lambda: service.problems == [])
        base = f"http://127.0.0.1:{service.port}"
        async with httpx.AsyncClient(base_url=base) as http:
            assert (await http.get("/livez")).text == "ok"
            assert json.loads((await http.get("/readyz")).text) == {"ready": True, "problems": []}
            metrics = (await http.get("/metrics")).text
    build = f'service="moderation",version="{version("klankbord-runtime")}"'
    for line in (
        f"klankbord_build_info{{{build}}} 1.0",
        "klankbord_ready 1.0",
        # from the start: Prometheus' rate() sees no first increase of a series that is new
        'klankbord_events_dead_lettered_total{consumer="moderation-posts",reason="bug"} 0.0',
    ):
        assert line in metrics


async def test_a_door_opens_when_its_service_can_judge_who_comes(
    installation: Installation, migrated: Migrated
) -> None:
    """Seen under kill -9: a sender with the right key was turned away by an ingest that started."""
    await migrated("moderation")
    given = settings(installation, "moderation")
    http = given.http.model_copy(update={"port": free_port()})
    service = Service("moderation", given.model_copy(update={"http": http}))
    knows_its_keys = False

    @service.on_start
    async def read_keys() -> None:
        nonlocal knows_its_keys
        await asyncio.sleep(0.5)
        knows_its_keys = True

    async def door(_request: Request) -> Response:
        return PlainTextResponse("come in" if knows_its_keys else "who are you?")

    service.route("/door", door, ["GET"])

    async def knock() -> str:
        async with httpx.AsyncClient(timeout=5) as client:
            while True:
                with suppress(httpx.ConnectError):
                    return (await client.get(f"http://127.0.0.1:{http.port}/door")).text
                await asyncio.sleep(0.01)

    knocking = asyncio.create_task(knock())
    async with service.running():
        assert await knocking == "come in"


async def test_a_schema_that_is_behind_is_refused_with_the_command(
    installation: Installation,
) -> None:
    service = Service("moderation", settings(installation, "moderation"))
    with pytest.raises(SchemaBehindError, match="klankbord-moderation migrate"):
        async with service.running():
            pass


async def test_a_connection_that_is_lost_under_way_is_no_fault_of_the_event(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "RETRY_AFTER", (0.05, 0.1))
    losses = iter(range(8))

    async def loses(events: list[PostReceived], work: Work) -> None:
        if next(losses, None) is not None:
            own = await work.connection.fetchval("select pg_backend_pid()")
            killer = await asyncpg.connect(world.installation.admin_url)
            await killer.execute("select pg_terminate_backend($1)", own)
            await killer.close()
            await asyncio.sleep(0.3)
            await work.connection.fetchval("select 1")

    await world.publish(*(post(str(number)) for number in range(5)))
    async with world.moderation(loses):
        await eventually(lambda: len(world.handled) == 5, seconds=60)
    assert await world.dead_letters() == []


async def test_what_the_breaker_kept_back_is_tried_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "RETRY_AFTER", (0.01, 0.02))
    monkeypatch.setattr(contract, "PAUSED_FOR", 0.2)
    is_mended = False

    async def mended_later(events: list[PostReceived], work: Work) -> None:
        if not is_mended:
            raise ValueError("a bad build")

    await world.publish(*(post(str(number)) for number in range(80)))
    async with world.moderation(mended_later) as service:
        await eventually(lambda: any("paused" in why for why in service.problems), seconds=60)
        is_mended = True
        dead = len(await world.dead_letters())
        await eventually(lambda: len(world.handled) == 80 - dead, seconds=60)
        assert 0 < dead < 80
