"""`klankbord outbox`: what services said, kept for a bus that loses it."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, out, print_json, tell_head
from klankbord_standalone.outbox import beginning, replay
from klankbord_standalone.outbox import show as show_replayed
from klankbord_standalone.standalone import reach

outbox = typer.Typer(no_args_is_help=True, help="What services said: say it again.")


@command(outbox, "replay")
async def outbox_replay(
    place: Place,
    since: Annotated[
        str,
        typer.Option(
            help="From when on: an age such as 2h, a time such as 2026-11-22T09:30, or all that "
            "is kept."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; publish nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Publish again what the services said since then: for a NATS that lost the end of a stream.

    Running services go on meanwhile, and it may be done twice: an event keeps its id, and who has
    handled it passes it over. Exit code 1: a service did not come to its end; it says how to go on.
    """
    moment = beginning(since, datetime.now(UTC))
    async with reach(place.home, place.elsewhere) as installation:
        told = [one async for one in replay(place.home, installation, moment, dry_run=dry_run)]
        if not dry_run:
            await tell_head(installation)
    if as_json:
        print_json({one.service: vars(one) for one in told})
    else:
        show_replayed(told, moment, out(), dry_run=dry_run)
    if any(one.failure for one in told):
        raise typer.Exit(1)
