"""`klankbord dlq`: the events that a consumer could not handle: see, try again, or give up."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from rich.console import Console
from rich.table import Table

from klankbord_runtime.bus import Message, publish
from klankbord_runtime.deadletter import DeadLetter
from klankbord_runtime.permissions import DEAD, OPERATOR
from klankbord_schemas.topology import consumer
from klankbord_standalone.explained import ExplainedError
from klankbord_standalone.servers import Installation

MOST_DETAIL = 200
"""Characters of a reason that the table shows."""


class NoSuchLetterError(ExplainedError):
    """There is no dead letter of that number."""


@dataclass(frozen=True)
class Kept:
    """A dead letter and its number."""

    number: int
    letter: DeadLetter

    def as_json(self) -> dict[str, Any]:
        """What a script wants of it; the body as text where it is text."""
        told = self.letter.model_dump(mode="json", exclude={"body"})
        return {"number": self.number, **told, "body": self.letter.body.decode(errors="replace")}


class DeadLetterQueue:
    """The dead letters of an installation."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stream: JetStreamContext = client.jetstream()

    async def count(self) -> int:
        """How many there are."""
        return (await self._stream.stream_info(DEAD)).state.messages

    async def all(self) -> AsyncIterator[Kept]:
        """Every dead letter, the oldest first."""
        state = (await self._stream.stream_info(DEAD)).state
        if not state.messages:
            return
        for number in range(state.first_seq, state.last_seq + 1):
            try:
                yield await self.get(number)
            except NoSuchLetterError:  # replayed or discarded before
                continue

    async def get(self, number: int) -> Kept:
        """One dead letter.

        Raises:
            NoSuchLetterError: there is none of that number.
        """
        try:
            message = await self._stream.get_msg(DEAD, number)
        except NotFoundError:
            raise NoSuchLetterError(
                f"there is no dead letter {number}: `klankbord dlq list` shows what there is"
            ) from None
        return Kept(number, DeadLetter.model_validate_json(message.data or b""))

    async def replay(self, kept: Kept) -> None:
        """Give the event once more to the one consumer that could not handle it."""
        letter = kept.letter
        body = letter.body
        if not body:  # too large for a dead letter: it is where it was
            original = await self._stream.get_msg(letter.stream, letter.stream_sequence)
            body = original.data or b""
        address = consumer(letter.consumer).replay_subject
        again = Message(f"replay:{kept.number}", address, body)
        await publish(self._client, [again])
        await self._stream.delete_msg(DEAD, kept.number)

    async def discard(self, kept: Kept, reason: str, record: Path) -> None:
        """Give the event up; what it was, and why, is written to `record` first."""
        entry = kept.as_json() | {"discarded": datetime.now(UTC).isoformat(), "why": reason}
        with record.open("a", encoding="utf-8") as output:
            output.write(json.dumps(entry, ensure_ascii=False) + "\n")
        await self._stream.delete_msg(DEAD, kept.number)


def show(letters: Sequence[Kept], out: Console) -> None:
    """Print them as a table."""
    if not letters:
        out.print("no dead letters")
        return
    table = Table("number", "died", "consumer", "reason", "detail", box=None, header_style="dim")
    for kept in letters:
        letter = kept.letter
        died = f"{letter.died:%Y-%m-%d %H:%M}"
        table.add_row(
            str(kept.number), died, letter.consumer, letter.reason, letter.detail[:MOST_DETAIL]
        )
    out.print(table)
    out.print("[dim]klankbord dlq show|replay|discard NUMBER[/dim]")


@asynccontextmanager
async def dead_letters(installation: Installation) -> AsyncIterator[DeadLetterQueue]:
    """The dead letters, for as long as this lasts."""
    async with installation.client(OPERATOR) as client:
        yield DeadLetterQueue(client)
