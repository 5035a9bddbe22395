"""Which spans are sent, what they say, and that an error is sent whatever was sampled."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.requests import Request

from klankbord_runtime import tracing
from klankbord_runtime.telemetry import JsonLines
from klankbord_runtime.tracing import Tracing, carried_by, context_of, exemplar, traceparent_of
from klankbord_schemas.topology import consumer

TRACE, OTHER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
RECORDED = f"00-{TRACE}-00f067aa0ba902b7-01"
UNRECORDED = f"00-{OTHER_TRACE}-b7ad6b7169203331-00"
POSTS = consumer("moderation-posts")


class Sent:
    """A tracing whose spans are kept here."""

    def __init__(self, ratio: float = 0) -> None:
        self._kept = InMemorySpanExporter()
        self.tracing = Tracing(Resource({}), ratio, self._kept)

    def spans(self) -> Sequence[ReadableSpan]:
        """What is sent in the end."""
        self.tracing.close()
        return self._kept.get_finished_spans()


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def request(method: str = "POST", **headers: str) -> Request:
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {
            "type": "http",
            "method": method,
            "path": "/v1/things/it",
            "query_string": b"",
            "headers": told,
            "scheme": "http",
            "server": ("here", 80),
        }
    )


# --- which traces are recorded -----------------------------------------------------------------


def test_a_trace_that_comes_in_is_continued() -> None:
    assert Tracing(Resource({}), 1, None).begin(RECORDED) == RECORDED


@pytest.mark.parametrize(
    "broken",
    ["", "00-0-0-0", "x" * 55, "00-" + "0" * 32 + "-" + "0" * 16 + "-00", RECORDED + "-1"],
)
def test_a_broken_one_is_replaced(broken: str) -> None:
    begun = Tracing(Resource({}), 1, None).begin(broken)
    assert begun != broken
    assert context_of(begun) is not None


@pytest.mark.parametrize(("ratio", "flag"), [(0.0, "00"), (1.0, "01")])
def test_the_ratio_decides_which_traces_are_recorded(ratio: float, flag: str) -> None:
    tracing = Tracing(Resource({}), ratio, None)
    assert {tracing.begin()[-2:] for _ in range(50)} == {flag}


def test_a_trace_with_more_flags_is_recorded_too() -> None:
    """W3C Trace Context, level 2, has a second flag: the trace's id is random."""
    assert exemplar(RECORDED[:-2] + "03") == {"trace_id": TRACE, "span_id": "00f067aa0ba902b7"}
    assert exemplar(RECORDED[:-2] + "02") is None
    assert exemplar(None) is None


# --- requests ----------------------------------------------------------------------------------


def test_a_request_is_a_span_and_its_events_are_below_it() -> None:
    sent = Sent()
    with sent.tracing.request(request(traceparent=RECORDED), "/v1/things/{name}") as answering:
        answering.status = 202
    (span,) = sent.spans()
    assert (span.name, span.kind) == ("POST /v1/things/{name}", SpanKind.SERVER)
    assert span.context is not None
    assert answering.traceparent == traceparent_of(span.context)
    assert span.parent is not None
    assert traceparent_of(span.parent) == RECORDED
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.route": "/v1/things/{name}",
        "http.response.status_code": 202,
        "url.path": "/v1/things/it",
        "url.scheme": "http",
    }


def test_a_trace_that_begins_at_a_door_has_its_request_as_root() -> None:
    sent = Sent(ratio=1)
    with sent.tracing.request(request(), "/") as answering:
        answering.status = 202
    (span,) = sent.spans()
    assert span.parent is None
    assert span.context is not None
    assert answering.traceparent == traceparent_of(span.context)


@pytest.mark.parametrize("ratio", [0, 1])
def test_without_a_collector_events_carry_the_same_decision(ratio: float) -> None:
    tracing = Tracing(Resource({}), ratio, None)
    with tracing.request(request(), "/") as answering:
        answering.status = 202
    assert answering.traceparent.endswith(f"0{ratio}")
    with tracing.request(request(traceparent=RECORDED), "/") as answering:
        answering.status = 202
    assert answering.traceparent == RECORDED


@pytest.mark.parametrize(("status", "kept"), [(202, 0), (401, 0), (422, 0), (500, 1), (503, 1)])
def test_of_unrecorded_requests_only_those_are_sent_that_fail(status: int, kept: int) -> None:
    sent = Sent()
    with sent.tracing.request(request(traceparent=UNRECORDED), "/") as answering:
        answering.status = status
    assert answering.traceparent == UNRECORDED
    spans = sent.spans()
    assert len(spans) == kept
    for span in spans:
        assert trace_of(span) == OTHER_TRACE
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == str(status)
        assert attributes(span)["http.response.status_code"] == status


@pytest.mark.parametrize("traceparent", [RECORDED, UNRECORDED])
def test_a_request_that_raises_shows_the_exception(traceparent: str) -> None:
    sent = Sent()
    with (
        suppress(ZeroDivisionError),
        sent.tracing.request(request(traceparent=traceparent), "/"),
    ):
        raise ZeroDivisionError("of all things")
    (span,) = sent.spans()
    assert_failed(span, "ZeroDivisionError", "of all things")


@pytest.mark.parametrize("traceparent", [RECORDED, UNRECORDED])
def test_a_request_that_is_given_up_is_no_error(traceparent: str) -> None:
    sent = Sent()
    with (
        suppress(asyncio.CancelledError),
        sent.tracing.request(request(traceparent=traceparent), "/"),
    ):
        raise asyncio.CancelledError
    assert {span.status.status_code for span in sent.spans()} <= {StatusCode.UNSET}


def assert_failed(span: ReadableSpan, kind: str, message: str) -> None:
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == kind
    (event,) = span.events
    told = event.attributes or {}
    assert (event.name, told["exception.type"], told["exception.message"]) == (
        "exception",
        kind,
        message,
    )


# --- batches -----------------------------------------------------------------------------------


def test_a_batch_is_one_span_and_each_recorded_event_one_in_its_own_trace() -> None:
    sent = Sent()
    events = [("a", RECORDED), ("b", UNRECORDED), ("c", None), *[("d", UNRECORDED)] * 97]
    with sent.tracing.processing(POSTS, events) as traced:
        pass
    batch, event = sent.spans()
    of_both = {
        "messaging.system": "nats",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "POSTS",
        "messaging.consumer.group.name": "moderation-posts",
    }
    assert {span.name for span in (batch, event)} == {"process POSTS"}
    assert {span.kind for span in (batch, event)} == {SpanKind.CONSUMER}
    assert attributes(batch) == of_both | {"messaging.batch.message_count": 100}
    assert attributes(event) == of_both | {"messaging.message.id": "a"}
    assert trace_of(event) == TRACE
    assert [traceparent_of(link.context) for link in batch.links] == [RECORDED]
    assert batch.context is not None
    assert [link.context.span_id for link in event.links] == [batch.context.span_id]
    assert traced.exemplar == {
        "trace_id": trace_of(batch),
        "span_id": f"{batch.context.span_id:016x}",
    }


def test_an_event_that_comes_alone_is_one_span_in_its_own_trace() -> None:
    sent = Sent()
    with sent.tracing.processing(POSTS, [("a", RECORDED)]):
        pass
    (span,) = sent.spans()
    assert trace_of(span) == TRACE
    assert attributes(span)["messaging.message.id"] == "a"


@pytest.mark.parametrize("events", [[("a", UNRECORDED)], [("a", UNRECORDED)] * 50, [("a", None)]])
def test_of_what_is_not_recorded_nothing_is_sent(events: list[tuple[str, str | None]]) -> None:
    sent = Sent()
    with sent.tracing.processing(POSTS, events) as traced:
        pass
    assert traced.exemplar is None
    assert sent.spans() == ()


def test_a_batch_that_fails_is_sent_whatever_is_recorded_and_says_whom_it_held_up() -> None:
    sent = Sent()
    with sent.tracing.processing(POSTS, [("a", UNRECORDED)] * 3) as traced:
        traced.failed(TimeoutError("the database"))
    (span,) = sent.spans()
    assert_failed(span, "TimeoutError", "the database")
    assert [traceparent_of(link.context) for link in span.links] == [UNRECORDED] * 3
    assert attributes(span)["messaging.batch.message_count"] == 3


def test_an_event_that_fails_alone_is_sent_in_its_own_trace() -> None:
    sent = Sent()
    with sent.tracing.processing(POSTS, [("a", UNRECORDED)]) as traced:
        traced.failed(ValueError("poison"))
    (span,) = sent.spans()
    assert trace_of(span) == OTHER_TRACE
    assert_failed(span, "ValueError", "poison")


def test_a_door_that_turns_away_thousands_does_not_flood_the_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing, "MOST_ERRORS", 10)
    monkeypatch.setattr("time.monotonic", lambda: 7.5)
    sent = Sent()
    for traceparent in [UNRECORDED] * 50 + [RECORDED] * 20:
        with sent.tracing.request(request(traceparent=traceparent), "/") as answering:
            answering.status = 503
    monkeypatch.undo()
    assert Counter(trace_of(span) for span in sent.spans()) == {OTHER_TRACE: 10, TRACE: 20}


def test_whatever_escapes_is_an_error_too() -> None:
    sent = Sent()
    with (
        suppress(ConnectionResetError),
        sent.tracing.publishing("POSTS", [("a", b"{}"), ("b", b"{}")]),
    ):
        raise ConnectionResetError("gone")
    (span,) = sent.spans()
    assert_failed(span, "ConnectionResetError", "gone")


def test_publishing_is_traced_by_what_the_events_carry() -> None:
    sent = Sent()
    body = f'{{"id":"a","traceparent":"{RECORDED}","data":{{}}}}'.encode()
    with sent.tracing.publishing("POSTS", [("a", body), ("b", b"{}")]):
        pass
    batch, event = sent.spans()
    assert {span.kind for span in (batch, event)} == {SpanKind.PRODUCER}
    assert {span.name for span in (batch, event)} == {"publish POSTS"}
    assert trace_of(event) == TRACE
    told = attributes(batch)
    assert told["messaging.operation.type"] == "send"
    assert told["messaging.operation.name"] == "publish"
    assert told["messaging.batch.message_count"] == 2


def test_nobody_puts_a_trace_into_an_event_by_writing_about_one() -> None:
    quoted = '{"content":"' + f'"traceparent":"{RECORDED}"'.replace('"', '\\"') + '"}'
    assert carried_by(quoted.encode()) is None


@pytest.mark.parametrize(
    ("body", "trace"),
    [(f'{{"traceparent":"{UNRECORDED}"'.encode(), OTHER_TRACE), (b"\xff garbage", None)],
)
def test_a_dead_letter_is_sent_in_the_trace_of_its_event(body: bytes, trace: str | None) -> None:
    sent = Sent()
    sent.tracing.dead_letter(POSTS, 7, body, "invalid", "data: Field required")
    (span,) = sent.spans()
    assert span.name == "term POSTS"
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "data: Field required"
    assert trace in (None, trace_of(span))
    told = attributes(span)
    assert told["error.type"] == "invalid"
    assert told["messaging.operation.type"] == "settle"
    assert told["messaging.consumer.group.name"] == "moderation-posts"
    assert told["klankbord.stream.sequence"] == 7


# --- a collector that hangs, and logs ----------------------------------------------------------


class Hanging(SpanExporter):
    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.sent = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.go_on.wait(30)
        self.sent += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to end."""


def test_a_collector_that_hangs_neither_holds_up_nor_fills_the_memory() -> None:
    hanging = Hanging()
    tracing = Tracing(Resource({}), 0, hanging)
    begun = time.monotonic()
    for _ in range(20_000):
        with tracing.processing(POSTS, [("a", RECORDED)]):
            pass
    assert time.monotonic() - begun < 20, "each waits for nobody"
    hanging.go_on.set()
    tracing.close()
    assert 0 < hanging.sent < 4_000


def test_what_is_logged_meanwhile_belongs_to_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.setFormatter(JsonLines("moderation"))
    tracing = Tracing(Resource({}), 0, None)
    log = logging.getLogger("klankbord_runtime.consumer")
    with caplog.at_level(logging.INFO), tracing.processing(POSTS, [("a", RECORDED)]):
        log.warning("inside", extra={"event_id": "a"})
    log.warning("outside")
    inside, handled, outside = caplog.text.splitlines()
    assert f'"trace_id": "{TRACE}"' in inside
    assert '"span_id": "' in inside
    assert '"event_id": "a"' in inside
    assert f'"trace_id": "{TRACE}"' in handled
    assert '"event_id": "a"' in handled
    assert "trace_id" not in outside
