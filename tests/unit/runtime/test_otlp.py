"""What Prometheus' client counts, as OpenTelemetry's protocol says it."""

import time

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from klankbord_runtime.otlp import metrics_data, resource_of
from klankbord_runtime.telemetry import VERSION

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NOW = 1_800_000_000.5


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def sent(registry: CollectorRegistry) -> dict[str, Metric]:
    """What a collector gets, by name."""
    request = encode_metrics(metrics_data(registry.collect(), Resource({}), NOW))
    return {
        metric.name: metric
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_a_counter_is_a_cumulative_sum_under_the_name_of_its_family(
    registry: CollectorRegistry,
) -> None:
    counter = Counter("things", "How many", ["kind"], registry=registry)
    counter.labels("a").inc(3)
    counter.labels("b").inc(4)
    found = sent(registry)["things"].sum
    assert found.is_monotonic
    assert (
        found.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    )
    values = {p.attributes[0].value.string_value: p.as_double for p in found.data_points}
    assert values == {"a": 3, "b": 4}
    for point in found.data_points:
        assert point.time_unix_nano == NOW * 1e9
        assert point.start_time_unix_nano == pytest.approx(time.time() * 1e9, rel=1e-7)


def test_a_gauge_has_its_value_and_its_unit(registry: CollectorRegistry) -> None:
    Gauge("room_bytes", "How much room", registry=registry).set(7.5)
    metric = sent(registry)["room_bytes"]
    (point,) = metric.gauge.data_points
    assert (metric.unit, metric.description, point.as_double) == ("By", "How much room", 7.5)


def test_a_histogram_has_what_fell_into_each_bucket(registry: CollectorRegistry) -> None:
    buckets = (0.1, 1.0, 10.0)
    seconds = Histogram("wait_seconds", "How long", ["kind"], buckets=buckets, registry=registry)
    for value in (0.05, 0.5, 0.6, 5, 50, 60):
        seconds.labels("a").observe(value)
    seconds.labels("b").observe(0.1)
    found = sent(registry)["wait_seconds"].histogram
    assert (
        found.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    )
    a, b = found.data_points
    assert list(a.explicit_bounds) == [0.1, 1, 10]
    assert list(a.bucket_counts) == [1, 2, 1, 2]
    assert (a.count, a.sum) == (6, pytest.approx(116.15))
    assert list(b.bucket_counts) == [1, 0, 0, 0]
    assert [one.value.string_value for one in a.attributes] == ["a"]
    assert not a.HasField("min")
    assert a.start_time_unix_nano == pytest.approx(time.time() * 1e9, rel=1e-7)


def test_a_measurement_leads_to_its_trace(registry: CollectorRegistry) -> None:
    seconds = Histogram("wait_seconds", "How long", buckets=(1.0,), registry=registry)
    seconds.observe(0.25, {"trace_id": TRACE, "span_id": SPAN})
    seconds.observe(0.5)
    (point,) = sent(registry)["wait_seconds"].histogram.data_points
    (exemplar,) = point.exemplars
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (TRACE, SPAN)
    assert exemplar.as_double == 0.25


def test_it_says_who_sends() -> None:
    told = resource_of("routing").attributes
    assert told["service.name"] == "klankbord-routing"
    assert told["service.version"] == VERSION
    another = resource_of("routing").attributes["service.instance.id"]
    assert told["service.instance.id"] != another, "each process is one of its own"
