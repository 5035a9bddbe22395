"""Yardstick: a chain of two Celery tasks over Redis, one that judges a post and one that stores it.

The same rules and the same table; a task is acknowledged when it is done, so that one whose worker
dies is run again. Nothing is published, and nothing is measured.
"""

import asyncio
import json
import os
import sys
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from bench.yardsticks.tutorial import INSERT
from celery import Celery, chain  # type: ignore[import-untyped]

from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import Judge
from klankbord_schemas import PostReceived

app = Celery("chain", broker=os.environ.get("BENCH_REDIS", ""))
app.conf.update(
    task_acks_late=True, task_ignore_result=True, worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)  # fmt: skip


@cache
def judge() -> Judge:
    """The policy, read once by each worker."""
    return Judge.read(Path(os.environ["BENCH_POLICY"]).read_bytes())


@cache
def database() -> tuple[asyncio.AbstractEventLoop, "asyncpg.Connection[Any]"]:
    """A worker's connection, and the loop that it lives in."""
    loop = asyncio.new_event_loop()
    settings = {"search_path": "moderation"}
    url = os.environ["BENCH_DATABASE"]
    return loop, loop.run_until_complete(asyncpg.connect(url, server_settings=settings))


@app.task  # type: ignore[untyped-decorator]
def moderate(body: str) -> dict[str, Any]:
    """Judge a post; gives its row."""
    event = PostReceived.from_json(body.encode())
    heard = judge().hear(event)
    labels = judge().labels(heard, Sightings(heard.sighting(key) for key in heard.keys))
    return {
        "post": str(event.data.post),
        "version": event.version,
        "community": event.data.community,
        "author": event.data.attributed_to,
        "counted_at": event.counted_at.isoformat(),
        "text_key": heard.text_key,
        "labels": [label.model_dump(mode="json") for label in labels],
    }


@app.task  # type: ignore[untyped-decorator]
def store(row: dict[str, Any]) -> None:
    """Store that row."""
    loop, connection = database()
    moment = datetime.fromisoformat(row["counted_at"])
    known = (row["version"], row["community"], row["author"], moment, row["text_key"])
    loop.run_until_complete(connection.execute(INSERT, UUID(row["post"]), *known))


def send(bodies: list[str]) -> None:
    """Have posts judged and stored, as soon as there is a worker."""
    for body in bodies:
        chain(moderate.s(body), store.s()).apply_async()


if __name__ == "__main__":
    from bench.yardsticks.chain import send as send_as_module

    send_as_module(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
