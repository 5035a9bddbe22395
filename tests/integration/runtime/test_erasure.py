"""Forgetting: nothing about whoever is erased gets in, and nothing in hand slips through."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest
from world import NOW, Migrated, eventually, post, settings

from klankbord_runtime.erasure import Forgotten
from klankbord_runtime.faults import NotYetError
from klankbord_runtime.service import Service
from klankbord_runtime.work import Work
from klankbord_schemas import (
    Erasure,
    ErasureCompleted,
    MemberErased,
    Person,
    PostReceived,
    member_digest,
)
from klankbord_standalone.servers import Installation

THEM = "p-" + "1" * 32
OTHER = "p-" + "2" * 32
PERSON = Person("acme", member_digest(THEM))
ERASED = MemberErased.of(
    Erasure(community=PERSON.community, member_digest=PERSON.digest), recordedtime=NOW
)


def said(name: str, author: str | None = None, content: str = "words") -> PostReceived:
    event = post(name)
    data = event.data.model_copy(update={"attributed_to": author, "content": content})
    return PostReceived.of(data, 1, NOW)


async def forget_nothing(_event: MemberErased, _work: Work) -> Forgotten:
    return Forgotten({})


@pytest.fixture
async def service(installation: Installation, migrated: Migrated) -> AsyncIterator[Service]:
    """Not running: its transactions are the test's."""
    await migrated("ingest")
    service = Service("ingest", settings(installation, "ingest"))
    await service.open()
    yield service
    await service.close()


async def someone_waits(installation: Installation) -> None:
    """Until a transaction waits for an advisory lock."""
    connection = await asyncpg.connect(installation.admin_url)
    try:
        await eventually(
            lambda: connection.fetchval(
                "select count(*) > 0 from pg_locks join pg_database d on d.oid = database"
                " where locktype = 'advisory' and not granted and datname = current_database()"
            )
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("already", [None, "somebody else"])
async def test_a_batch_in_hand_commits_before_an_erasure_looks(
    service: Service, installation: Installation, already: str | None
) -> None:
    if already:
        async with service.work() as work:
            other = PERSON._replace(digest=member_digest(already))
            await service.erasures.begin(work.connection, other, work.now)
    async with service.database.connection() as connection:
        await connection.execute("create table kept (author text)")

    async def forget(_event: MemberErased, work: Work) -> Forgotten:
        rows = await work.connection.fetch("delete from kept returning author")
        return Forgotten({"kept": len(rows)})

    async def erase() -> int:
        async with service.work() as work:
            await service.erasures.complete(ERASED, forget, work)
        (answer,) = work.emitted
        assert isinstance(answer, ErasureCompleted)
        return answer.data.removed["kept"]

    async with service.work() as batch:
        events = [said("a", THEM)]
        assert await service.erasures.without_erased(batch.connection, events) == events
        erasing = asyncio.create_task(erase())
        await someone_waits(installation)
        await batch.connection.execute("insert into kept values ($1)", THEM)
    assert await erasing == 1


async def test_a_batch_that_comes_during_an_erasure_waits_and_sees_it(
    service: Service, installation: Installation
) -> None:
    async def batch() -> list[PostReceived]:
        async with service.work() as work:
            events = [said("a", THEM), said("b", OTHER), said("c")]
            kept = await service.erasures.without_erased(work.connection, events)
            return [event for event in kept if isinstance(event, PostReceived)]

    async with service.work() as work:
        await service.erasures.begin(work.connection, PERSON, work.now)
        coming = asyncio.create_task(batch())
        await someone_waits(installation)
    assert [event.data.native_id for event in await coming] == ["b", "c"]


async def test_a_long_erasure_holds_up_no_batch(service: Service) -> None:
    async def forget(_event: MemberErased, _work: Work) -> Forgotten:
        async with service.work() as batch:  # would wait for ever, were there a lock
            events = [said("theirs", THEM), said("other", OTHER)]
            (kept,) = await service.erasures.without_erased(batch.connection, events)
        assert kept == events[1]
        return Forgotten({})

    async with service.work() as work:
        await service.erasures.complete(ERASED, forget, work)
    assert len(work.emitted) == 1


async def test_a_member_is_erased_in_one_community_only(service: Service) -> None:
    async with service.work() as work:
        await service.erasures.begin(work.connection, PERSON, work.now)
    elsewhere = PERSON._replace(community="elsewhere")
    async with service.work() as work:
        assert await service.erasures.is_anyone_erased(work.connection, ["elsewhere", "acme"])
        assert not await service.erasures.is_anyone_erased(work.connection, ["elsewhere"])
        asked = [PERSON, elsewhere, None]
        assert await service.erasures.erased_among(work.connection, asked) == {PERSON}


async def outbox(service: Service) -> set[str]:
    async with service.database.connection() as connection:
        rows = await connection.fetch("select body from outbox")
    events = [PostReceived.from_json(row["body"]) for row in rows if b"post.rec" in row["body"]]
    return {event.data.native_id for event in events}


async def test_what_is_still_to_be_sent_is_sent_first(service: Service) -> None:
    async with service.work() as work:
        work.emit(said("a", THEM), said("b", OTHER))

    async def erase() -> None:
        async with service.work() as work:
            await service.erasures.complete(ERASED, forget_nothing, work)

    with pytest.raises(NotYetError, match="1 events about whoever is erased are to be sent"):
        await erase()
    assert await outbox(service) == {"a", "b"}
    async with service.database.connection() as connection:
        await connection.execute("delete from outbox_pending")  # as the relay does
    await erase()
    assert await outbox(service) == {"b"}


async def test_the_outbox_loses_what_names_them_and_what_is_about_theirs_and_names_nobody(
    service: Service,
) -> None:
    theirs, answered = said("theirs"), said("answered", OTHER)
    async with service.work() as work:
        work.emit(
            theirs,
            said("nobody's"),
            said("named", THEM),
            said("quotes", OTHER, content=f'they are "{THEM}"'),
            answered,
        )
    async with service.database.connection() as connection:
        await connection.execute("delete from outbox_pending")

    async def forget(_event: MemberErased, _work: Work) -> Forgotten:
        return Forgotten({}, [theirs.subject, answered.subject])

    async with service.work() as work:
        await service.erasures.complete(ERASED, forget, work)
    assert await outbox(service) == {"nobody's", "answered"}


async def test_no_consumer_is_given_what_is_about_them_and_the_service_says_when_it_forgot(
    installation: Installation, migrated: Migrated
) -> None:
    await migrated("moderation")
    service = Service("moderation", settings(installation, "moderation"))
    handled: Counter[str] = Counter()
    forgot: list[MemberErased] = []

    @service.consumer("moderation-posts")
    async def on_posts(events: list[PostReceived], _work: Work) -> None:
        handled.update(event.data.native_id for event in events)

    @service.forgets
    async def forget(event: MemberErased, _work: Work) -> Forgotten:
        forgot.append(event)
        return Forgotten({"posts": 3})

    async with installation.client("provision") as client:
        stream = client.jetstream()
        async with service.running():
            before = said("before", THEM)
            await stream.publish(before.bus_subject, before.to_json())
            await eventually(lambda: handled["before"])
            await stream.publish(ERASED.bus_subject, ERASED.to_json())

            async def answer() -> ErasureCompleted | None:
                last = await stream.stream_info("ERASURES")
                message = await stream.get_msg("ERASURES", last.state.last_seq)
                if message.subject != "klankbord.erasure.completed.v1.acme.moderation":
                    return None
                return ErasureCompleted.from_json(message.data or b"")

            answered = await eventually(answer)
            assert answered.data.erasure == ERASED.id
            assert answered.data.removed == {"posts": 3, "outbox": 0}
            assert forgot == [ERASED]
            for event in (said("theirs", THEM), said("other", OTHER)):
                await stream.publish(event.bus_subject, event.to_json())
            await eventually(lambda: handled["other"])

            async def settled() -> bool:
                state = await stream.consumer_info("POSTS", "moderation-posts")
                return (state.num_pending, state.num_ack_pending) == (0, 0)

            await eventually(settled)
    assert handled == {"before": 1, "other": 1}
