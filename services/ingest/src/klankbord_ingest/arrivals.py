"""Deliveries on their way into the database: what comes while others are written goes together.

A commit costs a few milliseconds and the disk's attention, whether it holds one post or five
hundred. So a delivery that finds nobody writing is written at once, and those that come meanwhile
wait for each other: the more there are, the more go together, and each is answered after the commit
that holds it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from dataclasses import dataclass

from klankbord_ingest.source import Source
from klankbord_ingest.usecases import Delivery, Ingest, Receipt
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.work import Work

WRITERS = 4
"""The most transactions at once: some work while the disk is busy with others."""
WORTH_A_WRITER = 100
"""How many submissions must wait before a further transaction is begun for them."""
MOST_TOGETHER = 500
"""The most submissions of one transaction, unless a single delivery holds more."""
MOST_BYTES_TOGETHER = 1024**2
"""The same in bytes: the relay holds twenty transactions at once, and so must stay small."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Waiting:
    """A delivery that is to be written, and whoever waits for its receipt."""

    delivery: Delivery
    source: Source
    receipt: asyncio.Future[Receipt]


class Arrivals:
    """Writes deliveries, together where they come together."""

    def __init__(
        self, work: Callable[[], AbstractAsyncContextManager[Work]], ingest: Ingest
    ) -> None:
        self._work = work
        self._ingest = ingest
        self._waiting: deque[_Waiting] = deque()
        self._submissions = 0
        self._writers: set[asyncio.Task[None]] = set()

    async def write(self, delivery: Delivery, source: Source) -> Receipt:
        """Write a delivery; back when it is committed.

        Raises:
            asyncpg.PostgresError, OSError, TimeoutError: it is not; nothing of it is kept.
        """
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(delivery, source, receipt))
        self._submissions += len(delivery.submissions)
        # one that has found nothing more to write is among the writers for a moment yet
        at_work = sum(not writer.done() for writer in self._writers)
        if at_work < min(WRITERS, 1 + self._submissions // WORTH_A_WRITER):
            # in no one's context: what it logs is not of the first delivery's trace alone
            writer = asyncio.create_task(self._write_all(), name="arrivals", context=Context())
            self._writers.add(writer)
            writer.add_done_callback(self._writers.discard)
        try:
            return await receipt
        finally:
            del receipt  # an error in it refers to this frame: the circle would keep the delivery

    async def _write_all(self) -> None:
        while self._waiting:
            await self._write(self._take())

    def _take(self) -> list[_Waiting]:
        """The delivery that has waited longest, and those after it of the same source."""
        taken = [self._waiting.popleft()]
        size = len(taken[0].delivery.submissions)
        in_bytes = taken[0].delivery.size
        while self._waiting:
            following = self._waiting[0]
            size += len(following.delivery.submissions)
            in_bytes += following.delivery.size
            is_too_much = size > MOST_TOGETHER or in_bytes > MOST_BYTES_TOGETHER
            if is_too_much or following.source != taken[0].source:
                break
            taken.append(self._waiting.popleft())
        self._submissions -= sum(len(one.delivery.submissions) for one in taken)
        return taken

    async def _write(self, together: Sequence[_Waiting]) -> None:
        each_alone: Sequence[_Waiting] = ()
        try:
            receipts = await self._commit([one.delivery for one in together], together[0].source)
        except TRANSIENT as error:
            _fail(together, error)
        except Exception as error:
            log.exception("%d deliveries could not be written", len(together))
            if len(together) == 1:
                _fail(together, error)
            else:
                each_alone = together
        except asyncio.CancelledError:
            for one in together:
                one.receipt.cancel()
            raise
        else:
            for one, receipt in zip(together, receipts, strict=True):
                if not one.receipt.done():  # whoever waited may have gone
                    one.receipt.set_result(receipt)
        for one in each_alone:
            await self._write([one])

    async def _commit(self, deliveries: Sequence[Delivery], source: Source) -> list[Receipt]:
        async with self._work() as work:
            return await self._ingest.receive(deliveries, source, work)


def _fail(together: Sequence[_Waiting], error: Exception) -> None:
    error.with_traceback(None)  # its frames refer to these: a circle, which would keep them
    for one in together:
        if not one.receipt.done():
            one.receipt.set_exception(error)
