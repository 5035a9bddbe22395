"""The commands of `klankbord`, and their options."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from klankbord_runtime.audit import problems
from klankbord_runtime.permissions import PROVISION
from klankbord_runtime.provision import check as check_bus
from klankbord_standalone import apply, erase, importing
from klankbord_standalone.command import Place, command
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.demo import demo as play_demo
from klankbord_standalone.dlq import DeadLetterQueue, dead_letters
from klankbord_standalone.dlq import show as show_dead_letters
from klankbord_standalone.explained import UsageError
from klankbord_standalone.handout import hand_out, shares
from klankbord_standalone.private_file import write_private
from klankbord_standalone.report_html import render_html
from klankbord_standalone.report_reader import read_report
from klankbord_standalone.report_text import render_text
from klankbord_standalone.sample import SEED
from klankbord_standalone.servers import Installation
from klankbord_standalone.standalone import reach
from klankbord_standalone.status import read_status
from klankbord_standalone.status import show as show_status
from klankbord_standalone.subscribers import invite, wanted
from klankbord_standalone.tail import line_of, parse_since
from klankbord_standalone.tail import tail as tail_events
from klankbord_standalone.up import up as start_up

app = typer.Typer(
    name="klankbord",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Listens wherever your community talks, moderates with reasons, carries what members say
to who can act on it, and shows in a few honest numbers whether the community grows.

Begin with **klankbord demo**, a sample community; then **klankbord up** for your own.""",
)
dlq = typer.Typer(
    no_args_is_help=True, help="Events that could not be handled: see, replay, discard."
)
subscriber = typer.Typer(no_args_is_help=True, help="Third parties that read events.")
policy = typer.Typer(no_args_is_help=True, help="The moderation policy.")
routing = typer.Typer(no_args_is_help=True, help="The routing rules.")
config = typer.Typer(no_args_is_help=True, help="klankbord.yaml: communities and sources.")
audit = typer.Typer(no_args_is_help=True, help="What administrators did, in a chain of hashes.")
for name, group in {
    "dlq": dlq,
    "subscriber": subscriber,
    "policy": policy,
    "routing": routing,
    "config": config,
    "audit": audit,
}.items():
    app.add_typer(group, name=name)


@cache
def out() -> Console:
    """Where results are printed. Made when first used: it reads what the terminal can do."""
    return Console(highlight=False)


@cache
def err() -> Console:
    """Where the user is told what is being done."""
    return Console(stderr=True, highlight=False)


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]
Community = Annotated[
    str | None, typer.Option(help="Which community. [default: the only one there is]")
]


def say(message: str) -> None:
    """Tell the user what is being done; not part of the result."""
    err().print(f"[dim]· {message} …[/dim]")


async def tell_head(installation: Installation) -> None:
    """Tell the hash that vouches for the audit log up to here; not part of the result."""
    err().print(f"[dim]audit {await installation.audit_head()}[/dim]", soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


@command(app, "up")
async def up(
    place: Place,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_535,
            help="Where the door listens. [default: where it did before, at first a free one]",
        ),
    ] = None,
) -> None:
    """Start everything on this machine, and keep it running until Ctrl-C.

    A second start on the same data folder goes on where the first one stopped.
    """
    await start_up(place, port, out(), say)


@command(app, "demo")
async def demo(
    place: Place,
    seed: Annotated[int, typer.Option(help="Another seed is another eight weeks.")] = SEED,
    today: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day it plays on. [default: today]"),
    ] = None,
) -> None:
    """Play a sample community through everything, and show what a community manager would see.

    Eight weeks of a small software maker's community, written for this: a launch, a meet-up, a
    conflict, a spammer, leads, bugs, praise, in five languages. It lives in a folder of its own
    inside the data folder and is played anew each time.
    """
    day = today.date() if today else date.today()  # noqa: DTZ011 - the user's own day
    await play_demo(place.home.data / "demo", place.elsewhere, seed, day, out(), say)


@command(app, "import")
async def import_(
    place: Place,
    path: Annotated[
        str, typer.Argument(metavar="PATH|URL", help="A file, a folder or a feed's address.")
    ],
    community: Annotated[str, typer.Option(help="The community that it belongs to.")],
    source: Annotated[str, typer.Option(help="What the source is to be called.")] = "import",
    platform: Annotated[
        str | None, typer.Option(help="The platform it came from. [default: the source's name]")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="auto, ndjson, csv, mbox, slack or feed.")
    ] = "auto",
    dry_run: Annotated[bool, typer.Option(help="Read and check; hand nothing in.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="A host or network of your own that a URL may lead to: 127.0.0.1."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring history in: NDJSON, CSV, mbox or a folder of mails, a Slack export, a feed.

    Goes through the ingest service that runs here, or starts one for the while. Importing the same
    file again adds nothing. Rows that are refused are written to a file with the reason; the rest
    goes in. Exit code 0: done. 3: some rows were refused. 2: it was called wrongly.
    """
    job = importing.Job(
        path, community, source, platform or source, format_, dry_run, tuple(allow or ())
    )
    result = await importing.run(place, job, err())
    if as_json:
        print_json(importing.as_json(result))
    else:
        importing.show(result, out())
    if result.refused:
        raise typer.Exit(3)


@command(app, "tail")
async def tail(
    place: Place,
    subject: Annotated[
        str,
        typer.Argument(
            help="Such as 'klankbord.feedback.routed.v1.*.product' or 'klankbord.post.>'."
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


@command(app, "credentials")
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
        typer.Option(help="With --hand-out: the URI of the database, without role and password."),
    ] = None,
) -> None:
    """Make keys and passwords for servers of your own, and NATS's list of who may do what.

    Makes what is missing and keeps what is there. `auth.conf` in the folder holds public keys
    only: include it in nats-server's configuration (deploy/nats/nats.conf does). `pgpass` lets
    in the PostgreSQL role `postgres` where PGPASSFILE names it.
    """
    if (hand_out_to is None) is not (postgres_url is None):
        raise UsageError("--hand-out and --postgres-url belong together: give both or none")
    made = Credentials.create(folder)
    made.write_authorization()
    write_private(folder / "pgpass", made.passfile())
    out().print(f"{folder}: keys, passwords, auth.conf and pgpass", soft_wrap=True)
    if hand_out_to is not None and postgres_url is not None:
        given = shares(made, postgres_url)
        hand_out(given, hand_out_to)
        out().print(f"{hand_out_to}: a folder for each of {', '.join(given)}", soft_wrap=True)


@command(app, "status")
async def status(place: Place, as_json: Json = False) -> None:
    """Is everything running, is anything waiting, did anything go wrong. Exit code 1: not well."""
    running = place.home.running()
    async with reach(place.home, place.elsewhere) as installation:
        found = await read_status(installation, running)
    if as_json:
        print_json(found.as_json())
    else:
        show_status(found, out())
    if not found.healthy:
        raise typer.Exit(1)


@command(app, "report")
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


@command(app, "provision")
async def provision(
    place: Place,
    replicas: Annotated[int, typer.Option(help="Servers that keep each stream: 1, 3 or 5.")] = 1,
    check: Annotated[
        bool, typer.Option(help="Change nothing; exit code 1 if something differs.")
    ] = False,
) -> None:
    """Make streams, consumers, database roles and schemas what they should be; say what changed."""
    async with reach(place.home, place.elsewhere, make=not check) as installation:
        if check:
            async with installation.client(PROVISION) as client:
                differences = await check_bus(client, replicas)
            for difference in differences:
                out().print(difference)
            if differences:
                raise typer.Exit(1)
            out().print("nothing differs")
            return
        changes = await installation.provision(replicas)
        for change in changes:
            out().print(str(change))
        out().print(f"{len(changes)} changes")
        await tell_head(installation)


@command(app, "erase-member")
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


@asynccontextmanager
async def _queue(place: Place) -> AsyncIterator[tuple[Installation, DeadLetterQueue]]:
    async with (
        reach(place.home, place.elsewhere) as installation,
        dead_letters(installation) as queue,
    ):
        yield installation, queue


@command(dlq, "list")
async def dlq_list(place: Place, as_json: Json = False) -> None:
    """Show the events that a consumer could not handle, and why."""
    async with _queue(place) as (_, queue):
        kept = [letter async for letter in queue.all()]
    if as_json:
        print_json([letter.as_json() for letter in kept])
    else:
        show_dead_letters(kept, out())


@command(dlq, "show")
async def dlq_show(place: Place, number: int) -> None:
    """Show one of them whole."""
    async with _queue(place) as (_, queue):
        kept = await queue.get(number)
    out().print_json(json.dumps(kept.as_json(), default=str))


@command(dlq, "replay")
async def dlq_replay(
    place: Place,
    number: Annotated[int | None, typer.Argument(help="Which one; none needs --all.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every one.")] = False,
) -> None:
    """Give them once more to the consumer that could not handle them: mend the cause first."""
    if (number is None) is not all_:
        raise UsageError("give one number, or --all")
    async with _queue(place) as (installation, queue):
        chosen = (
            [kept async for kept in queue.all()] if number is None else [await queue.get(number)]
        )
        if chosen:
            await installation.note("letters.replayed", numbers=[kept.number for kept in chosen])
        for kept in chosen:
            await queue.replay(kept)
        out().print(f"replayed {len(chosen)}")
        await tell_head(installation)


@command(dlq, "discard")
async def dlq_discard(
    place: Place,
    number: int,
    reason: Annotated[str, typer.Option(help="Why; it is written down with the event.")],
) -> None:
    """Give one of them up; the event and the reason are kept in logs/discarded.ndjson."""
    record = place.home.discarded
    async with _queue(place) as (installation, queue):
        kept = await queue.get(number)
        await installation.note(
            "letter.discarded",
            number=number,
            consumer=kept.letter.consumer,
            stream_sequence=kept.letter.stream_sequence,
        )
        await queue.discard(kept, reason, record)
        out().print(f"discarded {number}; it is kept in {record}", soft_wrap=True)
        await tell_head(installation)


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


def _files(group: typer.Typer, kind: apply.Kind, what: str) -> None:
    """Let a group check and apply the file of that kind."""

    async def check(file: File) -> None:
        apply.check(kind, file)
        out().print(f"{file} is a good {kind.name} file", soft_wrap=True)

    check.__doc__ = f"Check {what}; errors name the line and the fix. Exit code 3: refused."
    command(group, "check")(check)

    async def put_in_force(place: Place, file: File) -> None:
        apply.check(kind, file)
        place.home.prepare()
        async with reach(place.home, place.elsewhere) as installation:
            await apply.apply(place.home, installation, kind, file)
            await tell_head(installation)

    put_in_force.__doc__ = (
        f"Put {what} in force for every replica, now. Exit code 3: refused, the last one stays."
    )
    command(group, "apply")(put_in_force)


_files(policy, apply.POLICY, "a policy file")
_files(routing, apply.ROUTING, "a routing file")
_files(config, apply.CONFIG, "a klankbord.yaml")
