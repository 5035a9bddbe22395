"""`klankbord source`: the places where the community talks."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from klankbord_ingest.keys import SIGNATURE
from klankbord_ingest.kinds import installed
from klankbord_standalone import apply, sources
from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, err, out, print_json, tell_head
from klankbord_standalone.explained import UsageError
from klankbord_standalone.standalone import reach
from klankbord_standalone.tail import parse_since

source = typer.Typer(no_args_is_help=True, help="The places where the community talks.")

Name = Annotated[str, typer.Argument(help="The source's name, as klankbord.yaml has it.")]


@command(source, "kinds")
async def kinds() -> None:
    """List every kind of source that is installed here."""
    for name, kind in installed().items():
        summary = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
        out().print(f"{name:15} {summary}", soft_wrap=True, markup=False)


@command(source, "add")
async def add(
    place: Place,
    kind: Annotated[str, typer.Argument(help="What kind it is: `klankbord source kinds`.")],
    name: Annotated[str, typer.Argument(help="What to call it: small letters, digits, hyphens.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="What else the kind asks for: url=https://…"),
    ] = None,
    community: Annotated[str, typer.Option(help="The community that talks there.")] = "",
    secret: Annotated[
        list[str] | None,
        typer.Option(help="ROLE=FILE: a secret, read from a file; - is what is typed in."),
    ] = None,
    new_secret: Annotated[
        bool, typer.Option(help="Make the secret that its platform is to sign with, and show it.")
    ] = False,
) -> None:
    """Add a source to klankbord.yaml and put it in force; nothing has to be restarted.

    Its secrets are files in the data folder, never in klankbord.yaml. Afterwards `klankbord source
    test NAME` tells whether it works.
    """
    place.home.prepare()
    if not community:
        raise UsageError("say whose it is: --community SLUG")
    given = dict(_pair(option) for option in options or ())
    if doubled := given.keys() & {"name", "kind", "community"}:
        # its secrets would be written for another name than the one that is listed
        raise UsageError(f"{min(doubled)} is said already; leave out `{min(doubled)}=…`")
    secrets = {role: _read(role, file) for role, file in map(_pair, secret or ())}
    known = installed()[kind].secrets if kind in installed() else {}
    if unknown := [role for role in secrets if role not in known]:
        raise UsageError(
            f"{kind} has no secret {unknown[0]!r}; it has {', '.join(known) or 'none'}"
        )
    if new_secret and SIGNATURE in known:
        secrets[SIGNATURE] = sources.new_secret(kind)
    file, before = sources.add(place.home, kind, name, community, given)
    for role, text in secrets.items():
        kept = sources.keep_secret(place.home, name, role, text)
        err().print(f"[dim]· its {role} is in {kept}[/dim]", soft_wrap=True)
    if place.home.running() is not None:
        try:
            async with reach(place.home, place.elsewhere) as installation:
                await apply.apply(place.home, installation, apply.CONFIG, file)
                await tell_head(installation)
        except BaseException:
            file.write_bytes(before)
            raise
    out().print(f"{name} is listed in {file}", soft_wrap=True)
    if new_secret and SIGNATURE in known:
        out().print(f"give its platform this secret: {secrets[SIGNATURE]}", soft_wrap=True)
    for told in sources.missing(place.home, name):
        out().print(told, soft_wrap=True, markup=False)


@command(source, "list")
async def list_(place: Place, as_json: Json = False) -> None:
    """Show what every source is doing: when it was heard, what fails and why, what is left."""
    document = await sources.ask(place.home, "")
    if as_json:
        print_json(document["sources"])
    else:
        sources.show(document, out())


@command(source, "test")
async def try_(place: Place, name: Name, as_json: Json = False) -> None:
    """Try a source: is its token good, its address right? Keeps nothing. Exit code 1: it is not."""
    document = await sources.ask(place.home, f"/{name}/test", acts=True)
    if as_json:
        print_json(document["findings"])
        is_well = all(finding["ok"] for finding in document["findings"])
    else:
        is_well = sources.show_findings(name, document, out())
    if not is_well:
        raise typer.Exit(1)


@command(source, "pause")
async def pause(place: Place, name: Name) -> None:
    """Listen no more, until `klankbord source resume`. What is sent is told to come later."""
    await sources.ask(place.home, f"/{name}/pause", acts=True)
    out().print(f"{name} is paused; klankbord source resume {name} ends that", soft_wrap=True)


@command(source, "resume")
async def resume(place: Place, name: Name) -> None:
    """Listen again, from where it stopped; also to what was gone for good."""
    await sources.ask(place.home, f"/{name}/resume", acts=True)
    out().print(f"{name} is listened to again", soft_wrap=True)


@command(source, "backfill")
async def backfill(
    place: Place,
    name: Name,
    since: Annotated[
        str, typer.Option(help="How far back: an age such as 90d, or a time. [default: all]")
    ] = "",
) -> None:
    """Have what was said before fetched, beside what is said now; `source list` shows how far."""
    moment = parse_since(since, datetime.now(UTC)).moment if since else None
    asked = {} if moment is None else {"since": moment.astimezone(UTC).isoformat()}
    await sources.ask(place.home, f"/{name}/backfill", acts=True, **asked)
    out().print(f"the history of {name} is being fetched; klankbord source list", soft_wrap=True)


def _pair(option: str) -> tuple[str, str]:
    key, equals, value = option.partition("=")
    if not equals or not key:
        raise UsageError(f"{option!r} is not KEY=VALUE")
    return key, value


def _read(role: str, file: str) -> str:
    if file == "-":
        return str(typer.prompt(f"the {role}", hide_input=True))
    try:
        return Path(file).read_text("utf-8")
    except OSError as error:
        raise UsageError(f"{role}: {error}") from error
