"""`klankbord subscriber`: third parties."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding

from klankbord_runtime.permissions import USUAL, Quotas
from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, out, print_json, say, tell_head
from klankbord_standalone.explained import UsageError
from klankbord_standalone.standalone import reach
from klankbord_standalone.subscribers import (
    Reading,
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
    if not found:
        out().print("no subscribers: klankbord subscriber add NAME makes one")
    for one in found:
        keys = " (two keys)" if one.rotating else ""
        out().print(f"{one.subscriber.name}{keys}: {_place(one)}", markup=False)
        for subject in one.subscriber.subjects:
            out().print(f"  {subject}", markup=False, soft_wrap=True)
        quotas = ", ".join(f"{name}={most:,}" for name, most in vars(one.subscriber.quotas).items())
        out().print(Padding(f"at most: {quotas}", (0, 0, 0, 2)))


def _place(one: Reading) -> str:
    if one.waiting is None:
        return "no consumer: `klankbord subscriber add` with the same subjects makes it"
    active = (
        f"last acknowledged {one.last_active[:16].replace('T', ' ')} UTC"
        if one.last_active
        else "nothing acknowledged yet"
    )
    return f"{one.waiting:,} waiting, {one.in_hand or 0:,} in hand, {active}"


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
