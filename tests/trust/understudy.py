"""A service as it is, but for a ledger, a poison, and one thing that may be broken on purpose.

    python -m trust.understudy [--broken WHAT] SERVICE VERB

The ledger is a row per event that a handler was given, written in the handler's own transaction: it
says how often the effect of each event was committed. The poison is a post that ends the process
of moderation in its handler. WHAT is a key of `BROKEN`: with it one line of the guarantee does not
hold, and the auditor must see that.
"""

import argparse
import asyncio
import importlib
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from trust.crowd import POISON

from klankbord_runtime import service as runtime
from klankbord_runtime.bus import Message, publish
from klankbord_runtime.consumer import BatchConsumer, Handler, Received
from klankbord_runtime.db import Queries, load_queries
from klankbord_runtime.service import Service
from klankbord_runtime.tracing import Traced
from klankbord_runtime.work import Work
from klankbord_schemas import PostReceived
from klankbord_schemas.topology import stream_keeping

POISONED = 86
"""The exit status of a process that died of the poison."""
NOTE = "insert into trust_ledger (consumer, id) select $1, unnest($2::uuid[])"
BETWEEN = 0.3
"""Seconds between the two halves of what is broken: wide enough for a dozen faults to come then."""


def keep_ledger() -> None:
    """Wrap every handler: note what it handled, and die of the poison."""
    declare = Service.consumer

    def consumer(self: Service, name: str) -> Callable[[Handler], Handler]:
        decorate = declare(self, name)

        def watched(handle: Handler) -> Handler:
            async def noted(events: list[Any], work: Work) -> None:
                if self.name == "moderation" and any(map(_poisoned, events)):
                    os._exit(POISONED)
                await handle(events, work)
                await work.connection.execute(NOTE, name, [event.id for event in events])

            decorate(noted)
            return handle

        return watched

    Service.consumer = consumer  # type: ignore[method-assign]


def _poisoned(event: object) -> bool:
    return isinstance(event, PostReceived) and POISON in event.data.content


def acknowledge_before_commit() -> None:
    """The server forgets an event before its effect is on the disk."""
    run = BatchConsumer._run

    async def acknowledged_first(
        self: BatchConsumer, received: Sequence[Received], traced: Traced
    ) -> None:
        await self._ack([one.message for one in received])
        await asyncio.sleep(BETWEEN)
        await run(self, received, traced)

    BatchConsumer._run = acknowledged_first  # type: ignore[method-assign]


def publish_before_commit() -> None:
    """What a transaction says is on the bus before it is known whether it will have happened."""
    begin = Service.work

    @asynccontextmanager
    async def said_first(self: Service) -> AsyncIterator[Work]:
        async with begin(self) as work:
            yield work
            by_stream: dict[str, list[Message]] = defaultdict(list)
            for event in work.emitted:
                message = Message(event.id, event.bus_subject, event.to_json())
                by_stream[stream_keeping(event.bus_subject).name].append(message)
            for messages in by_stream.values():
                await publish(self._client(), messages)
            if by_stream:
                await asyncio.sleep(BETWEEN)

    Service.work = said_first  # type: ignore[method-assign]


def forget_inbox() -> None:
    """Every delivery of an event is taken for its first."""
    all_are_fresh = "select id from unnest($2::uuid[]) as t (id) where $1::text is not null"

    def without_inbox(package: str) -> Queries:
        return Queries({**load_queries(package), "take_fresh": all_are_fresh})

    runtime.load_queries = without_inbox  # type: ignore[attr-defined]


BROKEN = {
    "ack-before-commit": acknowledge_before_commit,
    "publish-before-commit": publish_before_commit,
    "inbox-off": forget_inbox,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="understudy")
    parser.add_argument("--broken", choices=BROKEN)
    parser.add_argument("service")
    parser.add_argument("verb")
    given = parser.parse_args()
    keep_ledger()
    if given.broken is not None:
        BROKEN[given.broken]()
    sys.argv = [f"klankbord-{given.service}", given.verb]
    importlib.import_module(f"klankbord_{given.service}.__main__").main()


if __name__ == "__main__":
    main()
