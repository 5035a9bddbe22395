"""Dead letters: events that a consumer cannot handle, kept whole with the reason, never dropped."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import AwareDatetime, Base64Bytes, BaseModel

from klankbord_runtime.bus import Message, publish
from klankbord_runtime.puller import delivery_of
from klankbord_schemas.topology import Consumer

MAX_BODY = 700_000
"""Bytes of a message that a dead letter holds: base64 makes a third more of them, and the bus
carries 1 MiB."""
WINDOW = 200
"""How many recent events the breaker looks at."""
MOST_DEAD = 0.2
"""Which part of them may be dead letters."""
IN_A_ROW = 50
"""How many dead letters in a row it takes, whatever the part."""


Reason: TypeAlias = Literal["invalid", "bug"]


class DeadLetter(BaseModel):
    """One event that could not be handled, as it stands in the DEAD stream."""

    stream: str
    """The stream that the event is in."""
    stream_sequence: int
    """Its place in that stream."""
    consumer: str
    """Which consumer could not handle it: a replay goes to that one alone."""
    subject: str
    """The event's subject on the bus."""
    reason: Reason
    """Whether it does not fit its schema, or failed in the handler three times."""
    detail: str
    """What was wrong."""
    deliveries: int
    """How often it had been delivered."""
    died: AwareDatetime
    """When it was given up."""
    body: Base64Bytes
    """The message as it was; empty where it is larger than `MAX_BODY`, and stays in its stream."""


class DeadLetters:
    """Writes the dead letters of one service."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    async def put(self, consumer: Consumer, message: Msg, reason: Reason, detail: str) -> None:
        """Keep a message that cannot be handled; done when the server has it on disk.

        The id is that of the message's place in its stream, so that a repetition is noticed.

        Raises:
            nats.errors.Error, OSError, TimeoutError: it is not kept; do not end the message.
        """
        delivery = delivery_of(message)
        whole = len(message.data) <= MAX_BODY
        if not whole:
            detail += f" (its {len(message.data)} bytes are too many to be kept here)"
        letter = DeadLetter.model_construct(
            stream=consumer.stream,
            stream_sequence=delivery.stream_sequence,
            consumer=consumer.name,
            subject=message.subject,
            reason=reason,
            detail=detail,
            deliveries=delivery.deliveries,
            died=datetime.now(UTC),
            body=message.data if whole else b"",
        )
        place = f"dead:{consumer.stream}:{consumer.name}:{delivery.stream_sequence}"
        await publish(
            self._client(),
            [
                Message(
                    place,
                    consumer.dead_subject,
                    letter.model_dump_json().encode(),
                )
            ],
        )


class Breaker:
    """Notices when most events would become dead letters: then not the events are wrong."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._dead = 0
        self._row = 0

    def note(self, *, dead: bool) -> bool:
        """Take note of one event's fate; says whether dead letters must wait for now."""
        if len(self._recent) == WINDOW:
            self._dead -= self._recent[0]
        self._recent.append(dead)
        self._dead += dead
        self._row = self._row + 1 if dead else 0
        return self.tripped

    @property
    def tripped(self) -> bool:
        """Whether too many of the recent events could not be handled."""
        full = len(self._recent) == WINDOW
        return self._row >= IN_A_ROW or (full and self._dead > MOST_DEAD * WINDOW)

    @property
    def reason(self) -> str:
        """How many, in words."""
        return (
            f"{self._dead} of the last {len(self._recent)} events could not be handled; "
            "they are kept and tried again every 30 s: fix the producer or this consumer"
        )
