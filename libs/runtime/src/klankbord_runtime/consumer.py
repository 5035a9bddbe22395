"""How a batch is handled: the one contract that every consumer of every service keeps.

    events that decode and were not handled before → one transaction: inbox, effects, outbox → ack

    is for another reader of the stream            → ack, counted
    transient fault (database, broker, time-out)   → nak with a delay; never dead-lettered
    does not decode                                → dead letter, then term
    a bug, or poison                               → alone, at most three times, then dead letter
    the process died, or was stopped               → nothing: it is delivered again

`num_delivered` never decides a dead letter, since an outage or a batchmate's crash raises it too:
above three, not counting deliveries that we gave back in an outage, it only means that the event
runs alone. Alone, an attempt is committed before it begins, so that one that kills the process is
counted all the same.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from klankbord_runtime import wire
from klankbord_runtime.db import Database, Queries
from klankbord_runtime.deadletter import Breaker, DeadLetters, Reason
from klankbord_runtime.erasure import Erasures
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.puller import Delivery, Puller, delivery_of
from klankbord_runtime.telemetry import RuntimeMetrics
from klankbord_runtime.tracing import Traced, Tracing
from klankbord_runtime.work import Work
from klankbord_schemas.catalogue import EventClass
from klankbord_schemas.event import Event
from klankbord_schemas.topology import REPLAYS, Consumer

log = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[list[Any], Work], Awaitable[None]]

ALONE_ABOVE = 3
"""Deliveries after which an event is run alone."""
ATTEMPTS = 3
"""Isolated attempts that end in a bug or a dead process before an event is a dead letter."""
RETRY_AFTER = (0.5, 2.0)
"""Seconds, drawn at random, until an event is delivered again after a fault."""
PAUSED_FOR = 30.0
"""Seconds until an event is tried again that the breaker kept from the dead letters."""
IN_PROGRESS_EVERY = 3.0
"""Seconds between signs of life for events in hand: a third of ack_wait."""


class Received(NamedTuple):
    """A message and the event that it carries."""

    message: Msg
    event: Event[Any]
    delivery: Delivery

    @property
    def place(self) -> int:
        """Where the message stands in its stream."""
        return self.delivery.stream_sequence


class _Typed(BaseModel):
    """What must be read of an event first when its subject does not tell its type."""

    type: str


class BatchConsumer:
    """Reads one durable consumer and gives its events to the service's handler, batch by batch."""

    def __init__(
        self,
        consumer: Consumer,
        handle: Handler,
        client: Callable[[], Client],
        database: Database,
        queries: Queries,
        dead_letters: DeadLetters,
        erasures: Erasures,
        work: Callable[..., contextlib.AbstractAsyncContextManager[Work]],
        metrics: RuntimeMetrics,
        tracing: Tracing,
    ) -> None:
        self.consumer = consumer
        self._handle = handle
        self._client = client
        self._database = database
        self._queries = queries
        self._dead_letters = dead_letters
        self._erasures = erasures
        self._work = work
        self._metrics = metrics
        self._tracing = tracing
        self._breaker = Breaker()
        self._in_hand: dict[int, Sequence[Msg]] = {}
        # one at a time: what kills the process must not be charged to its neighbour
        self._alone = asyncio.Lock()
        # by place in the stream, for as long as an event is not done with
        self._suspects: set[int] = set()
        self._not_its_fault: set[int] = set()
        self._given_back: Counter[int] = Counter()
        self._classes: dict[str, EventClass] = {
            event.subject_prefix(): event for event in consumer.events
        }
        self._prefixes = tuple(f"{prefix}." for prefix in self._classes)
        self._any_version = tuple(f"{prefix.rpartition('.')[0]}.v" for prefix in self._classes)
        self._replay_subject = consumer.replay_subject

    @property
    def paused(self) -> str | None:
        """Why the consumer holds back, where it does: most of its traffic would be dead letters."""
        if not self._breaker.tripped:
            return None
        return f"{self.consumer.name} is paused: {self._breaker.reason}"

    async def handle(self, messages: Sequence[Msg]) -> None:
        """Handle one batch to its end: each message is acked, given back, or dead-lettered."""
        self._in_hand[id(messages)] = messages
        try:
            received = await self._decode(await self._pass_over_others(messages))
            alone: list[Received] = []
            together: list[Received] = []
            for one in received:
                (alone if self._is_suspect(one) else together).append(one)
            if together:
                alone += await self._handle_together(together)
            for one in alone:
                async with self._alone:
                    await self._handle_alone(one)
        finally:
            del self._in_hand[id(messages)]

    @asynccontextmanager
    async def in_progress(self, puller: Puller) -> AsyncIterator[None]:
        """Tell the server, while this lasts, that the events in hand are being worked on."""

        async def tell() -> None:
            while True:
                await asyncio.sleep(IN_PROGRESS_EVERY)
                held = chain(*self._in_hand.values(), puller.waiting)
                with contextlib.suppress(*TRANSIENT):  # then they are delivered again
                    await wire.send(self._client(), (wire.progress(one.reply) for one in held))

        task = asyncio.create_task(tell(), name=f"{self.consumer.name} in progress")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _pass_over_others(self, messages: Sequence[Msg]) -> Sequence[Msg]:
        """Acknowledge what a stream that is read whole holds for others; gives back the rest."""
        others = [message for message in messages if self._is_for_another(message.subject)]
        if not others:
            return messages
        await self._ack(others)
        self._metrics.passed_over.labels(self.consumer.name).inc(len(others))
        return [message for message in messages if not self._is_for_another(message.subject)]

    def _is_for_another(self, subject: str) -> bool:
        """Whether it is replayed to another reader, or a later major version of what is read."""
        if subject.startswith(self._prefixes):
            return False
        if subject.startswith(REPLAYS):
            return subject != self._replay_subject
        return subject.startswith(self._any_version)

    async def _decode(self, messages: Sequence[Msg]) -> list[Received]:
        received: list[Received] = []
        for message in messages:
            try:
                event = self._event_class(message).from_json(message.data)
            except (ValidationError, KeyError) as error:
                await self._bury(message, "invalid", _why(error))
            else:
                received.append(Received(message, event, delivery_of(message)))
                self._breaker.note(dead=False)
        return received

    def _is_suspect(self, one: Received) -> bool:
        if one.place in self._suspects:
            return True
        deliveries = one.delivery.deliveries
        # what was given back in an outage does not count: else everything would run alone after one
        return deliveries > ALONE_ABOVE and deliveries - self._given_back[one.place] > ALONE_ABOVE

    def _event_class(self, message: Msg) -> EventClass:
        if message.subject == self._replay_subject:
            prefix = _Typed.model_validate_json(message.data).type.removeprefix("org.")
        else:
            prefix = ".".join(message.subject.split(".")[:4])
        try:
            return self._classes[prefix]
        except KeyError:
            raise KeyError(f"{self.consumer.name} does not know {prefix}") from None

    async def _handle_together(self, received: Sequence[Received]) -> list[Received]:
        """Run a batch in one transaction; gives back what must be run alone."""
        with self._traced(received) as traced:
            try:
                await self._run(received, traced)
            except TRANSIENT as error:
                traced.failed(error)
                await self._later([r.message for r in received], error)
            except Exception as error:
                traced.failed(error)
                log.exception(
                    "%s: a batch of %d failed, each runs alone", self.consumer.name, len(received)
                )
                return list(received)
            else:
                await self._ack([one.message for one in received])
                if self._given_back and all(one.delivery.deliveries == 1 for one in received):
                    self._given_back.clear()  # redeliveries come first: the rest went elsewhere
        return []

    def _traced(self, received: Sequence[Received]) -> contextlib.AbstractContextManager[Traced]:
        carried = [(one.event.id, one.event.traceparent) for one in received]
        return self._tracing.processing(self.consumer, carried)

    async def _handle_alone(self, one: Received) -> None:
        place = one.place
        self._suspects.discard(place)
        try:
            if place in self._not_its_fault:
                await self._note(self._queries.take_back_attempt, place)
                self._not_its_fault.discard(place)
            attempt = await self._begin_attempt(place)
            if attempt["attempts"] > ATTEMPTS:
                await self._give_up(one, place, attempt["problem"] or "the process died each time")
            else:
                await self._try(one, place, attempt["attempts"])
        except TRANSIENT as error:
            await self._later([one.message], error)

    async def _try(self, one: Received, place: int, attempts: int) -> None:
        with self._traced([one]) as traced:
            try:
                await self._run([one], traced)
            except TRANSIENT as error:
                traced.failed(error)
                # taken back at its next delivery: the database may be what is away
                self._not_its_fault.add(place)
                raise
            except asyncio.CancelledError:
                # the service stops, and what is remembered here goes with it
                with contextlib.suppress(*TRANSIENT):
                    await self._note(self._queries.take_back_attempt, place)
                raise
            except Exception as error:
                traced.failed(error)
                told = {"event_id": str(one.event.id)}
                log.exception(
                    "%s: event %s failed alone", self.consumer.name, one.event.id, extra=told
                )
                await self._note(self._queries.note_problem, place, _why(error))
                if attempts < ATTEMPTS:
                    self._suspects.add(place)  # its next delivery must not fail a batch again
                    await self._nak([one.message], random.uniform(*RETRY_AFTER))  # noqa: S311
                else:
                    await self._give_up(one, place, _why(error))
            else:
                await self._note(self._queries.forget_attempt, place)
                await self._ack([one.message])

    async def _give_up(self, one: Received, place: int, problem: str) -> None:
        """Dead-letter it. Where the breaker forbids that, its attempts begin anew."""
        await self._bury(one.message, "bug", problem)
        await self._note(self._queries.forget_attempt, place)

    async def _run(self, received: Sequence[Received], traced: Traced) -> None:
        events = {one.event.id: one.event for one in received}
        begun = time.perf_counter()
        try:
            async with self._work() as work:
                taken = await work.connection.fetch(
                    self._queries.take_fresh, self.consumer.name, list(events)
                )
                fresh = list(events.values())
                if len(taken) < len(fresh):  # nearly always every one of them is fresh
                    ids = {row["id"] for row in taken}
                    fresh = [event for event in fresh if event.id in ids]
                kept = await self._erasures.without_erased(work.connection, fresh)
                if kept:
                    await self._handle(kept, work)
        finally:
            self._metrics.batch_seconds.labels(self.consumer.name).observe(
                time.perf_counter() - begun, traced.exemplar
            )
        self._metrics.last_batch.labels(self.consumer.name).set_to_current_time()
        self._metrics.handled.labels(self.consumer.name).inc(len(fresh))
        self._metrics.repeated.labels(self.consumer.name).inc(len(received) - len(fresh))

    async def _begin_attempt(self, place: int) -> Any:
        async with self._database.transaction() as connection:
            return await connection.fetchrow(self._queries.begin_attempt, self.consumer.name, place)

    async def _note(self, query: str, place: int, *told: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(query, self.consumer.name, place, *told)

    async def _bury(self, message: Msg, reason: Reason, detail: str) -> None:
        """Dead-letter a message, and then end it. While the breaker is open it waits instead."""
        if self._breaker.note(dead=True):
            log.error("%s", self.paused)
            await self._nak([message], PAUSED_FOR)
            return
        try:
            await self._dead_letters.put(self.consumer, message, reason, detail)
            await message.term()
        except TRANSIENT as error:
            await self._later([message], error)
            return
        place = delivery_of(message).stream_sequence
        self._tracing.dead_letter(self.consumer, place, message.data, reason, detail)
        self._metrics.dead_lettered.labels(self.consumer.name, reason).inc()

    async def _ack(self, messages: Sequence[Msg]) -> None:
        # A lost ack costs one redelivery, which the inbox notices.
        with contextlib.suppress(*TRANSIENT):
            await wire.send(
                self._client(), (wire.acknowledgement(message.reply) for message in messages)
            )

    async def _later(self, messages: Sequence[Msg], error: BaseException) -> None:
        log.warning(
            "%s: %d events wait: %s: %s",
            self.consumer.name,
            len(messages),
            type(error).__name__,
            error,
        )
        self._metrics.retried.labels(self.consumer.name).inc(len(messages))
        self._given_back.update(delivery_of(message).stream_sequence for message in messages)
        await self._nak(messages, random.uniform(*RETRY_AFTER))  # noqa: S311

    async def _nak(self, messages: Sequence[Msg], delay: float) -> None:
        with contextlib.suppress(*TRANSIENT):  # then ack_wait brings them back
            for message in messages:
                await message.nak(delay=delay)


def _why(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)[:5]
        )
    return f"{type(error).__name__}: {error}"[:1000]
