"""`klankbord audit`: what administrators did."""

from typing import Annotated

import typer

from klankbord_runtime.audit import problems
from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, out, print_json
from klankbord_standalone.standalone import reach

audit = typer.Typer(no_args_is_help=True, help="What administrators did, in a chain of hashes.")


@command(audit, "list")
async def audit_list(
    place: Place,
    last: Annotated[int | None, typer.Option(min=1, help="Only the last so many.")] = None,
    as_json: Json = False,
) -> None:
    """Show what was done, when and by which database role, the oldest first."""
    async with reach(place.home, place.elsewhere) as installation:
        entries = await installation.audit_log(last)
    if as_json:
        print_json([entry.as_json() for entry in entries])
        return
    for entry in entries:
        line = (
            f"{entry.number:>5}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.role:<20}  {entry.act:<21}  "
        )
        out().print(f"{line}{entry.details}", soft_wrap=True, markup=False)


@command(audit, "verify")
async def audit_verify(
    place: Place,
    head: Annotated[
        str | None,
        typer.Option(help="A hash that was told after an act: it and all before must be there."),
    ] = None,
) -> None:
    """See whether the log is whole: no entry changed, removed or moved. Exit code 1: it is not.

    Without --head nobody can see whether the last entries were removed: keep the hash that is told
    after each act somewhere else.
    """
    async with reach(place.home, place.elsewhere) as installation:
        entries = await installation.audit_log()
    found = list(problems(entries, head))
    for problem in found:
        out().print(problem, soft_wrap=True)
    if found:
        raise typer.Exit(1)
    out().print(f"{len(entries)} entries, none changed, none missing before the last")
    if entries:
        out().print(f"head {entries[-1].hash}", soft_wrap=True)
