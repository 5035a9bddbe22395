"""`klankbord dlq`: events that could not be handled."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, out, print_json, tell_head
from klankbord_standalone.dlq import DeadLetterQueue, dead_letters
from klankbord_standalone.dlq import show as show_dead_letters
from klankbord_standalone.explained import UsageError
from klankbord_standalone.servers import Installation
from klankbord_standalone.standalone import reach

dlq = typer.Typer(
    no_args_is_help=True, help="Events that could not be handled: see, replay, discard."
)


@asynccontextmanager
async def _queue(place: Place) -> AsyncIterator[tuple[Installation, DeadLetterQueue]]:
    async with (
        reach(place.home, place.elsewhere) as installation,
        dead_letters(installation) as queue,
    ):
        yield installation, queue


@command(dlq, "list")
async def dlq_list(place: Place, as_json: Json = False) -> None:
    """Show the events that a consumer could not handle, and why."""
    async with _queue(place) as (_, queue):
        kept = [letter async for letter in queue.all()]
    if as_json:
        print_json([letter.as_json() for letter in kept])
    else:
        show_dead_letters(kept, out())


@command(dlq, "show")
async def dlq_show(place: Place, number: int) -> None:
    """Show one of them whole."""
    async with _queue(place) as (_, queue):
        kept = await queue.get(number)
    out().print_json(json.dumps(kept.as_json(), default=str))


@command(dlq, "replay")
async def dlq_replay(
    place: Place,
    number: Annotated[int | None, typer.Argument(help="Which one; none needs --all.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every one.")] = False,
) -> None:
    """Give them once more to the consumer that could not handle them: mend the cause first."""
    if (number is None) is not all_:
        raise UsageError("give one number, or --all")
    async with _queue(place) as (installation, queue):
        chosen = (
            [kept async for kept in queue.all()] if number is None else [await queue.get(number)]
        )
        if chosen:
            await installation.note("letters.replayed", numbers=[kept.number for kept in chosen])
        for kept in chosen:
            await queue.replay(kept)
        out().print(f"replayed {len(chosen)}")
        await tell_head(installation)


@command(dlq, "discard")
async def dlq_discard(
    place: Place,
    number: int,
    reason: Annotated[str, typer.Option(help="Why; it is written down with the event.")],
) -> None:
    """Give one of them up; the event and the reason are kept in logs/discarded.ndjson."""
    record = place.home.discarded
    async with _queue(place) as (installation, queue):
        kept = await queue.get(number)
        await installation.note(
            "letter.discarded",
            number=number,
            consumer=kept.letter.consumer,
            stream_sequence=kept.letter.stream_sequence,
        )
        await queue.discard(kept, reason, record)
        out().print(f"discarded {number}; it is kept in {record}", soft_wrap=True)
        await tell_head(installation)
