"""Deliveries that come while others are written are written together, and fail alone."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, cast
from weakref import ref

import pytest
from unit.ingest.test_submission import SOURCES

from klankbord_ingest.arrivals import MOST_BYTES_TOGETHER, MOST_TOGETHER, WRITERS, Arrivals
from klankbord_ingest.source import Source
from klankbord_ingest.usecases import Delivery, Ingest, Receipt
from klankbord_runtime.work import Work

SOURCE = next(iter(SOURCES.by_name.values()))
OTHER = replace(SOURCE, name="another")


class Database:
    """Transactions that last until the test lets go, and what was written in each."""

    def __init__(self) -> None:
        self.written: list[list[int]] = []
        self.may_commit = asyncio.Event()
        self.fails: dict[int, Exception] = {}

    @asynccontextmanager
    async def work(self) -> AsyncIterator[Work]:
        yield cast(Work, None)
        await self.may_commit.wait()

    async def receive(
        self, deliveries: Sequence[Delivery], source: Source, work: Work
    ) -> list[Receipt]:
        sizes = [len(delivery.submissions) for delivery in deliveries]
        for size in sizes:
            if size in self.fails:
                raise self.fails[size]
        self.written.append(sizes)
        return [Receipt(size, 0) for size in sizes]


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def arrivals(database: Database) -> Arrivals:
    return Arrivals(database.work, cast(Ingest, database))


def of(size: int) -> Delivery:
    return Delivery([cast(Any, None)] * size)


async def handed_in(
    arrivals: Arrivals, *sizes: int, source: Source = SOURCE
) -> list[asyncio.Task[Receipt]]:
    tasks = [asyncio.create_task(arrivals.write(of(size), source)) for size in sizes]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_the_first_is_written_at_once_and_what_comes_meanwhile_together(
    arrivals: Arrivals, database: Database
) -> None:
    tasks = await handed_in(arrivals, 1)
    assert database.written == [[1]]
    tasks += await handed_in(arrivals, 11, 12, 13)
    assert not any(task.done() for task in tasks), "answered after the commit"
    database.may_commit.set()
    receipts = await asyncio.gather(*tasks)
    assert [receipt.received for receipt in receipts] == [1, 11, 12, 13]
    assert database.written == [[1], [11, 12, 13]]


async def test_much_at_once_is_written_in_a_few_transactions_beside_each_other(
    arrivals: Arrivals, database: Database
) -> None:
    tasks = []
    for _ in range(2 * WRITERS):
        tasks += await handed_in(arrivals, MOST_TOGETHER)
    assert database.written == [[MOST_TOGETHER]] * WRITERS
    database.may_commit.set()
    await asyncio.gather(*tasks)
    assert database.written == [[MOST_TOGETHER]] * 2 * WRITERS


async def test_sources_are_written_apart_and_a_transaction_stays_small(
    arrivals: Arrivals, database: Database
) -> None:
    tasks = await handed_in(arrivals, 1)
    tasks += await handed_in(arrivals, 11, 12)
    tasks += await handed_in(arrivals, 13, source=OTHER)
    tasks += await handed_in(arrivals, MOST_TOGETHER, 14)
    database.may_commit.set()
    await asyncio.gather(*tasks)
    assert sorted(database.written) == [[1], [11, 12], [13], [14], [MOST_TOGETHER]]


async def test_one_that_cannot_be_written_fails_alone(
    arrivals: Arrivals, database: Database
) -> None:
    database.fails[12] = ValueError("a bug")
    tasks = await handed_in(arrivals, 1, 11, 12, 13)
    database.may_commit.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [getattr(one, "received", one) for one in found] == [1, 11, database.fails[12], 13]


async def test_in_an_outage_all_of_them_are_told_so(arrivals: Arrivals, database: Database) -> None:
    database.fails[12] = ConnectionResetError("gone")
    tasks = await handed_in(arrivals, 1)
    tasks += await handed_in(arrivals, 11, 12)
    database.may_commit.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert found == [Receipt(1, 0), *[database.fails[12]] * 2]


async def test_who_went_away_keeps_nobody_from_an_answer(
    arrivals: Arrivals, database: Database
) -> None:
    (first,) = await handed_in(arrivals, 1)
    gone, stays = await handed_in(arrivals, 11, 12)
    gone.cancel()
    database.may_commit.set()
    await first
    assert (await stays).received == 12
    assert database.written == [[1], [11, 12]], "what was handed in is written all the same"


async def test_what_comes_just_as_a_writer_ends_is_written_as_well(
    arrivals: Arrivals, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.may_commit.set()
    second: list[asyncio.Task[Receipt]] = []
    receive = database.receive

    async def and_one_comes(*given: Any) -> list[Receipt]:
        if not second:  # its turn is after the writer's last step, and before the writer is gone
            second.append(asyncio.create_task(arrivals.write(of(11), SOURCE)))
        return await receive(*given)

    monkeypatch.setattr(database, "receive", and_one_comes)
    (first,) = await handed_in(arrivals, 1)
    assert (await first).received == 1
    for _ in range(10):
        await asyncio.sleep(0)
    assert database.written == [[1], [11]]


async def test_large_deliveries_are_written_apart(arrivals: Arrivals, database: Database) -> None:
    tasks = await handed_in(arrivals, 1)
    for submissions in (11, 12, 13):
        delivery = replace(of(submissions), size=MOST_BYTES_TOGETHER // 2)
        tasks.append(asyncio.create_task(arrivals.write(delivery, SOURCE)))
    await asyncio.sleep(0)
    database.may_commit.set()
    await asyncio.gather(*tasks)
    assert database.written == [[1], [11, 12], [13]]


class Submissions(list[Any]):
    """May be referred to weakly."""


async def test_what_could_not_be_written_is_let_go_at_once(
    arrivals: Arrivals, database: Database
) -> None:
    database.fails[3] = ConnectionResetError("gone")
    database.may_commit.set()
    kept: list[ref[Submissions]] = []

    async def hand_in() -> None:
        submissions = Submissions([None] * 3)
        kept.append(ref(submissions))
        with suppress(ConnectionResetError):
            await arrivals.write(Delivery(submissions), SOURCE)
            pytest.fail("it was written")

    gc.disable()  # as services do: what is in a circle would stay for seconds
    try:
        await asyncio.gather(hand_in(), hand_in())
        database.fails.clear()
        assert [one() for one in kept] == [None, None]
    finally:
        gc.enable()
