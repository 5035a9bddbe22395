"""What a service tells of itself: logs in JSON, traces across the bus, metrics of its own."""

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, get_args

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    format_trace_id,
    set_span_in_context,
)
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from klankbord_runtime import noise
from klankbord_runtime.deadletter import Reason
from klankbord_runtime.settings import TelemetrySettings
from klankbord_schemas.event import Event
from klankbord_schemas.topology import Consumer

log = logging.getLogger(__name__)

WELL_FORMED = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
VERSION = version("klankbord-runtime")
"""The version of this build: all its packages are released together, under one number."""
MOST_LINKS = 128
"""OpenTelemetry's own default limit of links on a span."""


class RuntimeMetrics:
    """What every service measures of its own running."""

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        consumer = ["consumer"]
        # Gauge: 1, with the service's name and its version
        build_info = Gauge(
            "klankbord_build_info", "What runs here", ["service", "version"], registry=registry
        )
        build_info.labels(service, VERSION).set(1)
        # Gauge: 1 when /readyz says that the service is ready, else 0
        self.ready = Gauge(
            "klankbord_ready", "Whether the service is ready for work", registry=registry
        )
        # Counter: times that the database was away, or could not do its part, whoever asked it
        self.database_errors = Counter(
            "klankbord_database_errors", "Transient faults of the database", registry=registry
        )
        # Counter: events handled for the first time, by consumer
        self.handled = Counter(
            "klankbord_events_handled", "Events handled", consumer, registry=registry
        )
        # Counter: events that had been handled before, by consumer
        self.repeated = Counter(
            "klankbord_events_repeated",
            "Events delivered again after they were handled",
            consumer,
            registry=registry,
        )
        # Counter: events of a stream that is read whole which others read, by consumer
        self.passed_over = Counter(
            "klankbord_events_passed_over",
            "Events delivered that are for other consumers",
            consumer,
            registry=registry,
        )
        # Counter: deliveries given back because of a transient fault, by consumer
        self.retried = Counter(
            "klankbord_events_retried", "Deliveries given back", consumer, registry=registry
        )
        # Counter: events that became dead letters, by consumer and reason
        self.dead_lettered = Counter(
            "klankbord_events_dead_lettered",
            "Events that could not be handled",
            ["consumer", "reason"],
            registry=registry,
        )
        # Time: one batch from its transaction's begin to its commit, by consumer
        self.batch_seconds = Histogram(
            "klankbord_batch_seconds",
            "Seconds per batch",
            consumer,
            buckets=SECONDS,
            registry=registry,
        )
        # Gauge: when a batch was last handled and committed, in seconds since 1970, by consumer
        self.last_batch = Gauge(
            "klankbord_last_batch_timestamp_seconds",
            "When a batch was last committed",
            consumer,
            registry=registry,
        )
        # Counter: events that the relay put on the bus
        self.published = Counter(
            "klankbord_outbox_published", "Events put on the bus", registry=registry
        )
        # Counter: rounds of the relay in which the server refused something, as a full stream does
        self.refused = Counter(
            "klankbord_outbox_refused", "Rounds that the server refused", registry=registry
        )
        # Gauge: events that committed and are not on the bus yet
        self.outbox_pending = Gauge(
            "klankbord_outbox_pending", "Events waiting for the relay", registry=registry
        )
        # Gauge: age of the oldest of them
        self.outbox_age = Gauge(
            "klankbord_outbox_age_seconds", "Age of the oldest event waiting", registry=registry
        )
        # Gauge: bytes that the outbox keeps for a replay
        self.outbox_bytes = Gauge("klankbord_outbox_bytes", "Bytes kept", registry=registry)
        # Counter: ticks that failed, by task
        self.tick_failures = Counter(
            "klankbord_tick_failures", "Periodic tasks that failed", ["task"], registry=registry
        )
        # Gauge: how late the event loop runs
        self.loop_lag = Gauge(
            "klankbord_loop_lag_seconds", "How late the event loop is", registry=registry
        )

    def expect(self, consumer: str) -> None:
        """Show what counts a consumer's events from the start: a rate sees no first increase."""
        for counter in (self.handled, self.repeated, self.passed_over, self.retried):
            counter.labels(consumer)
        for reason in get_args(Reason):
            self.dead_lettered.labels(consumer, reason)


class Tracing:
    """One post's way through the services.

    A trace begins at a door; events carry its `traceparent`. A batch is one span, linked to the
    recorded traces of its events, and each of those gets a span of its own: so one trace shows
    every service, and a batch of thousands costs one span.
    """

    def __init__(self, service: str, settings: TelemetrySettings) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": f"klankbord-{service}"}),
            sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio)),
            shutdown_on_exit=False,
        )
        if settings.otlp_endpoint is not None:
            exporter = OTLPSpanExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("klankbord")
        self._ratio = settings.trace_ratio

    def begin(self, incoming: str | None = None) -> str:
        """The `traceparent` of what a door receives: the one that came with it, else a new one."""
        if incoming is not None and WELL_FORMED.fullmatch(incoming) and context_of(incoming):
            return incoming
        ids = secrets.token_hex(24)
        trace_id, span_id = ids[:32], ids[32:]
        sampled = int(trace_id[16:], 16) < self._ratio * 2**64
        return f"00-{trace_id}-{span_id}-{sampled:02x}"

    @contextmanager
    def door(self, service: str, traceparent: str | None) -> Iterator[None]:
        """Trace what a door receives, where its trace is recorded."""
        context = None if traceparent is None else _recorded(traceparent)
        if context is None:
            yield
            return
        parent = set_span_in_context(NonRecordingSpan(context))
        with self.tracer.start_as_current_span(
            f"receive {service}", context=parent, kind=SpanKind.SERVER
        ):
            yield
            log.info("%s accepted a delivery", service)

    @contextmanager
    def batch(self, consumer: Consumer, events: Sequence[Event[Any]]) -> Iterator[None]:
        """Trace the handling of a batch."""
        recorded = [
            (event, context)
            for event in events
            if event.traceparent is not None and (context := _recorded(event.traceparent))
        ]
        attributes = {
            "messaging.system": "nats",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": consumer.stream,
            "messaging.consumer.group.name": consumer.name,
        }
        begun = time.time_ns()
        links = [Link(context) for _, context in recorded[:MOST_LINKS]]
        with self.tracer.start_as_current_span(
            f"process {consumer.stream}",
            links=links,
            kind=SpanKind.CONSUMER,
            attributes=attributes | {"messaging.batch.message_count": len(events)},
        ) as span:
            yield
        for event, context in recorded:
            own = self.tracer.start_span(
                f"process {consumer.name}",
                context=set_span_in_context(NonRecordingSpan(context)),
                kind=SpanKind.CONSUMER,
                links=[Link(span.get_span_context())],
                attributes=attributes | {"messaging.message.id": str(event.id)},
                start_time=begun,
            )
            own.end()
            log.info(
                "%s handled %s",
                consumer.name,
                event.type,
                extra={"trace_id": format_trace_id(context.trace_id), "event_id": str(event.id)},
            )

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def context_of(traceparent: str) -> SpanContext | None:
    """Read a W3C `traceparent` (version 00); None when it is not one."""
    parts = traceparent.split("-")
    if [len(part) for part in parts] != [2, 32, 16, 2]:
        return None
    try:
        _, trace_id, span_id, flags = (int(part, 16) for part in parts)
    except ValueError:
        return None
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def _recorded(traceparent: str) -> SpanContext | None:
    return context_of(traceparent) if traceparent.endswith("1") else None


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, service, logger, message, and the trace, if any."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace_id = getattr(record, "trace_id", None)
        if trace_id is None:
            context = trace.get_current_span().get_span_context()
            trace_id = format_trace_id(context.trace_id) if context.is_valid else None
        if trace_id is not None:
            entry["trace_id"] = trace_id
        if (event_id := getattr(record, "event_id", None)) is not None:
            entry["event_id"] = event_id
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def log_to_stderr(service: str, level: str) -> None:
    """Write every log record of this process to stderr, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("faststream", "nats", "uvicorn.access", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    noise.leave_out()
