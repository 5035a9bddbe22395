"""deploy/otel/collector.yaml: takes what the services send, and hands spans to what compose runs.

Nothing here starts a collector; it is not to be had where these tests run.
"""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
COLLECTOR = yaml.safe_load((ROOT / "deploy" / "otel" / "collector.yaml").read_text("utf-8"))
CONTAINERS = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]


def test_every_part_of_a_pipeline_is_there_and_every_part_is_used() -> None:
    pipelines = COLLECTOR["service"]["pipelines"]
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in pipelines.values() for name in pipeline.get(kind, ())}
        assert used == set(COLLECTOR[kind])


def test_it_takes_traces_and_metrics_where_the_documentation_sends_them() -> None:
    assert set(COLLECTOR["service"]["pipelines"]) == {"traces", "metrics"}
    endpoint = COLLECTOR["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    port = endpoint.rpartition(":")[2]
    told = (ROOT / "docs" / "containers.md").read_text("utf-8")
    assert f"KLANKBORD_TELEMETRY__OTLP_ENDPOINT=http://otel-collector:{port}" in told
    assert "otel-collector" in CONTAINERS


def test_spans_go_to_the_jaeger_of_the_profile() -> None:
    host, _, port = COLLECTOR["exporters"]["otlp"]["endpoint"].partition(":")
    assert CONTAINERS[host]["image"].startswith("jaegertracing/jaeger:")
    assert port == "4317"  # OTLP over gRPC, which Jaeger takes by default
