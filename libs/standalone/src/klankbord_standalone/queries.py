"""`klankbord query`: the saved queries in force, and what they find in what was said before.

A query that is added today is run over what POSTS still keeps. The operator's key reads the stream;
ingest's own role in the database says which versions still stand, and takes the matches into
ingest's outbox, as for an erasure. So no service gets a permission more.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import UUID

from nats.aio.client import Client
from pydantic import SecretStr, ValidationError
from rich.console import Console

from klankbord_ingest.query.file import Query
from klankbord_ingest.query.matcher import QuerySet
from klankbord_ingest.query.run import NotSentError, Recalling, recalling
from klankbord_runtime.permissions import OPERATOR
from klankbord_runtime.settings import PostgresSettings, ServiceSettings
from klankbord_schemas import Match, Post, PostReceived, QueryMatched, post_identity
from klankbord_schemas.topology import stream_of
from klankbord_standalone.command import Place
from klankbord_standalone.erase import everything
from klankbord_standalone.explained import ExplainedError, UsageError
from klankbord_standalone.scan import ANSWER_PATIENCE, read
from klankbord_standalone.servers import Installation
from klankbord_standalone.standalone import reach
from klankbord_standalone.tail import Since

AT_ONCE = 500
"""How many posts are asked about in one transaction."""
MOST_SUBJECTS = 10
"""With more than so many the server would look long for each post: then it sends all of them."""

Tell = Callable[[str], None]


@dataclass
class Result:
    """What a query found."""

    query: str
    revision: str
    kept_since: datetime | None
    """When the oldest post came that the stream still keeps; None where it keeps none."""
    read: int = 0
    """How many versions of posts were looked at."""
    said: int = 0
    """How many matches were said, or would be."""
    known: int = 0
    """How many the bus had already."""
    unreadable: int = 0
    """How many messages are no post that this build can read."""


@asynccontextmanager
async def in_force(place: Place) -> AsyncIterator[QuerySet]:
    """The queries in force."""
    async with (
        reach(place.home, place.elsewhere) as installation,
        recalling(_settings(installation)) as recalled,
    ):
        yield await recalled.queries()


async def run(place: Place, name: str, since: Since, tell: Tell, *, dry_run: bool) -> Result:
    """Find what that query finds in the posts that are kept.

    Raises:
        UsageError: there is no such query in force.
        ExplainedError: what is found is not sent.
    """
    async with (
        everything(place) as installation,
        recalling(_settings(installation)) as recalled,
        installation.client(OPERATOR) as client,
    ):
        queries = one_of(await recalled.queries(), name)
        (query,) = queries.queries
        result = Result(name, query.revision, await _kept_since(client))
        known = await _known(client, query)
        if not dry_run:
            begin = "all" if since.moment is None else since.moment.isoformat()
            await recalled.note(name, query.revision, begin)
        try:
            await _find(client, recalled, queries, since, known, result, tell, dry_run=dry_run)
        except NotSentError as error:
            raise ExplainedError(str(error)) from error
    return result


def one_of(queries: QuerySet, name: str) -> QuerySet:
    """The query of that name alone.

    Raises:
        UsageError: there is none; names those that there are.
    """
    try:
        return queries.only(name)
    except KeyError:
        names = ", ".join(query.name for query in queries.queries) or "none at all"
        raise UsageError(
            f"no query {name!r} is in force, but {names}; `klankbord query apply FILE` puts a "
            "file of queries in force"
        ) from None


def tried(queries: QuerySet, text: str) -> Iterator[tuple[Query, Match]]:
    """Which queries find these words, wherever they are said and by whomever."""
    anywhere = QuerySet(
        query.model_copy(
            update={"communities": (), "sources": (), "languages": (), "authors": "everyone"}
        )
        for query in queries.queries
    )
    said = Post(
        community="trial",
        source="trial",
        platform="trial",
        post=post_identity("trial", "trial", "trial"),
        native_id="trial",
        operation="create",
        published=datetime.now(UTC),
        published_trust="attested",
        content=text,
    )
    by_name = {query.name: query for query in queries.queries}
    for match in anywhere.matches(said, 1):
        yield by_name[match.query], match


def where(query: Query) -> str:
    """Where a query listens, in words; empty for everywhere."""
    parts = [
        *(f"in {community}" for community in query.communities),
        *(f"from {source}" for source in query.sources),
        *(f"in language {language}" for language in query.languages),
    ]
    if query.authors != "everyone":
        parts.append(f"by {query.authors}")
    return ", ".join(parts)


def as_json(query: Query) -> dict[str, Any]:
    """A query for a script."""
    return query.model_dump(mode="json") | {"revision": query.revision}


def show(queries: QuerySet, out: Console) -> None:
    """Print the queries in force."""
    if not queries.queries:
        out.print("no queries: write queries.yaml, and put it in force with klankbord query apply")
    for query in queries.queries:
        out.print(f"{query.name}  {query.revision[:12]}", markup=False, soft_wrap=True)
        for part in ("any", "all", "none"):
            if words := getattr(query, part):
                out.print(f"  {part:<5}{', '.join(words)}", markup=False, soft_wrap=True)
        if place := where(query):
            out.print(f"  {place}", markup=False, soft_wrap=True)


def show_result(result: Result, out: Console, *, dry_run: bool) -> None:
    """Print what a query found."""
    if result.kept_since is None:
        out.print("POSTS keeps no posts: there is nothing to look in")
        return
    oldest = f"{result.kept_since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    out.print(f"{result.read:,} posts and edits read; POSTS keeps them since {oldest}")
    if result.unreadable:
        out.print(f"{result.unreadable:,} messages are no posts that this build can read")
    verb = "would be said" if dry_run else "are said"
    out.print(
        f"{result.said:,} matches {verb} on {QueryMatched.subject_prefix()}.*.{result.query}; "
        f"{result.known:,} were known",
        markup=False,
        soft_wrap=True,
    )


def result_as_json(result: Result) -> dict[str, Any]:
    """What a query found, for a script."""
    kept = result.kept_since
    return asdict(result) | {"kept_since": None if kept is None else kept.isoformat()}


async def _find(
    client: Client,
    recalled: Recalling,
    queries: QuerySet,
    since: Since,
    known: set[UUID],
    result: Result,
    tell: Tell,
    *,
    dry_run: bool,
) -> None:
    (query,) = queries.queries
    waiting: list[PostReceived] = []

    async def ask(events: Sequence[PostReceived]) -> None:
        told = await recalled.find(events, queries, known, dry_run=dry_run)
        result.said += told.said
        result.known += told.known

    posts = stream_of(PostReceived)
    async for messages in read(client, posts, _subjects(query), since.moment):
        for message in messages:
            result.read += 1
            try:
                event = PostReceived.from_json(message.data)
            except ValidationError:
                result.unreadable += 1
                continue
            if any(queries.matches(event.data, event.version)):
                waiting.append(event)
        while len(waiting) >= AT_ONCE:
            await ask(waiting[:AT_ONCE])
            del waiting[:AT_ONCE]
        tell(f"{result.read:,} posts read, {result.said:,} matches")
    if waiting:
        await ask(waiting)


def _settings(installation: Installation) -> ServiceSettings:
    url = SecretStr(installation.postgres_url("ingest"))
    return ServiceSettings(postgres=PostgresSettings(url=url))


def _subjects(query: Query) -> tuple[str, ...]:
    """Where in POSTS it may find something."""
    prefix = PostReceived.subject_prefix()
    tokens = list(product(query.communities or ("*",), query.sources or ("*",)))
    if len(tokens) > MOST_SUBJECTS:
        return (f"{prefix}.>",)
    return tuple(f"{prefix}.{community}.{source}" for community, source in tokens)


async def _known(client: Client, query: Query) -> set[UUID]:
    """The matches of a query that the bus keeps."""
    subject = f"{QueryMatched.subject_prefix()}.*.{query.name}"
    return {
        UUID(json.loads(message.data)["id"])
        async for messages in read(client, stream_of(QueryMatched), (subject,))
        for message in messages
    }


async def _kept_since(client: Client) -> datetime | None:
    """When the oldest message came that POSTS still keeps."""
    subject = f"$JS.API.STREAM.INFO.{stream_of(PostReceived).name}"
    state = json.loads((await client.request(subject, timeout=ANSWER_PATIENCE)).data)["state"]
    return datetime.fromisoformat(state["first_ts"]) if state["messages"] else None
