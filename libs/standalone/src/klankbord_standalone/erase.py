"""`klankbord erase-member`: forget a person, in every table and every stream.

The order matters. First ingest takes in nothing of the member any more, then every service forgets
and says so, and only then are the streams read: by then nothing about the member is added to them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import typer
from nats.aio.client import Client
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from klankbord_ingest.erase import erase
from klankbord_ingest.keys import read_pseudonym_key
from klankbord_ingest.pseudonym import is_pseudonym, pseudonym
from klankbord_ingest.sources import parse_sources
from klankbord_runtime.permissions import OPERATOR
from klankbord_runtime.settings import PostgresSettings, ServiceSettings
from klankbord_schemas import ErasureCompleted
from klankbord_schemas.topology import SERVICES, stream_of
from klankbord_standalone.apply import checked
from klankbord_standalone.command import Place
from klankbord_standalone.explained import ExplainedError, NothingHereError, UsageError
from klankbord_standalone.home import Home
from klankbord_standalone.importing import SLUG
from klankbord_standalone.member_files import files_naming, forget_discarded
from klankbord_standalone.scan import delete, find, read
from klankbord_standalone.servers import Installation
from klankbord_standalone.standalone import reach, start
from klankbord_standalone.traces import Member, Traces
from klankbord_standalone.vacuum import vacuum

LOOK_EVERY = 0.5
"""Seconds between two looks at who has answered."""

NOT_COVERED = (
    "what others quoted of the member, and that they named them",
    "events that third parties have read; member.erased tells those who subscribe to it",
    "backups, until they expire",
    "PostgreSQL's write-ahead log, until it is recycled",
    "logs of other programs, such as a proxy's, and files that were imported",
)

Tell = Callable[[str], None]


class NotAnsweredError(ExplainedError):
    """Some services have not forgotten yet."""


@dataclass
class Result:
    """What was removed."""

    services: dict[str, dict[str, int]] = field(default_factory=dict)
    """By service, how many records of which kind."""
    streams: dict[str, int] = field(default_factory=dict)
    """How many messages, by stream."""
    read: int = 0
    """How many messages were looked at."""
    discarded: int = 0
    """How many dead letters that were discarded before, in the file that keeps them."""
    head: str = ""
    """The hash that vouches for the audit log up to this erasure."""
    left: int = 0
    """How many messages a second look found: none, or something is wrong."""
    refused_files: list[str] = field(default_factory=list)
    """Files of rows that an import refused, which name the member: for the operator to look at."""

    @property
    def was_known(self) -> bool:
        """Whether anything at all was removed."""
        kept = (count for removed in self.services.values() for count in removed.values())
        return any(kept) or bool(self.streams)


def member_of(
    installation: Installation,
    community: str,
    author: str | None,
    platform: str | None,
    native_id: str | None,
) -> Member:
    """Whom the options name.

    Raises:
        UsageError: they name nobody, or two.
        ValueError: the pseudonym key cannot be read.
    """
    if SLUG.fullmatch(community) is None:
        raise UsageError(f"{community!r} is no community: use its slug, as in klankbord.yaml")
    by_id = (platform, native_id)
    if (author is None) is not all(by_id) or any(by_id) is not all(by_id):
        raise UsageError("give --author, or --platform and --native-id together")
    if author is not None:
        if not is_pseudonym(author):
            raise UsageError(
                f"{author!r} is no pseudonym: give the whole of an event's attributedTo, p- and 32 "
                "characters; for what the platform calls the member use --platform and --native-id"
            )
        return Member(community, author)
    assert platform is not None
    assert native_id is not None
    key = read_pseudonym_key(installation.credentials.pseudonym_key_file)
    return Member(community, pseudonym(key, platform, native_id), native_id)


@asynccontextmanager
async def everything(place: Place) -> AsyncIterator[Installation]:
    """The installation with its services running: where they do not, they are started here."""
    if place.home.running() is None and place.elsewhere is None:
        if not place.home.is_made:
            raise NothingHereError("nothing here yet: klankbord up")
        async with start(place.home) as started:
            yield started.installation
    else:
        async with reach(place.home, place.elsewhere) as installation:
            yield installation


async def preview(installation: Installation, member: Member, tell: Tell) -> Traces:
    """What the streams hold about the member now. Nothing is changed."""
    async with installation.client(OPERATOR) as client:
        return await find(client, member, tell)


class Erasing:
    """One erasure."""

    def __init__(
        self,
        installation: Installation,
        member: Member,
        home: Home,
        tell: Tell,
        wait: float,
        *,
        rewrite: bool,
    ) -> None:
        """Prepare it.

        Args:
            installation: what is to forget; its services run.
            member: who is to be forgotten.
            home: the folders of the command.
            tell: told what is being done.
            wait: how many seconds the services have to answer.
            rewrite: whether to write PostgreSQL's tables anew, which locks each meanwhile.
        """
        self._installation = installation
        self._member = member
        self._home = home
        self._tell = tell
        self._wait = wait
        self._rewrite = rewrite
        self.result = Result()

    async def run(self) -> Result:
        """Forget the member everywhere; done when nothing is left.

        Raises:
            NotAnsweredError: a service has not answered in time; says which. Run it again.
        """
        url = SecretStr(self._installation.postgres_url("ingest"))
        settings = ServiceSettings(postgres=PostgresSettings(url=url))
        asked = await erase(settings, self._member.person)
        async with self._installation.client(OPERATOR) as client:
            await self._wait_for_answers(client, asked.id)
            traces = await find(client, self._member, self._tell)
            await delete(client, traces, self._tell)
            self.result.read = traces.read
            self.result.streams = {name: len(found) for name, found in traces.places.items()}
            self.result.left = (await find(client, self._member, self._tell)).found
        self.result.discarded = forget_discarded(self._home.discarded, self._member)
        self.result.refused_files = files_naming(self._home.data / "imports", self._member)
        self._tell("clearing the space of deleted rows")
        await vacuum(self._installation, rewrite=self._rewrite)
        return self.result

    async def _wait_for_answers(self, client: Client, erasure: UUID) -> None:
        """Wait until every service has said what it forgot; its counts go into the result."""
        names = [service.name for service in SERVICES]
        stream = stream_of(ErasureCompleted)
        subjects = (f"{ErasureCompleted.subject_prefix()}.{self._member.community}.*",)
        answered = self.result.services
        try:
            async with asyncio.timeout(self._wait):
                while len(answered) < len(names):
                    async for messages in read(client, stream, subjects):
                        events = (ErasureCompleted.from_json(m.data) for m in messages)
                        answered |= {
                            event.data.service: event.data.removed
                            for event in events
                            if event.data.erasure == erasure
                        }
                    waiting = ", ".join(name for name in names if name not in answered)
                    if waiting:
                        self._tell(f"waiting for {waiting} to forget")
                        await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            missing = [name for name in names if name not in answered]
            raise NotAnsweredError(
                f"{', '.join(missing)} did not answer within {self._wait:.0f} s. Nothing more of "
                "the member is taken in, and what was asked stays asked; the streams are as they "
                "were. See `klankbord status` and `klankbord dlq list`, and run this again: it "
                "goes on"
            ) from None


def show_preview(member: Member, traces: Traces, err: Console) -> None:
    """Print what is about to go."""
    err.print(
        f"Everything about [bold]{member.pseudonym}[/bold] in {member.community} is to go, for "
        "good:",
        soft_wrap=True,
    )
    for stream, places in traces.places.items():
        err.print(f"  {len(places):,} events of {stream}")
    if not traces.found:
        err.print("  the bus holds nothing about this member: whoever never came is refused, too")
    err.print("  and in every service what is kept of these; the counts of the past stay")


def show(result: Result, out: Console) -> None:
    """Print what went."""
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for service, removed in result.services.items():
        for kind, count in removed.items():
            table.add_row(service, f"{count:,}", kind)
    for stream, count in result.streams.items():
        table.add_row(stream, f"{count:,}", "events, off the disk")
    if result.discarded:
        table.add_row("discarded.ndjson", f"{result.discarded:,}", "dead letters")
    out.print(table)
    if not result.was_known:
        out.print("Nobody knew this member: they are refused all the same, should they come.")
    out.print(f"{result.read:,} events were read to find these; a second look found none")
    for file in result.refused_files:
        out.print(
            f"[bold]{file}[/bold] holds refused rows that name the member: delete it",
            soft_wrap=True,
        )
    out.print(f"[dim]audit {result.head}[/dim]", soft_wrap=True)
    out.print("Not covered:")
    for what in NOT_COVERED:
        out.print(f"  {what}", soft_wrap=True)


async def run(
    place: Place,
    community: str,
    names: tuple[str | None, str | None, str | None],
    wait: float,
    *,
    asks: bool,
    rewrite: bool,
    err: Console,
) -> Result:
    """Forget a member, after asking.

    Args:
        place: the installation.
        community: which community is to forget.
        names: the pseudonym; or none, then the platform and the native id.
        wait: how many seconds the services have to answer.
        asks: whether to show what goes and ask first.
        rewrite: whether to write PostgreSQL's tables anew.
        err: where progress is shown, and what is about to go.

    Raises:
        UsageError: nobody is named, or nobody can be.
        NotAnsweredError: a service has not answered in time.
        ExplainedError: something about the member is left.
    """
    file = place.home.config / "klankbord.yaml"
    if file.exists() and community not in checked(file, parse_sources).communities:
        err.print(f"{file} lists no community {community}: is it the one you mean?", soft_wrap=True)
    async with everything(place) as installation:
        try:
            member = member_of(installation, community, *names)
        except ValueError as error:
            raise UsageError(str(error)) from error
        with err.status("reading the streams …") as shown:
            traces = await preview(installation, member, shown.update) if asks else Traces()
        if asks:
            show_preview(member, traces, err)
            typer.confirm("Erase this member?", abort=True)
        with err.status("erasing …") as shown:
            erasing = Erasing(installation, member, place.home, shown.update, wait, rewrite=rewrite)
            result = await erasing.run()
        result.head = await installation.audit_head()
    if result.left:
        raise ExplainedError(
            f"{result.left} events about the member came while this one ran: run it again"
        )
    return result
