"""A service's life: start, be ready, work, drain.

A service declares what it consumes, serves and does periodically; this runs it. Order of start:
database, door, bus. So a door accepts posts while the bus is away: they wait in the outbox.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
)
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from nats.aio.client import Client
from nats.errors import Error as NatsError
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from klankbord_runtime import bus, inbox, migrate, otlp, wire
from klankbord_runtime.accepted import AcceptedFile
from klankbord_runtime.consumer import BatchConsumer, Handler
from klankbord_runtime.db import Database, load_queries
from klankbord_runtime.deadletter import DeadLetters
from klankbord_runtime.erasure import Erasures, Forget
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.garbage import collected_by_the_clock
from klankbord_runtime.http_server import HttpServer, exposition
from klankbord_runtime.provision import consumer_config, drift
from klankbord_runtime.relay import Relay
from klankbord_runtime.republish import Republished, count, republish
from klankbord_runtime.settings import ServiceSettings
from klankbord_runtime.subscription import Subscription
from klankbord_runtime.telemetry import RuntimeMetrics
from klankbord_runtime.tracing import Answering, Tracing
from klankbord_runtime.watchdog import EXIT_CODE, Watchdog
from klankbord_runtime.work import Work
from klankbord_schemas import topology
from klankbord_schemas.member import MemberErased as Erased
from klankbord_schemas.topology import Consumer

log = logging.getLogger(__name__)

Hook: TypeAlias = Callable[[], Awaitable[None]]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Check: TypeAlias = Callable[[], str | None]

DRAIN_TIMEOUT = 20.0
"""Seconds that work in hand gets to finish after SIGTERM."""
LOOK_EVERY = 2.0
TIDY_EVERY = 300.0
REFRESH_EVERY = 2.0


@dataclass(frozen=True)
class _Task:
    name: str
    seconds: float
    run: Hook


class Service:
    """One service: built by its `app.py`, run by its `__main__.py`."""

    def __init__(self, name: str, settings: ServiceSettings) -> None:
        self.name = name
        self.settings = settings
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # its memory, and the processor's time
        self.metrics = RuntimeMetrics(self.registry, name)
        self.metrics.ready.set_function(lambda: not self.problems)
        resource, endpoint = otlp.resource_of(name), settings.telemetry.otlp_endpoint
        spans = None if endpoint is None else otlp.Spans(endpoint)
        self.tracing = Tracing(resource, settings.telemetry.trace_ratio, spans)
        self._sent_metrics = (
            None if endpoint is None else otlp.Metrics(endpoint, resource, self.registry.collect)
        )
        self.database = Database(
            settings.postgres.connection_url,
            name,
            settings.postgres.pool_size,
            self.metrics.database_errors.inc,
        )
        self.broker = bus.make_broker(
            name, settings.nats, self._bus_error, self._bus_lost, self._bus_reconnected
        )
        self._queries = load_queries("klankbord_runtime")
        self._relay = Relay(
            self.database,
            self._client,
            self._queries,
            settings.outbox,
            self.metrics,
            self.tracing,
        )
        self._dead_letters = DeadLetters(self._client)
        self.erasures = Erasures(name, self.database, self._queries)
        """Who is forgotten, for what takes in otherwise than from the bus."""
        self._watchdog = Watchdog(lambda: self.connected or not self._was_connected)
        self._subscriptions: list[Subscription] = []
        self._files: dict[str, AcceptedFile[Any]] = {}
        self._files_in_force = asyncio.Event()
        self._checks: list[Check] = []
        self._start_hooks: list[Hook] = []
        self._tasks: list[_Task] = []
        self._routes: list[Route] = []
        self._problems: list[str] = ["starting"]
        self.port = settings.http.port
        """Where it listens, once it runs."""
        self._was_connected = False
        self._stopping = asyncio.Event()

    # -- what a service declares -----------------------------------------------------------------

    def consumer(self, name: str) -> Callable[[Handler], Handler]:
        """Decorate the handler of a durable consumer of the topology.

        The handler gets the events of a batch that were not handled before, decoded and in stream
        order, and the `Work` that they are handled in. Raising means a bug: each event of the
        batch is then run alone.
        """
        consumer = topology.consumer(name)
        if consumer.service != self.name:
            raise ValueError(f"{name} belongs to {consumer.service}, not to {self.name}")
        self.metrics.expect(name)

        def declare(handle: Handler) -> Handler:
            batches = BatchConsumer(
                consumer,
                handle,
                self._client,
                self.database,
                self._queries,
                self._dead_letters,
                self.erasures,
                self.work,
                self.metrics,
                self.tracing,
            )
            self._subscriptions.append(Subscription(self.broker, batches, self._client))
            return handle

        return declare

    def forgets(self, forget: Forget) -> Forget:
        """Decorate what forgets a person: removes the service's own rows, in one transaction.

        It is called when an erasure is heard on `<service>-erasures`, perhaps more than once. From
        then on no consumer is given an event about that person. The runtime sees to the outbox, and
        says when it is done.
        """

        @self.consumer(f"{self.name}-erasures")
        async def on_erasures(events: list[Erased], work: Work) -> None:
            for event in events:
                await self.erasures.complete(event, forget, work)

        return forget

    def every(self, seconds: float) -> Callable[[Hook], Hook]:
        """Decorate what each replica does periodically. A failure is logged, counted, retried."""

        def declare(run: Hook) -> Hook:
            self._tasks.append(_Task(getattr(run, "__name__", "tick"), seconds, run))
            return run

        return declare

    def on_start(self, hook: Hook) -> Hook:
        """Decorate what is done once: the database is there, nothing is consumed yet."""
        self._start_hooks.append(hook)
        return hook

    def route(self, path: str, endpoint: Endpoint, methods: list[str]) -> None:
        """Serve a path. The endpoint finds how its request is traced with `answering`."""

        async def traced(request: Request) -> Response:
            with self.tracing.request(request, path) as answering:
                request.state.answering = answering
                response = await endpoint(request)
                answering.status = response.status_code
            return response

        self._routes.append(Route(path, traced, methods=methods))

    def ready_when(self, check: Check) -> None:
        """Be ready only while this gives None; else it says why not."""
        self._checks.append(check)

    def keep(self, file: AcceptedFile[Any]) -> None:
        """Keep a configuration file in force: load it at the start, follow what is applied."""
        self._files[file.name] = file
        self.ready_when(lambda: None if file.accepted else file.problem)

    @property
    def files(self) -> Mapping[str, AcceptedFile[Any]]:
        """The configuration files that are kept in force, by name."""
        return self._files

    # -- what a service uses ---------------------------------------------------------------------

    @asynccontextmanager
    async def work(self) -> AsyncIterator[Work]:
        """A transaction whose rows and events are committed together; the relay is woken after."""
        async with self.database.transaction() as connection:
            work = Work(connection, datetime.now(UTC))
            yield work
            await work.write_outbox(self._queries)
        if work.emitted:
            self._relay.wake()
        work.committed()

    @property
    def outbox_full(self) -> bool:
        """Whether so much waits to be published that a door must not accept more."""
        return self._relay.full

    @property
    def connected(self) -> bool:
        """Whether the bus is within reach."""
        client = self._connected_client
        return client is not None and client.is_connected

    @property
    def problems(self) -> list[str]:
        """Why the service is not ready; empty when it is."""
        found = [reason for check in self._checks if (reason := check()) is not None]
        found += [reason for s in self._subscriptions if (reason := s.batches.paused) is not None]
        if self._stopping.is_set():
            found.append("stopping")
        return self._problems + found

    # -- life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then drain.

        Raises:
            SchemaBehindError: the database lacks migrations; says which command applies them.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        async with self.running(), collected_by_the_clock():
            await self._stopping.wait()
            log.info("%s drains", self.name)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything; on the way out, let work in hand finish and close everything."""
        await self._open_database()
        server = HttpServer(self._application(), self.settings.http.host, self.settings.http.port)
        self.port = server.port
        tasks: list[asyncio.Task[None]] = []
        try:
            for hook in self._start_hooks:
                await hook()
            self._watchdog.start()
            tasks += [
                # the door opens after the hooks: before, it might turn away who is right
                asyncio.create_task(server.serve_here(), name="http"),
                asyncio.create_task(self._watchdog.beat(), name="heartbeat"),
                *(asyncio.create_task(self._repeat(task), name=task.name) for task in self._own()),
                *(asyncio.create_task(self._repeat(task), name=task.name) for task in self._tasks),
                asyncio.create_task(self._end_unless(self._consume()), name="consume"),
            ]
            log.info("%s listens on %s:%d", self.name, self.settings.http.host, server.port)
            yield
        finally:
            self._stopping.set()
            await self._drain(server, tasks)

    async def open(self) -> None:
        """Open the database alone, for a command that does one thing and ends.

        Raises:
            OSError, asyncpg.PostgresError: the database is not there.
        """
        await self.database.connect()

    async def close(self) -> None:
        """Close what `open` opened."""
        await self.database.close()

    async def waiting_to_be_sent(self) -> int:
        """How many events are in the outbox and not on the bus yet; `open` first."""
        async with self.database.connection() as connection:
            load = await connection.fetchrow(self._queries.outbox_load)
        assert load is not None
        pending: int = load["pending"]
        return pending

    async def republish(self, since: datetime, *, dry_run: bool = False) -> Republished:
        """Publish again what was sent since then, for a bus that lost it; `open` first.

        Args:
            since: a moment, with its time zone.
            dry_run: count only; nothing is published.

        Raises:
            CutShortError: a server did not do its part; says from when to go on.
            OSError, nats.errors.Error, asyncpg.PostgresError: a server is not there.
        """
        until = datetime.now(UTC)
        if dry_run:
            return await count(self.database, self._queries, since, until)
        if not await bus.reachable(self.settings.nats.url):
            raise ConnectionRefusedError(f"NATS does not answer at {self.settings.nats.url}")
        await self.broker.connect()
        self._was_connected = True
        try:
            return await republish(self.database, self._queries, self._client(), since, until)
        finally:
            await self.broker.stop()

    async def _open_database(self) -> None:
        while True:
            try:
                await self.database.connect()
                async with self.database.connection() as connection:
                    await migrate.check(connection, f"klankbord_{self.name}")
                    for file in self._files.values():
                        await file.load(connection)
                await self._relay.tidy(datetime.now(UTC))
            except TRANSIENT as error:
                log.warning("waiting for the database: %s: %s", type(error).__name__, error)
                await self.database.close()
                await asyncio.sleep(1)
            else:
                return

    async def _consume(self) -> None:
        while not await bus.reachable(self.settings.nats.url):
            log.warning("waiting for the bus at %s", self.settings.nats.url)
            await asyncio.sleep(1)
        await self._connect()
        self._was_connected = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relay.run())
            group.create_task(self._start_consumers())

    async def _connect(self) -> None:
        while True:
            try:
                await self.broker.connect()
            except TRANSIENT as error:
                log.warning("the bus does not let us in: %s: %s", type(error).__name__, error)
                await asyncio.sleep(1)
            else:
                return

    async def _start_consumers(self) -> None:
        """Read the bus, once every file that decides about events is in force."""
        await self._files_in_force.wait()
        await self.broker.start()

    async def _end_unless(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what must not end before the service does; if it fails, the process ends with it."""
        try:
            await work
        except Exception:
            log.critical("ending the process, for its supervisor to start it anew", exc_info=True)
            os._exit(EXIT_CODE)

    async def _drain(self, server: HttpServer, tasks: list[asyncio.Task[None]]) -> None:
        server.should_exit = True
        async with asyncio.TaskGroup() as group:
            for subscription in self._subscriptions:
                group.create_task(subscription.drain(DRAIN_TIMEOUT))
        await asyncio.gather(*tasks[:1], return_exceptions=True)  # the door closes by itself
        await _end(tasks[1:])
        if self.connected:
            with suppress(*TRANSIENT):  # what stays in the outbox is published by the next to run
                async with asyncio.timeout(5):
                    while await self._relay.publish_round():
                        pass
        if self._was_connected:
            with suppress(*TRANSIENT):
                await self.broker.stop()
        self._watchdog.stop()
        await self.database.close()
        await self._send_metrics()
        await asyncio.to_thread(self._close_telemetry)

    def _close_telemetry(self) -> None:
        self.tracing.close()
        if self._sent_metrics is not None:
            self._sent_metrics.close()

    def _own(self) -> list[_Task]:
        async def tidy() -> None:
            await self._relay.tidy(datetime.now(UTC))

        async def forget_ids() -> None:
            if self.connected:
                streams = {s.batches.consumer.stream for s in self._subscriptions}
                kept = timedelta(hours=self.settings.outbox.kept_hours)
                await inbox.prune(self.database, self._queries, self._client(), streams, kept)

        async def refresh() -> None:
            async with self.database.connection() as connection:
                for file in self._files.values():
                    await file.refresh(connection)
            if all(file.accepted for file in self._files.values()):
                self._files_in_force.set()

        own = [
            _Task("look", LOOK_EVERY, self._look),
            _Task("tidy", TIDY_EVERY, tidy),
            _Task("forget_ids", TIDY_EVERY, forget_ids),
            _Task("refresh", REFRESH_EVERY, refresh),
        ]
        if self._sent_metrics is not None:
            every = self.settings.telemetry.metrics_every
            own.append(_Task("send metrics", every, self._send_metrics))
        return own

    async def _repeat(self, task: _Task) -> None:
        while True:
            try:
                await task.run()
            except TRANSIENT as error:
                self.metrics.tick_failures.labels(task.name).inc()
                log.warning("%s: %s: %s", task.name, type(error).__name__, error)
            except Exception:
                self.metrics.tick_failures.labels(task.name).inc()
                log.exception("%s failed", task.name)
            await asyncio.sleep(task.seconds)

    async def _send_metrics(self) -> None:
        if self._sent_metrics is not None:
            self._sent_metrics.send(time.time())

    async def _look(self) -> None:
        """See whether the service is fit for work; `/readyz` says what this found."""
        self.metrics.loop_lag.set(self._watchdog.lag)
        problems: list[str] = []
        try:
            await self._relay.look()
        except TRANSIENT as error:
            problems.append(f"the database does not answer: {error or type(error).__name__}")
        if self._relay.refusal is not None:
            problems.append(f"the bus refuses what is said, and it waits: {self._relay.refusal}")
        if not self.connected:
            problems.append("the bus is out of reach")
        else:
            for subscription in self._subscriptions:
                problems += await self._consumer_problems(subscription.batches.consumer)
        self._problems = problems

    async def _consumer_problems(self, consumer: Consumer) -> list[str]:
        try:
            state = await bus.consumer_state(self._client(), consumer.stream, consumer.name)
        except TRANSIENT as error:
            return [f"{consumer.name}: the bus does not answer: {error or type(error).__name__}"]
        if state is None:
            return [f"{consumer.name} does not exist: run `klankbord provision`"]
        differences = drift(consumer_config(consumer), state["config"])
        return [
            f"{consumer.name} {difference}: run `klankbord provision`" for difference in differences
        ]

    def _client(self) -> Client:
        client = self._connected_client
        if client is None:
            raise NatsError("the bus is not connected yet")
        return client

    @property
    def _connected_client(self) -> Client | None:
        if not self._was_connected:
            return None
        return self.broker.config.broker_config.connection_state.connection

    async def _bus_error(self, error: Exception) -> None:
        log.warning("bus: %s: %s", type(error).__name__, error)
        self._show_key_of_today()

    async def _bus_lost(self) -> None:
        self._show_key_of_today()

    def _show_key_of_today(self) -> None:
        """The seed may be another one by now (`klankbord rotate`): nats-py signs with that."""
        client = self._connected_client
        seed_file = self.settings.nats.seed_file
        if client is not None and not client.is_connected and seed_file is not None:
            wire.show_key(client, seed_file)

    async def _bus_reconnected(self) -> None:
        log.info("the bus is back")
        for subscription in self._subscriptions:
            subscription.reconnected()
        self._relay.wake()

    # -- http ------------------------------------------------------------------------------------

    def _application(self) -> Starlette:
        return Starlette(
            routes=[
                *self._routes,  # first: they are tried in this order, and these are asked most
                Route("/livez", self._livez),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
            ]
        )

    async def _livez(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _readyz(self, _request: Request) -> Response:
        problems = self.problems
        return JSONResponse(
            {"ready": not problems, "problems": problems}, status_code=503 if problems else 200
        )

    async def _metrics(self, request: Request) -> Response:
        return exposition(self.registry, request)


def answering(request: Request) -> Answering:
    """How this request of a service's own door is traced."""
    found: Answering = request.state.answering
    return found


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until each has ended: nats-py swallows a cancellation that comes while it flushes."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=1)
