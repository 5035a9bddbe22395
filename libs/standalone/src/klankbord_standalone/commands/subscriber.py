"""`klankbord subscriber`: third parties."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from klankbord_runtime.permissions import USUAL, Quotas
from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, out, print_json, say, tell_head
from klankbord_standalone.explained import UsageError
from klankbord_standalone.standalone import reach
from klankbord_standalone.subscribers import (
    finish_rotation,
    invite,
    known,
    readings,
    remove,
    rotate,
    wanted,
)

subscriber = typer.Typer(no_args_is_help=True, help="Third parties that read events.")

Creds = Annotated[
    Path | None, typer.Option(help="Put a copy of the key here, for whoever is to have it.")
]


@command(subscriber, "add")
async def subscriber_add(
    place: Place,
    name: str,
    subjects: Annotated[
        list[str], typer.Option(help="A subject, with * and >; give the option again for more.")
    ],
    creds: Creds = None,
    connections: Annotated[int, typer.Option(help="The most connections at once.")] = (
        USUAL.connections
    ),
    subscriptions: Annotated[int, typer.Option(help="The most subscriptions at once.")] = (
        USUAL.subscriptions
    ),
    payload: Annotated[int, typer.Option(help="The most bytes of a message that it sends.")] = (
        USUAL.payload
    ),
    requests: Annotated[int, typer.Option(help="The most requests that may wait.")] = (
        USUAL.requests
    ),
    batch: Annotated[int, typer.Option(help="The most events of one request.")] = USUAL.batch,
    in_hand: Annotated[
        int, typer.Option(help="The most events that it may have without acknowledging them.")
    ] = USUAL.in_hand,
    as_json: Json = False,
) -> None:
    """Make a read-only credential with a durable consumer of its own, and quotas.

    Given again with the same subjects it changes the quotas. See examples/subscriber.py and
    examples/subscriber.mjs for what to do with it.
    """
    quotas = Quotas(connections, subscriptions, payload, requests, batch, in_hand)
    guest = wanted(name, tuple(subjects), quotas)
    async with reach(place.home, place.elsewhere, make=True) as installation:
        await installation.note(
            "subscriber.added",
            name=guest.name,
            stream=guest.stream,
            subjects=guest.subjects,
            quotas=asdict(quotas),
        )
        invitation = await invite(installation, guest, creds)
        await tell_head(installation)
    if as_json:
        print_json(vars(invitation))
        return
    for field, value in vars(invitation).items():
        told = " ".join(value) if isinstance(value, list) else value
        out().print(f"{field:<14}{told}", soft_wrap=True)


@command(subscriber, "list")
async def subscriber_list(place: Place, as_json: Json = False) -> None:
    """Show who reads what, how far each is, and its quotas."""
    async with reach(place.home, place.elsewhere) as installation:
        found = await readings(installation)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "subjects", "waiting", "in hand", "last active", "quotas"):
        table.add_column(column, overflow="fold")
    for one in found:
        quotas = " ".join(f"{name}={most}" for name, most in vars(one.subscriber.quotas).items())
        table.add_row(
            one.subscriber.name + (" (two keys)" if one.rotating else ""),
            "\n".join(one.subscriber.subjects),
            "no consumer" if one.waiting is None else f"{one.waiting:,}",
            "" if one.in_hand is None else f"{one.in_hand:,}",
            (one.last_active or "")[:19],
            quotas,
        )
    out().print(table)


@command(subscriber, "remove")
async def subscriber_remove(place: Place, name: str) -> None:
    """Take a third party's place in the stream and its key away, at once."""
    async with reach(place.home, place.elsewhere) as installation:
        guest = known(installation, name)
        await installation.note("subscriber.removed", name=guest.name, stream=guest.stream)
        await remove(installation, guest)
        await tell_head(installation)
    out().print(f"{name} is out: its key is refused, and its place in {guest.stream} is gone")


@command(subscriber, "rotate")
async def subscriber_rotate(
    place: Place,
    name: str,
    creds: Creds = None,
    keep_old: Annotated[
        bool,
        typer.Option("--keep-old", help="Let the old key be good too, until --finish."),
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Let the old key be good no more.")
    ] = False,
) -> None:
    """Give a third party another key. It goes on where it was; whoever has the old one is out."""
    if finish and (keep_old or creds is not None):
        raise UsageError("--finish makes no key: give it alone")
    async with reach(place.home, place.elsewhere) as installation:
        guest = known(installation, name)
        act = "subscriber.retired" if finish else "subscriber.rotated"
        await installation.note(act, name=guest.name, keep_old=keep_old)
        if finish:
            await finish_rotation(installation, guest, say)
        else:
            file = await rotate(installation, guest, creds, say, keep_old=keep_old)
            out().print(f"new key  {file}", soft_wrap=True)
        await tell_head(installation)
    out().print("the old key is good too, until --finish" if keep_old else "the old key is refused")
