"""A bus that lost what it had gets it again from the outbox."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from nats.aio.client import Client
from world import Migrated, eventually, post, settings

from klankbord_runtime import republish
from klankbord_runtime.bus import Message, publish
from klankbord_runtime.republish import PAGE, CutShortError
from klankbord_runtime.service import Service
from klankbord_standalone.servers import Installation

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
SAID = 2 * PAGE + 200


@pytest.fixture
async def ingest(installation: Installation, migrated: Migrated) -> AsyncIterator[Service]:
    await migrated("ingest")
    service = Service("ingest", settings(installation, "ingest"))
    async with service.running():
        await eventually(lambda: service.connected)
        yield service


@pytest.fixture
async def beside(ingest: Service, installation: Installation) -> AsyncIterator[Service]:
    """The operator's `klankbord-ingest republish`, beside the one that runs."""
    service = Service("ingest", settings(installation, "ingest"))
    await service.open()
    yield service
    await service.close()


async def said(ingest: Service, begin: int, end: int) -> None:
    """Say these posts, and wait until they are on the bus."""
    async with ingest.work() as work:
        work.emit(*(post(str(number)) for number in range(begin, end)))

    async def nothing_waits() -> bool:
        async with ingest.database.connection() as connection:
            return not await connection.fetchval("select count(*) from outbox_pending")

    await eventually(nothing_waits)


async def kept(installation: Installation) -> list[str]:
    """What POSTS keeps, in its order."""
    async with installation.client("operator") as client:
        subscription = await client.jetstream().pull_subscribe(">", stream="POSTS")
        left = (await subscription.consumer_info()).num_pending or 0
        found: list[str] = []
        while len(found) < left:
            messages = await subscription.fetch(500, timeout=5)
            found += [json.loads(message.data)["data"]["nativeId"] for message in messages]
            for message in messages:
                await message.ack()
        return found


async def lost(installation: Installation, max_msgs: int = -1) -> None:
    """NATS loses the stream, and it is made again, to hold so many events."""
    async with installation.client("provision") as client:
        await client.request("$JS.API.STREAM.DELETE.POSTS")
        await installation.provision()
        found = json.loads((await client.request("$JS.API.STREAM.INFO.POSTS")).data)
        wanted = json.dumps(found["config"] | {"max_msgs": max_msgs}).encode()
        await client.request("$JS.API.STREAM.UPDATE.POSTS", wanted)


async def test_what_was_lost_is_there_again_in_its_order_and_twice_adds_nothing(
    ingest: Service, beside: Service, installation: Installation
) -> None:
    await said(ingest, 0, SAID)
    everything = [str(number) for number in range(SAID)]
    assert await kept(installation) == everything
    await lost(installation)
    for _ in range(2):
        told = await beside.republish(LONG_AGO)
        assert told.streams == {"POSTS": SAID}
        assert await kept(installation) == everything
    (entry, _) = [e for e in await installation.audit_log() if e.act == "outbox.replayed"]
    assert entry.role == "klankbord_ingest"
    assert json.loads(entry.details)["since"] == LONG_AGO.isoformat()


async def test_only_what_was_said_since_then_is_said_again(
    ingest: Service, beside: Service, installation: Installation
) -> None:
    await said(ingest, 0, 10)
    middle = datetime.now(UTC)
    await said(ingest, 10, 15)
    await lost(installation)
    told = await beside.republish(middle)
    assert told.streams == {"POSTS": 5}
    assert await kept(installation) == ["10", "11", "12", "13", "14"]
    assert told.oldest is not None
    assert told.oldest <= middle


async def test_a_dry_run_counts_and_does_nothing(
    ingest: Service, beside: Service, installation: Installation
) -> None:
    await said(ingest, 0, 12)
    await lost(installation)
    head = await installation.audit_head()
    told = await beside.republish(LONG_AGO, dry_run=True)
    assert told.streams == {"POSTS": 12}
    assert told.oldest is not None
    assert told.oldest > LONG_AGO  # nothing is so old
    assert await kept(installation) == []
    assert await installation.audit_head() == head


async def test_what_waits_is_left_to_the_relay(
    ingest: Service, beside: Service, installation: Installation
) -> None:
    await said(ingest, 0, 3)
    async with ingest.database.transaction() as connection:
        # counted wrongly, so that the relay does not take it from us
        await connection.execute(
            "insert into outbox_pending select distinct batch, recorded, 99 from outbox"
        )
    await lost(installation)
    assert (await beside.republish(LONG_AGO, dry_run=True)).streams == {}
    assert (await beside.republish(LONG_AGO)).streams == {}
    assert await kept(installation) == []
    async with ingest.database.transaction() as connection:
        await connection.execute("delete from outbox_pending")


async def test_one_that_was_cut_short_says_from_when_to_go_on(
    ingest: Service, beside: Service, installation: Installation
) -> None:
    await said(ingest, 0, PAGE)
    middle = datetime.now(UTC)
    await said(ingest, PAGE, SAID)
    await lost(installation, max_msgs=PAGE)
    with pytest.raises(CutShortError, match="go on with --since") as cut:
        await beside.republish(LONG_AGO)
    assert len(await kept(installation)) == PAGE
    again = datetime.fromisoformat(str(cut.value).rpartition(" ")[2])
    assert LONG_AGO < again < middle
    await lost(installation)
    told = await beside.republish(again)
    assert told.streams == {"POSTS": SAID}  # what has the same moment is said once more
    assert len(await kept(installation)) == SAID
    assert datetime.now(UTC) - told.until < timedelta(minutes=1)


async def test_whoever_is_being_forgotten_is_not_said_again(
    ingest: Service, beside: Service, installation: Installation
) -> None:
    await said(ingest, 0, 2)
    await lost(installation)

    async with ingest.database.transaction() as erasing:
        await erasing.execute(
            "select pg_advisory_xact_lock(hashtext('erasure ' || current_schema))"
        )
        replaying = asyncio.create_task(beside.republish(LONG_AGO))

        async def it_waits() -> bool:
            waiting = (
                "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
            )
            return bool(await erasing.fetchval(waiting))

        await eventually(it_waits)
        await erasing.execute("delete from outbox")
    assert (await replaying).streams == {}
    assert await kept(installation) == []


async def test_who_is_forgotten_meanwhile_is_so_only_when_their_events_are_on_the_bus_to_be_found(
    ingest: Service,
    beside: Service,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Noted as erased they were before; what they said is still in the outbox, and in a page."""
    await said(ingest, 0, 2)
    await lost(installation)
    in_hand, go_on = asyncio.Event(), asyncio.Event()

    async def late(client: Client, messages: Sequence[Message]) -> None:
        in_hand.set()
        await go_on.wait()
        await publish(client, messages)

    monkeypatch.setattr(republish, "publish", late)
    replaying = asyncio.create_task(beside.republish(LONG_AGO))
    await in_hand.wait()
    try:
        with pytest.raises(asyncpg.LockNotAvailableError):
            await erase(ingest, patience="500ms")
    finally:
        go_on.set()
        await replaying
    await erase(ingest, patience="10s")
    assert await kept(installation) == ["0", "1"]


async def erase(ingest: Service, patience: str) -> None:
    async with ingest.database.transaction() as erasing:
        await erasing.execute(f"set local lock_timeout = '{patience}'")
        await erasing.execute("delete from outbox")
