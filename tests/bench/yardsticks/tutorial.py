"""Yardstick: the handler that FastStream's documentation teaches, doing what moderation does.

One message at a time: validated by the same model, judged by the same rules, inserted, published
where something was found, acknowledged; with FastStream's own Prometheus and OpenTelemetry. It has
no inbox, no outbox and no dead letters.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from faststream import AckPolicy
from faststream.message import StreamMessage
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.opentelemetry import NatsTelemetryMiddleware
from faststream.nats.prometheus import NatsPrometheusMiddleware
from faststream.nats.security import NatsNKey
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from prometheus_client import CollectorRegistry

from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import Judge
from klankbord_schemas import PostFlagged, PostReceived
from klankbord_schemas.post import Flags
from klankbord_schemas.topology import inbox_prefix

BATCH = 100
INSERT = """
insert into heard_post (post, sequence, community, author, counted_at, text_key, deleted)
values ($1, $2, $3, $4, $5, $6, false)
"""


async def decoded(message: StreamMessage[Any]) -> Any:
    """The body as JSON: FastStream would know it by a header that our events lack."""
    return json.loads(message.body)


async def main(url: str, seed_file: str, database_url: str, policy_file: str) -> None:
    judge = Judge.read(Path(policy_file).read_bytes())
    pool = await asyncpg.create_pool(database_url, server_settings={"search_path": "moderation"})
    broker = NatsBroker(
        url,
        security=NatsNKey(Path(seed_file)),
        inbox_prefix=inbox_prefix("moderation"),
        middlewares=(
            NatsPrometheusMiddleware(registry=CollectorRegistry()),
            NatsTelemetryMiddleware(
                tracer_provider=TracerProvider(sampler=TraceIdRatioBased(0.01))
            ),
        ),
        logger=None,
    )

    @broker.subscriber(
        f"{PostReceived.subject_prefix()}.>",
        stream=JStream("POSTS", declare=False),
        durable="moderation-posts",
        pull_sub=PullSub(batch_size=BATCH),
        inbox_prefix=f"{inbox_prefix('moderation')}.".encode(),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        decoder=decoded,
    )
    async def handle(event: PostReceived) -> None:
        heard = judge.hear(event)
        labels = judge.labels(heard, Sightings(heard.sighting(key) for key in heard.keys))
        post = event.data
        await pool.execute(
            INSERT,
            post.post,
            event.version,
            post.community,
            post.attributed_to,
            event.counted_at,
            heard.text_key,
        )
        if labels:
            flags = Flags(
                community=post.community,
                source=post.source,
                post=post.post,
                post_sequence=event.version,
                attributed_to=post.attributed_to,
                policy="0" * 64,
                labels=labels,
            )
            flagged = PostFlagged.of(event, flags, datetime.now(UTC))
            await broker.publish(
                flagged.to_json(),
                flagged.bus_subject,
                headers={"Nats-Msg-Id": str(flagged.id)},
                stream="MODERATION",
            )

    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
