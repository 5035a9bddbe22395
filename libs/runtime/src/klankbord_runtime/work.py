"""One unit of work: one transaction in which rows and events are written together."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from klankbord_runtime.db import Connection, Queries
from klankbord_schemas.event import MAX_EVENT_BYTES, Event

MAX_OUTBOX_BATCH = 1000
"""The most events of one outbox batch: what one atomic publication may hold."""


class EventTooLargeError(ValueError):
    """An event is larger than the bus carries."""


class Work:
    """A transaction, and the events that become true when it commits.

    Only the runtime begins, commits or rolls back. Whatever is emitted is written to the outbox
    in the same transaction, and is published by the relay afterwards: never one without the other.
    """

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.connection = connection
        """The connection that the transaction is on."""
        self.now = now
        """The moment of this work, UTC: the same for everything in it."""
        self._emitted: list[Event[Any]] = []
        self._after: list[Callable[[], None]] = []

    def emit(self, *events: Event[Any]) -> None:
        """Say these facts, if and when the transaction commits."""
        self._emitted += events

    @property
    def emitted(self) -> Sequence[Event[Any]]:
        """What will have been said when this commits."""
        return self._emitted

    def on_commit(self, then: Callable[[], None]) -> None:
        """Do this, which cannot be rolled back (such as counting), if and when it commits."""
        self._after.append(then)

    def committed(self) -> None:
        """It is committed: do what waited for that. Called by the runtime alone."""
        for then in self._after:
            then()
        self._after.clear()  # they refer to this work: the circle would keep its events alive

    async def write_outbox(self, queries: Queries) -> None:
        """Put what was emitted into the outbox.

        Raises:
            EventTooLargeError: an event is larger than the bus carries.
        """
        for start in range(0, len(self._emitted), MAX_OUTBOX_BATCH):
            events = self._emitted[start : start + MAX_OUTBOX_BATCH]
            bodies = [event.to_json() for event in events]
            for event, body in zip(events, bodies, strict=True):
                if len(body) > MAX_EVENT_BYTES:
                    raise EventTooLargeError(
                        f"{event.type} {event.id} is {len(body)} bytes; "
                        f"the bus carries {MAX_EVENT_BYTES}"
                    )
            await self.connection.execute(
                queries.put_in_outbox,
                self.now,
                [event.id for event in events],
                [event.bus_subject for event in events],
                bodies,
            )
