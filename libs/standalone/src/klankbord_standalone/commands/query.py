"""`klankbord query`: saved queries, what is listened for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from klankbord_ingest.query.matcher import QuerySet
from klankbord_standalone import apply, queries
from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, err, out, print_json, tell_head
from klankbord_standalone.commands.files import files
from klankbord_standalone.explained import UsageError
from klankbord_standalone.standalone import reach
from klankbord_standalone.tail import parse_since

query = typer.Typer(no_args_is_help=True, help="Saved queries: what you listen for, anywhere.")
files(query, apply.QUERIES, "a file of queries")


@command(query, "list")
async def query_list(place: Place, as_json: Json = False) -> None:
    """Show the queries in force: their words, and where they listen."""
    async with queries.in_force(place) as found:
        if as_json:
            print_json([queries.as_json(query) for query in found.queries])
        else:
            queries.show(found, out())


@command(query, "test")
async def query_test(
    place: Place,
    text: Annotated[str, typer.Argument(help="What somebody might say.")],
    file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Try this file, not the queries in force."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which queries find a text, by their words alone. Exit code 1: none does."""
    if file is None:
        async with queries.in_force(place) as found:
            tried = list(queries.tried(found, text))
    else:
        tried = list(queries.tried(apply.checked(file, QuerySet.read), text))
    if as_json:
        print_json([queries.as_json(q) | match.model_dump(include={"found"}) for q, match in tried])
    else:
        for one, match in tried:
            words = ", ".join(f"{place.text!r}" for place in match.found)
            only = f" (only {where})" if (where := queries.where(one)) else ""
            out().print(f"{one.name}: {words}{only}", markup=False, soft_wrap=True)
    if not tried:
        if not as_json:
            out().print("no query finds that")
        raise typer.Exit(1)


@command(query, "run")
async def query_run(
    place: Place,
    name: Annotated[str, typer.Argument(help="The query, as `klankbord query list` has it.")],
    since: Annotated[
        str, typer.Option(help="all that is kept, an age such as 2h or 7d, or a time.")
    ] = "all",
    dry_run: Annotated[bool, typer.Option(help="Look and count; say nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Find what was said before: run a query over the posts that the bus still keeps.

    Only versions that still stand are found, and what was found before is not said again: it may
    be run as often as you like. What was said before the oldest post that is kept is not found.
    """
    begin = parse_since(since, datetime.now(UTC))
    if since == "new":
        raise UsageError("--since new would find nothing: new posts are looked at as they come")
    with err().status("reading …") as shown:
        result = await queries.run(place, name, begin, shown.update, dry_run=dry_run)
    if as_json:
        print_json(queries.result_as_json(result))
    else:
        queries.show_result(result, out(), dry_run=dry_run)
    if not dry_run:
        async with reach(place.home, place.elsewhere) as installation:
            await tell_head(installation)
