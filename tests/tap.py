"""A real OTLP/HTTP receiver: what a service sends to a collector, as a test sees it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

from klankbord_standalone.child import LOOPBACK, free_port


@dataclass
class Tap:
    """What has arrived."""

    url: str
    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    """The last one of each name."""

    def trace(self, wanted: str) -> list[Span]:
        """The spans of that trace."""
        return [span for span in self.spans if trace_id(span) == wanted]

    @staticmethod
    def attributes(span: Span) -> dict[str, Any]:
        return {
            one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes
        }


def trace_id(span: Span) -> str:
    found: str = span.trace_id.hex()
    return found


@asynccontextmanager
async def tapped() -> AsyncIterator[Tap]:
    """Receive until the end."""
    port = free_port()
    tap = Tap(f"http://{LOOPBACK}:{port}")
    receiver = OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port))

    async def keep_spans() -> None:
        async for span in receiver.stream_traces():
            tap.spans.append(span)

    async def keep_metrics() -> None:
        async for metric in receiver.stream_metrics():
            tap.metrics[metric.name] = metric

    async with receiver:
        keeping = [asyncio.create_task(keep()) for keep in (keep_spans, keep_metrics)]
        yield tap
        await asyncio.sleep(0.5)  # what has arrived is handed on by threads
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
