"""One post's way through everything, as a collector sees it."""

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from stage import Stage, stage, submission
from tap import tapped, trace_id
from world import eventually

BUG = "The app crashes on start: error 500 every time."
TRACE, OTHER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
COUNTED = "klankbord_metrics_counted_latency_seconds"


async def test_one_trace_shows_a_post_in_every_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its log lines, and what is measured; and an error of a trace that is not recorded."""
    async with tapped() as tap:
        monkeypatch.setenv("KLANKBORD_TELEMETRY__TRACE_RATIO", "0")
        monkeypatch.setenv("KLANKBORD_TELEMETRY__OTLP_ENDPOINT", tap.url)
        monkeypatch.setenv("KLANKBORD_TELEMETRY__METRICS_EVERY", "1")
        async with stage() as scene:
            traceparent = f"00-{TRACE}-00f067aa0ba902b7-01"
            await scene.forum.send({"posts": [submission(1, BUG)]}, traceparent=traceparent)
            await scene.forum.send({"posts": [submission(2, BUG)]})
            await publish_what_does_not_decode(scene, f"00-{OTHER_TRACE}-b7ad6b7169203331-00")
            await scene.settled()
            await eventually(lambda: COUNTED in tap.metrics)
            exposed = await latencies(scene)
            traced = {
                service: [line for line in lines if line.get("trace_id") == TRACE]
                for service, lines in scene.logs().items()
            }
            (routed,) = [e for e in await scene.events("ROUTING") if TRACE in e["traceparent"]]
    assert set(traced) == {"ingest", "moderation", "routing", "metrics"}
    assert all(traced.values()), traced
    assert routed["data"]["intent"] == "bug"

    spans = tap.trace(TRACE)
    (door,) = [span for span in spans if span.name == "POST /v1/sources/{name}"]
    assert door.parent_span_id.hex() == "00f067aa0ba902b7"
    assert all(span.parent_span_id == door.span_id for span in spans if span is not door)
    done = {
        tuple(
            tap.attributes(span).get(name)
            for name in (
                "messaging.operation.name",
                "messaging.destination.name",
                "messaging.consumer.group.name",
            )
        )
        for span in spans
    }
    assert done >= {
        ("publish", "POSTS", None),
        ("process", "POSTS", "moderation-posts"),
        ("process", "POSTS", "routing-posts"),
        ("publish", "ROUTING", None),
        ("process", "POSTS", "metrics-posts"),
        ("process", "ROUTING", "metrics-feedback"),
    }
    errors = tap.trace(OTHER_TRACE)
    assert {tap.attributes(span)["messaging.consumer.group.name"] for span in errors} == {
        "moderation-posts",
        "routing-posts",
        "metrics-posts",
    }
    assert {span.status.code for span in errors} == {Status.STATUS_CODE_ERROR}
    assert {trace_id(span) for span in tap.spans} == {TRACE, OTHER_TRACE}
    assert f'trace_id="{TRACE}"' in exposed, "a measurement leads to its trace"
    assert tap.metrics.keys() >= {"klankbord_events_handled", "klankbord_batch_seconds"}


async def publish_what_does_not_decode(scene: Stage, traceparent: str) -> None:
    async with scene.everything.installation.client("provision") as client:
        body = f'{{"traceparent":"{traceparent}"}}'.encode()
        await client.jetstream().publish("klankbord.post.received.v1.acme.forum", body)


async def latencies(scene: Stage) -> str:
    """What the metrics service shows of them, as Prometheus asks for it."""
    async with httpx.AsyncClient(trust_env=False) as http:
        address = scene.everything.running.address("metrics")
        accept = {"accept": "application/openmetrics-text;version=1.0.0"}
        told = (await http.get(f"{address}/metrics", headers=accept)).text
    return "\n".join(line for line in told.splitlines() if line.startswith(COUNTED))
