"""`klankbord subscriber`: third parties."""

from pathlib import Path
from typing import Annotated

import typer

from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import (
    Json,
    out,
    print_json,
    tell_head,
)
from klankbord_standalone.standalone import reach
from klankbord_standalone.subscribers import invite, wanted

subscriber = typer.Typer(no_args_is_help=True, help="Third parties that read events.")


@command(subscriber, "add")
async def subscriber_add(
    place: Place,
    name: str,
    subjects: Annotated[
        list[str], typer.Option(help="A subject, with * and >; give the option again for more.")
    ],
    creds: Annotated[
        Path | None, typer.Option(help="Put a copy of the key here, for whoever is to have it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a read-only credential with a durable consumer of its own.

    See examples/subscriber.py and examples/subscriber.mjs for what to do with it.
    """
    guest = wanted(name, tuple(subjects))
    async with reach(place.home, place.elsewhere, make=True) as installation:
        await installation.note(
            "subscriber.added", name=guest.name, stream=guest.stream, subjects=guest.subjects
        )
        invitation = await invite(installation, guest, creds)
        await tell_head(installation)
    if as_json:
        print_json(vars(invitation))
        return
    for field, value in vars(invitation).items():
        told = " ".join(value) if isinstance(value, list) else value
        out().print(f"{field:<14}{told}", soft_wrap=True)
