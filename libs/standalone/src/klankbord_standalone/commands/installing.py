"""`klankbord credentials`, `rotate` and `provision`: keys, and servers of your own."""

import re
from pathlib import Path
from typing import Annotated

import typer

from klankbord_runtime.permissions import PROVISION
from klankbord_runtime.provision import check as check_bus
from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import out, say, tell_head
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.explained import UsageError
from klankbord_standalone.handout import hand_out, shares
from klankbord_standalone.private_file import write_private
from klankbord_standalone.retention import streams_kept
from klankbord_standalone.rotation import ALL, WITH_SEED, begin, named
from klankbord_standalone.rotation import finish as end
from klankbord_standalone.standalone import reach

installing = typer.Typer()

NEXT = """The new ones are good, and the old keys of NATS too. Next:
1. give the new ones to whoever has the old ones (`klankbord credentials FOLDER --hand-out …`)
2. restart the services, one after the other
3. `klankbord rotate … --finish`"""


DATABASE_URL = re.compile(r"postgres(ql)?://[^/]+/[^/?]+")


@command(installing, "credentials")
async def credentials(
    folder: Annotated[Path, typer.Argument(help="Where the keys and passwords are kept.")],
    hand_out_to: Annotated[
        Path | None,
        typer.Option(
            "--hand-out",
            help="Write there a folder for each server and service, with its own of them and no "
            "more: for containers, and for Kubernetes secrets.",
        ),
    ] = None,
    postgres_url: Annotated[
        str | None,
        typer.Option(
            help="With --hand-out: the URI of the database. A role that it names with its password "
            "is to provision; without one the superuser is."
        ),
    ] = None,
) -> None:
    """Make keys and passwords for servers of your own, and NATS's list of who may do what.

    Makes what is missing and keeps what is there. `auth.conf` in the folder holds public keys
    only: include it in nats-server's configuration (deploy/nats/nats.conf does). `pgpass` lets
    in the PostgreSQL role `postgres` where PGPASSFILE names it.
    """
    if (hand_out_to is None) is not (postgres_url is None):
        raise UsageError("--hand-out and --postgres-url belong together: give both or none")
    if postgres_url is not None and not DATABASE_URL.match(postgres_url):
        raise UsageError(
            "--postgres-url is no URI of a database: write it as "
            "postgresql://postgres.example.org:5432/klankbord"
        )
    made = Credentials.create(folder)
    made.write_authorization()
    write_private(folder / "pgpass", made.passfile())
    out().print(f"{folder}: keys, passwords, auth.conf and pgpass", soft_wrap=True)
    if hand_out_to is not None and postgres_url is not None:
        given = shares(made, postgres_url)
        hand_out(given, hand_out_to)
        out().print(f"{hand_out_to}: a folder for each of {', '.join(given)}", soft_wrap=True)


@command(installing, "rotate")
async def rotate(
    place: Place,
    name: Annotated[str, typer.Argument(help=f"{', '.join(ALL)}; or all.")],
    finish: Annotated[
        bool,
        typer.Option("--finish", help="Servers of your own: let only the new ones be good now."),
    ] = False,
) -> None:
    """Give services new NATS keys and database passwords, while everything runs.

    With the embedded servers this is all. With servers of your own it goes in steps, and says
    after each what to do next. The pseudonym key stays: with another every member is a stranger.
    """
    names = named(name)
    async with reach(place.home, place.elsewhere) as installation:
        if not finish:
            await begin(installation, names, say)
        is_done = place.elsewhere is None or finish
        if is_done and (finish or any(one in WITH_SEED for one in names)):
            await end(installation, names, say)
        await tell_head(installation)
    out().print("The new ones are good, and the old ones no more." if is_done else NEXT)


@command(installing, "provision")
async def provision(
    place: Place,
    replicas: Annotated[int, typer.Option(help="Servers that keep each stream: 1, 3 or 5.")] = 1,
    check: Annotated[
        bool, typer.Option(help="Change nothing; exit code 1 if something differs.")
    ] = False,
    shrink: Annotated[
        bool,
        typer.Option(
            "--shrink", help="Let a stream keep less than it does, though events are lost by it."
        ),
    ] = False,
) -> None:
    """Make streams, consumers, database roles and schemas what they should be; say what changed.

    How long and how much each stream keeps is in streams.yaml in the configuration folder, where
    it is there (docs/operations.md). Exit code 1: a stream was kept as it was, since events would
    be lost; 3: streams.yaml was refused.
    """
    streams = streams_kept(place.home.config)
    async with reach(place.home, place.elsewhere, make=not check) as installation:
        if check:
            async with installation.client(PROVISION) as client:
                differences = await check_bus(client, replicas, streams)
            for difference in differences:
                out().print(difference)
            if differences:
                raise typer.Exit(1)
            out().print("nothing differs")
            return
        changes = await installation.provision(replicas, streams, shrink=shrink)
        for change in changes:
            out().print(str(change), soft_wrap=True)
        kept = sum(change.kind == "kept" for change in changes)
        out().print(f"{len(changes) - kept} changes")
        await tell_head(installation)
    if kept:
        out().print(f"{kept} streams were kept as they were: --shrink does it all the same")
        raise typer.Exit(1)
