"""Spans and metrics on their way to a collector, by OTLP over HTTP.

Whatever becomes of the collector is no matter of the service: sending happens in threads of its
own, what waits is bounded, and what cannot be sent is dropped. The log tells when a collector does
not take it any more, and when it does again; not with every try.

Metrics are counted once, in the Prometheus registry, and translated here when they are sent.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Gauge as OtlpGauge
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as Family
from prometheus_client.samples import Exemplar as FoundExemplar
from prometheus_client.samples import Sample

from klankbord_runtime.telemetry import VERSION

log = logging.getLogger(__name__)

SEND_PATIENCE = 5.0
"""Seconds until what is being sent is given up, all its tries together."""
SCOPE = InstrumentationScope("klankbord", VERSION)
UNITS = {"_seconds": "s", "_bytes": "By"}
NANOSECONDS = 1_000_000_000


def resource_of(service: str) -> Resource:
    """Who sends: the service, its version, and this process of it."""
    return Resource.create(
        {
            "service.name": f"klankbord-{service}",
            "service.version": VERSION,
            "service.instance.id": str(uuid4()),
        }
    )


class _Taken:
    """Whether a collector takes what it is sent; the log is told when that changes."""

    def __init__(self, what: str, endpoint: str) -> None:
        self._what = what
        self._endpoint = endpoint
        self._is_taken = True

    def note(self, *, is_taken: bool) -> None:
        if is_taken and not self._is_taken:
            log.info("%s takes %s again", self._endpoint, self._what)
        elif self._is_taken and not is_taken:
            log.warning("%s does not take %s: they are dropped", self._endpoint, self._what)
        self._is_taken = is_taken


class Spans(SpanExporter):
    """Sends spans to a collector; called by a thread of OpenTelemetry's."""

    def __init__(self, endpoint: str) -> None:
        self._exporter = OTLPSpanExporter(_address(endpoint, "traces"), timeout=SEND_PATIENCE)
        self._taken = _Taken("spans", endpoint)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them; it blocks."""
        result = self._exporter.export(spans)
        self._taken.note(is_taken=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class Metrics:
    """Sends what the registry holds to a collector, in a thread of its own."""

    def __init__(
        self, endpoint: str, resource: Resource, collect: Callable[[], Iterable[Family]]
    ) -> None:
        """Send nothing yet.

        Args:
            endpoint: the collector: `http://collector:4318`.
            resource: who sends.
            collect: gives the metrics as they are.
        """
        self._exporter = OTLPMetricExporter(_address(endpoint, "metrics"), timeout=SEND_PATIENCE)
        self._taken = _Taken("metrics", endpoint)
        self._resource = resource
        self._collect = collect
        self._sending: threading.Thread | None = None

    def send(self, now: float) -> None:
        """Begin to send them, unless the last ones are still on their way. It does not block.

        They are collected here and now, where gauges may look at what the event loop owns.

        Args:
            now: the moment, in seconds since 1970.
        """
        if self._sending is not None and self._sending.is_alive():
            return
        families = list(self._collect())
        self._sending = threading.Thread(
            target=self._send, args=(families, now), name="metrics are sent", daemon=True
        )
        self._sending.start()

    def close(self) -> None:
        """Wait until what is on its way has arrived, or was given up. It blocks."""
        if self._sending is not None:
            self._sending.join(SEND_PATIENCE)
        self._exporter.shutdown()

    def _send(self, families: Sequence[Family], now: float) -> None:
        try:
            result = self._exporter.export(metrics_data(families, self._resource, now))
        except Exception:
            # a thread that ends so would tell nobody, and the next try would end like it
            log.exception("metrics cannot be sent")
        else:
            self._taken.note(is_taken=result is MetricExportResult.SUCCESS)


def _address(endpoint: str, signal: str) -> str:
    return f"{endpoint.rstrip('/')}/v1/{signal}"


def metrics_data(families: Iterable[Family], resource: Resource, now: float) -> MetricsData:
    """What Prometheus' client collected, as OpenTelemetry says it.

    A metric has the name of its family, and so is called the same in Prometheus by either way: it
    adds `_total` to counters itself. Counters and histograms are cumulative.

    Args:
        families: what was collected.
        resource: who sends.
        now: the moment, in seconds since 1970.
    """
    metrics = [_metric(family, _nanoseconds(now)) for family in families]
    scope = ScopeMetrics(scope=SCOPE, metrics=metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _metric(family: Family, now: int) -> Metric:
    data: Sum | OtlpGauge | Histogram
    if family.type == "counter":
        points = _counter_points(family, now)
        data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    elif family.type == "histogram":
        data = Histogram(_histogram_points(family, now), AggregationTemporality.CUMULATIVE)
    else:
        data = OtlpGauge(
            [NumberDataPoint(s.labels, 0, now, s.value) for s in family.samples],
        )
    unit = next((unit for end, unit in UNITS.items() if family.name.endswith(end)), "")
    return Metric(family.name, family.documentation, unit, data)


def _counter_points(family: Family, now: int) -> list[NumberDataPoint]:
    created = _created(family)
    return [
        NumberDataPoint(
            sample.labels,
            created.get(_key(sample), now),
            now,
            sample.value,
            exemplars=_exemplars([sample]),
        )
        for sample in family.samples
        if sample.name == f"{family.name}_total"
    ]


@dataclass
class _Distribution:
    """The samples of one histogram with one set of labels."""

    labels: dict[str, str]
    buckets: list[tuple[float, Sample]] = field(default_factory=list)
    sum: float = 0.0


def _histogram_points(family: Family, now: int) -> list[HistogramDataPoint]:
    found: dict[_Key, _Distribution] = {}
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        one = found.setdefault(_key(sample), _Distribution(labels))
        if sample.name == f"{family.name}_bucket":
            one.buckets.append((float(sample.labels["le"]), sample))
        elif sample.name == f"{family.name}_sum":
            one.sum = sample.value
    created = _created(family)
    return [
        _histogram_point(one, created.get(key, now), now)
        for key, one in found.items()
        if one.buckets
    ]


def _histogram_point(one: _Distribution, created: int, now: int) -> HistogramDataPoint:
    buckets = sorted(one.buckets, key=lambda bucket: bucket[0])
    cumulative = [0, *(int(sample.value) for _, sample in buckets)]
    return HistogramDataPoint(
        one.labels,
        created,
        now,
        count=cumulative[-1],
        sum=one.sum,
        bucket_counts=[after - before for before, after in pairwise(cumulative)],
        explicit_bounds=[bound for bound, _ in buckets[:-1]],  # the last one is infinite
        min=None,  # type: ignore[arg-type] # OTLP may leave it out, and Prometheus does not know it
        max=None,  # type: ignore[arg-type]
        exemplars=_exemplars([sample for _, sample in buckets]),
    )


_Key = tuple[tuple[str, str], ...]


def _key(sample: Sample) -> _Key:
    """Its labels, but for the bucket."""
    return tuple((name, value) for name, value in sample.labels.items() if name != "le")


def _created(family: Family) -> dict[_Key, int]:
    """When counting began, by labels."""
    return {
        _key(sample): _nanoseconds(sample.value)
        for sample in family.samples
        if sample.name == f"{family.name}_created"
    }


def _exemplars(samples: Iterable[Sample]) -> list[Exemplar]:
    return [_exemplar(sample.exemplar) for sample in samples if sample.exemplar is not None]


def _exemplar(found: FoundExemplar) -> Exemplar:
    labels = dict(found.labels)
    trace_id, span_id = labels.pop("trace_id", None), labels.pop("span_id", None)
    return Exemplar(
        labels,
        found.value,
        _nanoseconds(float(found.timestamp or 0)),
        None if span_id is None else int(span_id, 16),
        None if trace_id is None else int(trace_id, 16),
    )


def _nanoseconds(seconds: float) -> int:
    return int(seconds * NANOSECONDS)
