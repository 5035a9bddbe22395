"""What a service tells of itself: metrics that all services have, and logs in JSON."""

import json
import logging
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import get_args

from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from klankbord_runtime import noise
from klankbord_runtime.deadletter import Reason

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
VERSION = version("klankbord-runtime")
"""The version of this build: all its packages are released together, under one number."""


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


class JsonLines(logging.Formatter):
    """One JSON object a line, with the ids of the trace, the span and the event, if any."""

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
        context = trace.get_current_span().get_span_context()
        if (trace_id := getattr(record, "trace_id", None)) is not None:
            entry["trace_id"] = trace_id
        elif context.is_valid:
            entry["trace_id"] = format_trace_id(context.trace_id)
            entry["span_id"] = format_span_id(context.span_id)
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
    # the last two write down every header when asked for details, and with it every token
    for noisy in ("faststream", "nats", "uvicorn.access", "httpx", "httpcore", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    noise.leave_out()
    # a collector that is away is told of once (otlp.py), not with every try
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
