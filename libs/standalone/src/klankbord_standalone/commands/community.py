"""`klankbord import`, `report`, `tail` and `erase-member`: what members say."""

from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from klankbord_standalone import erase, importing
from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Community, Json, err, out, print_json
from klankbord_standalone.explained import UsageError
from klankbord_standalone.report_html import render_html
from klankbord_standalone.report_reader import read_report
from klankbord_standalone.report_text import render_text
from klankbord_standalone.standalone import reach
from klankbord_standalone.tail import line_of, parse_since
from klankbord_standalone.tail import tail as tail_events

community = typer.Typer()


@command(community, "import")
async def import_(
    place: Place,
    path: Annotated[
        str, typer.Argument(metavar="PATH|URL", help="A file, a folder or a feed's address.")
    ],
    community: Annotated[str, typer.Option(help="The community that it belongs to.")],
    source: Annotated[str, typer.Option(help="What the source is to be called.")] = "import",
    platform: Annotated[
        str | None, typer.Option(help="The platform it came from. [default: the source's own]")
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", help="auto, ndjson, csv, mbox, slack, discord, mastodon or feed."),
    ] = "auto",
    mapping: Annotated[
        Path | None,
        typer.Option(help="A YAML file that says which column of CSV or NDJSON is which field."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Read and check; hand nothing in.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="A server of your own that a URL may lead to: 127.0.0.1:8080."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring history in: NDJSON, CSV, mails, exports of Slack, Discord and Mastodon, a feed.

    Goes through the ingest service that runs here, or starts one for the while. Importing the same
    file again adds nothing. Rows that are refused are written to a file with the reason; the rest
    goes in. Exit code 0: done. 3: some rows were refused. 2: it was called wrongly.
    """
    job = importing.Job(
        path, community, source, platform, format_, dry_run, tuple(allow or ()), mapping
    )
    result = await importing.run(place, job, err())
    if as_json:
        print_json(importing.as_json(result))
    else:
        importing.show(result, out())
    if result.refused:
        raise typer.Exit(3)


@command(community, "tail")
async def tail(
    place: Place,
    subject: Annotated[
        str,
        typer.Argument(
            help="Such as 'klankbord.feedback.routed.v1.*.product' or 'klankbord.post.received.>'."
        ),
    ],
    since: Annotated[
        str, typer.Option(help="all, new, an age such as 2h or 7d, or a time.")
    ] = "all",
    durable: Annotated[
        str | None,
        typer.Option(help="Keep the place under this name: the next tail goes on there."),
    ] = None,
    follow: Annotated[bool, typer.Option(help="Wait for more.")] = True,
    as_json: Json = False,
) -> None:
    """Show events as they come, each one once; with --json one CloudEvent a line.

    While nothing runs on the data folder it shows what is kept there, and ends.
    """
    begin = parse_since(since, datetime.now(UTC))
    follow = follow and (place.home.running() is not None or place.elsewhere is not None)
    async with (
        reach(place.home, place.elsewhere) as installation,
        aclosing(tail_events(installation, subject, begin, durable, follow=follow)) as events,
    ):
        async for event in events:
            if as_json:
                print_json(event)
            else:
                out().print(line_of(event), soft_wrap=True)


@command(community, "report")
async def report(
    place: Place,
    community: Community = None,
    html: Annotated[
        Path | None, typer.Option(help="Write it as one page, to mail to the boss.")
    ] = None,
) -> None:
    """How the community is: growth, the key figure, what was flagged and why, what went where."""
    if html is not None and not html.parent.is_dir():
        raise UsageError(f"there is no folder {html.parent} to write {html.name} in")
    async with reach(place.home, place.elsewhere) as installation:
        found = await read_report(installation.postgres_url("reader"), community, datetime.now(UTC))
    if html is None:
        render_text(found, out())
    else:
        html.write_text(render_html(found), encoding="utf-8")
        out().print(f"wrote {html}", soft_wrap=True)


@command(community, "erase-member")
async def erase_member(
    place: Place,
    community: Annotated[str, typer.Option(help="Which community is to forget the member.")],
    author: Annotated[
        str | None, typer.Option(help="The pseudonym: `attributedTo` of an event of theirs.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(help="Or the platform that knows the member, and …")
    ] = None,
    native_id: Annotated[str | None, typer.Option(help="… what it calls the member.")] = None,
    wait: Annotated[
        float, typer.Option(help="How many seconds the services have to answer.")
    ] = 300,
    rewrite: Annotated[
        bool,
        typer.Option(
            "--rewrite",
            help="Write PostgreSQL's tables anew, so that nothing is left in their free space "
            "either. Each is locked meanwhile: what comes in waits.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a person: in every service, in every stream, for good.

    From then on nothing of theirs is taken in. Counts of the past stay. It may be run again at any
    time, and should be after a backup was restored. A member who was never seen is refused from
    then on, too.
    """
    result = await erase.run(
        place,
        community,
        (author, platform, native_id),
        wait,
        asks=not yes,
        rewrite=rewrite,
        err=err(),
    )
    if as_json:
        print_json(vars(result))
    else:
        erase.show(result, out())
