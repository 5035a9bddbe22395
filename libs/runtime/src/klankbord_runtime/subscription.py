"""FastStream declares, dispatches and stops our consumers; the pulling is our own.

FastStream's batch pull loop lingers for a full batch, loses partial ones to ack_wait, and spins
when the consumer is gone (docs/adr/0003). So one private method is replaced here, in this one
place: `_create_subscription`, which would start that loop. The version is pinned, and
tests/unit/runtime/test_subscription.py fails when an upgrade changes what stands here.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from faststream import AckPolicy
from faststream.message import StreamMessage
from faststream.nats import JStream, NatsBroker, PullSub
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from klankbord_runtime.consumer import BatchConsumer
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.puller import Puller

log = logging.getLogger(__name__)

BATCH_SIZE = 500
"""The most events of one batch, and so of one transaction."""
IN_FLIGHT = 2
"""The most batches at once: while one waits for the database, another is read and thought about."""
PAUSE = 0.5
"""Seconds to wait after a pull that failed."""


class Subscription:
    """One durable consumer: pulled here, dispatched by FastStream, handled in batches."""

    def __init__(
        self, broker: NatsBroker, batches: BatchConsumer, client: Callable[[], Client]
    ) -> None:
        self.batches = batches
        self._client = client
        self._puller: Puller | None = None
        self._task: asyncio.Task[None] | None = None
        self._draining = False
        self._in_flight = 0
        consumer = batches.consumer
        self._subscriber = broker.subscriber(
            # names it for FastStream alone: provision.py says what the server chooses by
            config=ConsumerConfig(filter_subjects=list(consumer.subjects)),
            durable=consumer.name,
            stream=JStream(consumer.stream, declare=False),
            pull_sub=PullSub(batch_size=BATCH_SIZE, batch=True),
            ack_policy=AckPolicy.MANUAL,
            decoder=_undecoded,
            title=consumer.name,
        )
        self._subscriber(batches.handle)
        self._subscriber._create_subscription = self._start  # type: ignore[method-assign]  # noqa: SLF001

    async def _start(self) -> None:
        consumer = self.batches.consumer
        self._puller = Puller(self._client(), consumer.stream, consumer.name, BATCH_SIZE)
        await self._puller.start()
        self._task = asyncio.create_task(self._run(self._puller), name=consumer.name)

    def reconnected(self) -> None:
        """The connection is a new one: ask the server again."""
        if self._puller is not None:
            self._puller.reconnected()

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109  (the limit is the caller's)
        """Take no more, let what is in hand finish, give the rest back at once."""
        self._draining = True
        if self._task is None or self._puller is None:
            return
        _, unfinished = await asyncio.wait([self._task], timeout=timeout)
        for task in unfinished:
            task.cancel()
        try:
            for message in await self._puller.stop():
                await message.nak()
        except TRANSIENT as error:
            log.info("what was fetched comes back after ack_wait: %s", error)

    async def _run(self, puller: Puller) -> None:
        async with self.batches.in_progress(puller), asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(self._handle_batches(puller))

    async def _handle_batches(self, puller: Puller) -> None:
        while not self._draining:
            try:
                # beside another batch only a full one: two small ones cost twice as much
                messages = await puller.take(BATCH_SIZE if self._in_flight else 1)
                if messages:
                    self._in_flight += 1
                    try:
                        await self._subscriber.process_message(messages)
                    finally:
                        self._in_flight -= 1
            except TRANSIENT as error:
                log.warning("%s: %s: %s", self.batches.consumer.name, type(error).__name__, error)
                await asyncio.sleep(PAUSE)
            except Exception:
                # not acknowledged, so delivered again: a fault of this code stops nothing
                log.exception("%s: a batch was left to be redelivered", self.batches.consumer.name)
                await asyncio.sleep(PAUSE)


async def _undecoded(message: StreamMessage[Any]) -> list[Msg]:
    """The contract decodes the events itself, to dead-letter only those that are bad."""
    raw: list[Msg] = message.raw_message
    return raw
