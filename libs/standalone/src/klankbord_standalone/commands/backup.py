"""`klankbord backup` and `restore`: everything that NATS and PostgreSQL keep."""

from pathlib import Path
from typing import Annotated

import typer

from klankbord_standalone.backup import NOT_INCLUDED, Source, back_up
from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, err, out, print_json, say, tell_head
from klankbord_standalone.manifest import Manifest
from klankbord_standalone.restore import (
    Restored,
    as_json,
    bring_files,
    forget_imports,
    require_replaceable,
    require_same_key,
    require_stopped,
    restore,
)
from klankbord_standalone.retention import streams_kept
from klankbord_standalone.standalone import reach

backup = typer.Typer()


@command(backup, "backup")
async def backup_(
    place: Place,
    folder: Annotated[Path, typer.Argument(help="Where to: a new folder, or an empty one.")],
    with_credentials: Annotated[
        bool,
        typer.Option(
            "--with-credentials",
            help="Copy keys, passwords and webhook secrets too: guard it as you guard them.",
        ),
    ] = False,
    as_json_: Json = False,
) -> None:
    """Copy the database, the streams and the configuration, while everything runs.

    It goes back to one moment: what was accepted by then is in it, and what came after can be sent
    again without counting twice. docs/operations.md says what to do with it.
    """
    async with reach(place.home, place.elsewhere) as installation:
        source = Source(installation, place.home)
        manifest = await back_up(source, folder, say, with_credentials=with_credentials)
        await tell_head(installation)
    if as_json_:
        print_json(manifest.model_dump(mode="json"))
        return
    rows, messages = sum(manifest.rows.values()), sum(one.messages for one in manifest.streams)
    as_of = f"{manifest.as_of:%Y-%m-%d %H:%M:%S} UTC"
    out().print(f"{folder}: {rows:,} rows and {messages:,} events, as of {as_of}", soft_wrap=True)
    if not with_credentials:
        err().print(f"Not in it: {NOT_INCLUDED}", soft_wrap=True)


@command(backup, "restore")
async def restore_(
    place: Place,
    folder: Annotated[Path, typer.Argument(help="A backup.", exists=True, file_okay=False)],
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete what is there, all of it.")
    ] = False,
    replicas: Annotated[int, typer.Option(help="Servers that keep each stream: 1, 3 or 5.")] = 1,
    as_json_: Json = False,
) -> None:
    """Make an installation what a backup holds. Its services must not run.

    Refuses a backup that is damaged or was never finished, one of a newer Klankbord, and to replace
    what is there without --replace. Interrupted, it is given again, with --replace.
    """
    manifest = Manifest.read(folder)
    manifest.require_known_schema()
    say("reading every file of the backup")
    await manifest.verify(folder)
    require_stopped(place.home)
    if place.elsewhere is None:
        bring_files(place.home, folder)
    async with reach(place.home, place.elsewhere, make=True) as installation:
        require_same_key(manifest, installation)
        await require_replaceable(installation, replace=replace)
        result = await restore(
            installation,
            manifest,
            folder,
            say,
            replicas=replicas,
            streams=streams_kept(place.home.config),
        )
    forget_imports(place.home)
    if as_json_:
        print_json(as_json(result))
        return
    _show(result)


def _show(result: Restored) -> None:
    as_of = f"{result.manifest.as_of:%Y-%m-%d %H:%M:%S} UTC"
    out().print(f"It is as it was at {as_of}. Start it: what comes in again counts once.")
    out().print(f"{result.published:,} events that the streams did not have yet were published.")
    if result.lost:
        out().print(f"{len(result.lost)} acts of administrators are not in its log any more:")
        for entry in result.lost:
            told = f"  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.role}  {entry.act}  {entry.details}"
            out().print(told, soft_wrap=True, markup=False)
    if result.erased_later:
        out().print(
            "These members were erased after the backup, or around it. Nothing of theirs is taken "
            "in, and what the backup brought back is there until you run erase-member again for "
            "each:",
            soft_wrap=True,
        )
        for community, digest, erased in result.erased_later:
            out().print(f"  {community}  sha256:{digest}  {erased:%Y-%m-%d %H:%M}", soft_wrap=True)
    else:
        out().print(
            "Was a member erased after the backup? This installation does not know: run "
            "erase-member again for each.",
            soft_wrap=True,
        )
    err().print(f"[dim]audit {result.head}[/dim]", soft_wrap=True)
