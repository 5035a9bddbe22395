"""Traces across the bus, by OpenTelemetry's semantic conventions for messaging and HTTP.

A trace begins at a door, and events carry its `traceparent` on. Which traces are recorded is
decided there, once, by `trace_ratio`. What is recorded of a trace is a span per request, and a span
per event for each time that the event is published or handled; a batch is one span more, linked to
the recorded events that are in it. So a batch of thousands costs one span and a few.

**Errors are kept whatever was decided.** Each batch has a span that is not sent unless it holds a
recorded event, or fails: so the normal case costs one span per batch that is thrown away. A request
that is answered with 5xx, an event that fails alone, and one that becomes a dead letter get theirs
afterwards, in the trace that the event belongs to. Such a span has status `ERROR`, the exception
and `error.type`; the trace around it, which was not recorded, is not there. Beyond `MOST_ERRORS` a
second none is sent: they would say no more.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

import logging
import random
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes
from starlette.requests import Request

from klankbord_schemas.topology import Consumer

log = logging.getLogger(__name__)

WELL_FORMED = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
CARRIED = re.compile(rb'"traceparent":"([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})"')
"""How an event that is not decoded carries it. Inside a text its quotes would be escaped."""
ENDS = frozenset("13579bdf")
"""How a `traceparent` ends whose trace is recorded: the lowest bit of its flags is set."""
SAMPLED, UNSAMPLED = "klankbord", "klankbord.unsampled"
"""The scopes of spans: the second one's are sent only if they failed, and are of traces that are
not recorded."""
MOST_LINKS = 128
"""OpenTelemetry's own default limit of links on a span."""
MOST_ERRORS = 100
"""Of unrecorded traces that are sent in a second: a door may turn away thousands."""
CLOSE_PATIENCE = 5.0
"""Seconds that what is left gets to be sent when the service ends."""

Carried = tuple[UUID | str, str | None]
"""An event's id, and its `traceparent`."""


class Traced:
    """Something that is being traced."""

    def __init__(self, span: Span, recorded: Sequence[tuple[UUID | str, SpanContext]] = ()) -> None:
        self.span = span
        self.recorded = recorded
        """The events that are in it and whose traces are recorded."""
        self.error: BaseException | None = None
        self.has_failed = False

    def failed(self, error: BaseException) -> None:
        """It fails, and this is why."""
        self.error, self.has_failed = error, True

    @property
    def exemplar(self) -> dict[str, str] | None:
        """What leads from a measurement to this; None where it is not recorded."""
        return exemplar_of(self.span.get_span_context()) if self.recorded else None


class Answering:
    """A request that is being answered."""

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent
        """What the events that come of it carry on."""
        self.status: int | None = None
        self.error: BaseException | None = None

    def failed(self, error: BaseException) -> None:
        """It cannot be answered as it should be, and this is why."""
        self.error = error

    @property
    def exemplar(self) -> dict[str, str] | None:
        """What leads from a measurement to this; None where it is not recorded."""
        return exemplar(self.traceparent)

    @property
    def error_type(self) -> str | None:
        """What went wrong on our side; None if nothing did."""
        if self.error is not None:
            return type(self.error).__name__
        if self.status is None or self.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return None  # without a status whoever asked has gone, or the service ends
        return str(self.status)


class Tracing:
    """The traces of one service."""

    def __init__(self, resource: Resource, ratio: float, exporter: SpanExporter | None) -> None:
        """Send nothing yet.

        Args:
            resource: who sends.
            ratio: which part of the traces that begin here is recorded, from 0 to 1.
            exporter: where spans are sent; none sends them nowhere.
        """
        self._ratio = ratio
        self._is_sent = exporter is not None
        self._provider = TracerProvider(
            resource=resource,
            # where nothing is sent, a span is no more than its ids, for the log
            sampler=ALWAYS_ON if self._is_sent else ALWAYS_OFF,
            shutdown_on_exit=False,
        )
        if exporter is not None:
            self._provider.add_span_processor(_KeepingErrors(BatchSpanProcessor(exporter)))
        self._sampled = self._provider.get_tracer(SAMPLED)
        self._unsampled = self._provider.get_tracer(UNSAMPLED)

    def begin(self, incoming: str | None = None) -> str:
        """The `traceparent` of what comes in: the one that came with it, else a new one."""
        if incoming is not None and context_of(incoming):
            return incoming
        return traceparent_of(_new_context(sampled=self._chosen))

    @contextmanager
    def request(self, request: Request, route: str) -> Iterator[Answering]:
        """Trace a request at a door.

        Args:
            request: what came.
            route: the path as it was declared, such as `/v1/things/{name}`.
        """
        incoming = context_of(request.headers.get("traceparent", ""))
        is_sampled = self._chosen if incoming is None else incoming.trace_flags.sampled
        if is_sampled:
            with self._sampled_request(request, route, incoming) as answering:
                yield answering
            return
        begun = time.time_ns()
        parent = incoming or _new_context(sampled=False)
        answering = Answering(traceparent_of(parent))
        try:
            yield answering
        except Exception as error:
            answering.failed(error)
            raise
        finally:
            if answering.error_type is not None:
                span = self._start(
                    f"{request.method} {route}",
                    SpanKind.SERVER,
                    parent,
                    sampled=False,
                    attributes=_of_request(request, route),
                    begun=begun,
                )
                _end_request(span, answering)

    @contextmanager
    def _sampled_request(
        self, request: Request, route: str, parent: SpanContext | None
    ) -> Iterator[Answering]:
        name = f"{request.method} {route}"
        attributes = _of_request(request, route)
        if parent is None and not self._is_sent:
            parent = _new_context(sampled=True)
        span = self._start(name, SpanKind.SERVER, parent, sampled=True, attributes=attributes)
        carried = parent if parent is not None and not self._is_sent else span.get_span_context()
        answering = Answering(traceparent_of(carried))
        with _current(span):
            try:
                yield answering
            except Exception as error:
                answering.failed(error)
                raise
            finally:
                log.info("%s is answered with %s", name, answering.status)
                _end_request(span, answering)

    @contextmanager
    def processing(self, consumer: Consumer, events: Sequence[Carried]) -> Iterator[Traced]:
        """Trace the handling of a batch, or of an event that is alone."""
        attributes = _of_messages("process", "process", consumer.stream) | {
            "messaging.consumer.group.name": consumer.name
        }
        name = f"process {consumer.stream}"
        with self._messages(name, SpanKind.CONSUMER, attributes, events) as traced:
            yield traced
        if not traced.has_failed:
            for identity, context in traced.recorded:
                log.info("%s handled %s", consumer.name, identity, extra=_told(identity, context))

    @contextmanager
    def publishing(self, stream: str, events: Sequence[tuple[UUID | str, bytes]]) -> Iterator[None]:
        """Trace the publication of a batch of encoded events.

        Args:
            stream: which stream keeps them.
            events: the id and the bytes of each.
        """
        attributes = _of_messages("send", "publish", stream)
        carried = [(identity, carried_by(body)) for identity, body in events]
        with self._messages(f"publish {stream}", SpanKind.PRODUCER, attributes, carried):
            yield

    def dead_letter(
        self, consumer: Consumer, place: int, body: bytes, reason: str, detail: str
    ) -> None:
        """Trace that an event is given up, in the trace that it belongs to.

        Args:
            consumer: which cannot handle it.
            place: its place in its stream.
            body: its bytes.
            reason: what is wrong, in a word.
            detail: what is wrong.
        """
        attributes = _of_messages("settle", "term", consumer.stream) | {
            "messaging.consumer.group.name": consumer.name,
            "klankbord.stream.sequence": place,
            "error.type": reason,
        }
        parent = context_of(carried_by(body) or "")
        sampled = parent is not None and parent.trace_flags.sampled
        name = f"term {consumer.stream}"
        span = self._start(name, SpanKind.CONSUMER, parent, sampled=sampled, attributes=attributes)
        span.set_status(StatusCode.ERROR, detail)
        span.end()

    def close(self) -> None:
        """Send what is left, if that can be done soon. It blocks: call it in a thread."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces end", daemon=True)
        closing.start()
        closing.join(CLOSE_PATIENCE)

    @property
    def _chosen(self) -> bool:
        """Whether a trace that begins now is recorded."""
        return random.random() < self._ratio  # noqa: S311 - no secret

    @contextmanager
    def _messages(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        events: Sequence[Carried],
    ) -> Iterator[Traced]:
        """Trace what is done with these messages: as one of its trace, or as a batch of many."""
        begun = time.time_ns()
        if len(events) == 1:
            traced = self._one(name, kind, attributes, events[0])
        else:
            traced = self._batch(name, kind, attributes, events)
        try:
            with _current(traced.span):
                yield traced
        except Exception as error:
            traced.failed(error)
            raise
        finally:
            batch = traced.span.get_span_context()
            if traced.error is not None and len(events) > 1:
                _link_unrecorded(traced.span, events)
            _end(traced.span, traced.error)
            for identity, context in traced.recorded if len(events) > 1 else ():
                span = self._start(
                    name,
                    kind,
                    context,
                    sampled=True,
                    attributes={**attributes, "messaging.message.id": str(identity)},
                    links=[Link(batch)],
                    begun=begun,
                )
                _end(span, traced.error)
            traced.error = None  # its frames refer to this: a circle, which would keep the events

    def _one(
        self, name: str, kind: SpanKind, attributes: Mapping[str, str | int], event: Carried
    ) -> Traced:
        identity, traceparent = event
        parent = context_of(traceparent or "")
        sampled = parent is not None and parent.trace_flags.sampled
        told = {**attributes, "messaging.message.id": str(identity)}
        span = self._start(name, kind, parent, sampled=sampled, attributes=told)
        return Traced(span, [(identity, parent)] if sampled and parent is not None else ())

    def _batch(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        events: Sequence[Carried],
    ) -> Traced:
        recorded = [
            (identity, context)
            for identity, traceparent in events
            if traceparent is not None and (context := _recorded(traceparent))
        ]
        span = self._start(
            name,
            kind,
            parent=None,
            sampled=bool(recorded),
            attributes={**attributes, "messaging.batch.message_count": len(events)},
            links=[Link(context) for _, context in recorded[:MOST_LINKS]],
        )
        return Traced(span, recorded)

    def _start(
        self,
        name: str,
        kind: SpanKind,
        parent: SpanContext | None,
        *,
        sampled: bool,
        attributes: Attributes,
        links: Sequence[Link] = (),
        begun: int | None = None,
    ) -> Span:
        around = Context()
        if parent is not None:
            around = set_span_in_context(NonRecordingSpan(parent), around)
        return (self._sampled if sampled else self._unsampled).start_span(
            name,
            context=around,
            kind=kind,
            attributes=attributes,
            links=links,
            start_time=begun,
        )


class _KeepingErrors(SpanProcessor):
    """Sends the spans that are sampled, and those that failed."""

    def __init__(self, sending: BatchSpanProcessor) -> None:
        self._sending = sending
        self._second = 0
        self._errors = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Send it, or forget it."""
        scope = span.instrumentation_scope
        is_sampled = scope is None or scope.name != UNSAMPLED
        if is_sampled or (span.status.status_code is StatusCode.ERROR and self._has_room()):
            self._sending.on_end(span)

    def _has_room(self) -> bool:
        """Whether this second did not have its errors yet."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._errors = second, 0
        self._errors += 1
        return self._errors <= MOST_ERRORS

    def shutdown(self) -> None:
        """Send what is left, and no more."""
        self._sending.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is left."""
        return self._sending.force_flush(timeout_millis)


@contextmanager
def _current(span: Span) -> Iterator[None]:
    """What is logged meanwhile belongs to this span."""
    with trace.use_span(span, record_exception=False, set_status_on_exception=False):
        yield


def _end(span: Span, error: BaseException | None) -> None:
    if error is not None:
        span.set_attribute("error.type", type(error).__name__)
        span.record_exception(error)
        span.set_status(StatusCode.ERROR, str(error) or type(error).__name__)
    span.end()


def _link_unrecorded(span: Span, events: Sequence[Carried]) -> None:
    """Say which traces failed with a batch beside those that are recorded, and are linked."""
    for _, traceparent in events[:MOST_LINKS]:
        if traceparent is not None and not _recorded(traceparent):
            context = context_of(traceparent)
            if context is not None:
                span.add_link(context)


def _end_request(span: Span, answering: Answering) -> None:
    if answering.status is not None:
        span.set_attribute("http.response.status_code", answering.status)
    if answering.error is None and answering.error_type is not None:
        span.set_attribute("error.type", answering.error_type)
        span.set_status(StatusCode.ERROR)
    _end(span, answering.error)
    answering.error = None  # its frames refer to this: a circle, which would keep the body


def _of_request(request: Request, route: str) -> dict[str, str]:
    return {
        "http.request.method": request.method,
        "http.route": route,
        "url.path": request.url.path,
        "url.scheme": request.url.scheme,
    }


def _of_messages(operation_type: str, operation: str, stream: str) -> dict[str, str | int]:
    return {
        "messaging.system": "nats",
        "messaging.operation.type": operation_type,
        "messaging.operation.name": operation,
        "messaging.destination.name": stream,
    }


def _told(identity: UUID | str, context: SpanContext) -> dict[str, str]:
    """What a log line about an event says of it."""
    return {"trace_id": format_trace_id(context.trace_id), "event_id": str(identity)}


def _new_context(*, sampled: bool) -> SpanContext:
    """Ids that nobody has yet."""
    ids = secrets.token_hex(24)
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(int(ids[:32], 16), int(ids[32:], 16), is_remote=True, trace_flags=flags)


def context_of(traceparent: str) -> SpanContext | None:
    """Read a W3C `traceparent` (version 00); None when it is not one."""
    if WELL_FORMED.fullmatch(traceparent) is None:
        return None
    _, trace_id, span_id, flags = (int(part, 16) for part in traceparent.split("-"))
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def traceparent_of(context: SpanContext) -> str:
    """Write a W3C `traceparent`."""
    trace_id, span_id = format_trace_id(context.trace_id), format_span_id(context.span_id)
    return f"00-{trace_id}-{span_id}-{context.trace_flags & TraceFlags.SAMPLED:02x}"


def carried_by(body: bytes) -> str | None:
    """The `traceparent` of an encoded event; None where it has none."""
    found = CARRIED.search(body)
    return None if found is None else found[1].decode()


def exemplar(traceparent: str | None) -> dict[str, str] | None:
    """What leads from a measurement to its trace, where that is recorded."""
    context = None if traceparent is None else _recorded(traceparent)
    return None if context is None else exemplar_of(context)


def exemplar_of(context: SpanContext) -> dict[str, str]:
    """What leads from a measurement to this span."""
    return {
        "trace_id": format_trace_id(context.trace_id),
        "span_id": format_span_id(context.span_id),
    }


def _recorded(traceparent: str) -> SpanContext | None:
    return context_of(traceparent) if traceparent[-1] in ENDS else None
