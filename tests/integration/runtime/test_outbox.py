"""The outbox: what committed is published, once, and what is kept stays in bounds."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from world import Migrated, eventually, post, settings

from klankbord_runtime.bus import Message, publish
from klankbord_runtime.relay import FORMAT
from klankbord_runtime.service import Service
from klankbord_runtime.settings import NatsSettings, OutboxSettings
from klankbord_schemas import PostReceived
from klankbord_standalone.servers import Installation


@pytest.fixture
async def ingest(installation: Installation, migrated: Migrated) -> AsyncIterator[Service]:
    await migrated("ingest")
    service = Service("ingest", settings(installation, "ingest"))
    async with service.running():
        await eventually(lambda: service.connected)
        yield service


async def stored(installation: Installation) -> int:
    """How many events the bus has of ingest."""
    async with installation.client("operator") as client:
        return (await client.jetstream().stream_info("POSTS")).state.messages


async def all_are_stored(installation: Installation, number: int) -> None:
    """Wait for so many, and see that there are no more."""

    async def there() -> bool:
        return await stored(installation) >= number

    await eventually(there)
    assert await stored(installation) == number


async def test_what_commits_is_published_and_what_rolls_back_is_not(
    ingest: Service, installation: Installation
) -> None:
    async with ingest.work() as work:
        work.emit(*(post(str(number)) for number in range(2500)))

    async def fails() -> None:
        async with ingest.work() as work:
            work.emit(post("never"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    await all_are_stored(installation, 2500)


async def test_the_same_fact_said_twice_is_on_the_bus_once(
    ingest: Service, installation: Installation
) -> None:
    for _ in range(2):
        async with ingest.work() as work:
            work.emit(*(post(str(number)) for number in range(10)), post("0"))
    async with ingest.work() as work:
        work.emit(post("last"))
    async with ingest.database.connection() as connection:

        async def nothing_waits() -> bool:
            return not await connection.fetchval("select count(*) from outbox_pending")

        await eventually(nothing_waits)
    await all_are_stored(installation, 11)


async def test_a_repeated_batch_falls_back_to_single_messages(installation: Installation) -> None:
    events: list[PostReceived] = [post(str(number)) for number in range(150)]
    messages = [Message(event.id, event.bus_subject, event.to_json()) for event in events]
    async with installation.client("ingest") as client:
        await publish(client, messages[:100])
        await publish(client, messages)
    assert await stored(installation) == 150


async def test_old_partitions_go_only_when_everything_in_them_was_sent(
    installation: Installation, migrated: Migrated
) -> None:
    await migrated("ingest")
    service = Service("ingest", settings(installation, "ingest"))
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    sent, unsent = now - timedelta(hours=30), now - timedelta(hours=29)
    await service.open()  # the database alone: no relay runs that would send what is pending
    try:
        await service._relay.tidy(sent)
        async with service.database.transaction() as connection:
            await connection.execute("insert into outbox_pending values (1, $1, 1)", unsent)
        await service._relay.tidy(now)
        async with service.database.connection() as connection:
            rows = await connection.fetch("select relname from pg_class")
    finally:
        await service.close()
    names = {row["relname"] for row in rows}
    assert sent.strftime(FORMAT) not in names
    assert unsent.strftime(FORMAT) in names
    assert now.strftime(FORMAT) in names


async def test_a_long_queue_makes_the_doors_push_back(
    installation: Installation, migrated: Migrated
) -> None:
    await migrated("ingest")
    away = NatsSettings(url="nats://127.0.0.1:1")
    small = OutboxSettings(max_pending=5)
    service = Service("ingest", settings(installation, "ingest", nats=away, outbox=small))
    async with service.running():
        assert not service.outbox_full
        async with service.work() as work:
            work.emit(*(post(str(number)) for number in range(6)))
        await eventually(lambda: service.outbox_full)
        async with service.database.transaction() as connection:
            await connection.execute("delete from outbox_pending")
        await eventually(lambda: not service.outbox_full)


async def test_what_a_full_stream_refuses_waits_and_says_so_until_there_is_room(
    ingest: Service, installation: Installation
) -> None:
    await resized(installation, max_msgs=7)
    for start in (0, 10):  # one atomic batch that does not fit, and another behind it
        async with ingest.work() as work:
            work.emit(*(post(str(number)) for number in range(start, start + 10)))
    await eventually(lambda: any("maximum messages exceeded" in text for text in ingest.problems))
    assert ingest.registry.get_sample_value("klankbord_outbox_refused_total")
    async with ingest.work() as work:  # the service takes in as before
        work.emit(post("20"))
    await eventually(lambda: ingest.registry.get_sample_value("klankbord_outbox_pending") == 21)
    await resized(installation, max_msgs=-1)
    await all_are_stored(installation, 21)
    await eventually(lambda: not ingest.problems)


async def resized(installation: Installation, max_msgs: int) -> None:
    """Let the stream POSTS hold so many events; -1 lets it hold any number."""
    async with installation.client("provision") as client:  # nats-py would drop `allow_atomic`
        found = json.loads((await client.request("$JS.API.STREAM.INFO.POSTS")).data)
        wanted = json.dumps(found["config"] | {"max_msgs": max_msgs}).encode()
        answer = json.loads((await client.request("$JS.API.STREAM.UPDATE.POSTS", wanted)).data)
        assert "error" not in answer
