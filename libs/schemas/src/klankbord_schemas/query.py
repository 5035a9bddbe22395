"""Saved queries: words that somebody listens for, wherever they are said."""

from datetime import datetime
from typing import ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field

from klankbord_schemas.event import Data, Event
from klankbord_schemas.identity import Person, fact_id, person_of
from klankbord_schemas.post import PostReceived
from klankbord_schemas.types import (
    Count,
    Digest,
    Language,
    Line,
    Moment,
    NativeId,
    Pseudonym,
    Sequence,
    Slug,
)


class Found(Data):
    """A word or phrase of the query, where it stands in the post."""

    term: Line
    """The word or phrase as the query has it: `outage*`."""
    field: Literal["name", "content"]
    """Which field of the post it stands in."""
    start: Count
    """Where it begins, in characters (Unicode code points) from the field's start."""
    end: Count
    """Where it ends: the first character after it."""
    text: Line
    """What stands there, cut at 200 characters."""


class Match(Data):
    """Which version of which post a query found, and by which words. The post says the rest."""

    community: Slug
    """The community the post belongs to."""
    source: Slug
    """The source the post came through."""
    query: Slug
    """The name of the query."""
    revision: Digest
    """SHA-256 of what the query asks for: a query that was changed is another one."""
    post: UUID
    """The post's identity."""
    post_sequence: Sequence
    """The version that was found. A match says nothing of later versions."""
    platform: NativeId
    """The platform instance that the post is on."""
    attributed_to: Pseudonym | None = None
    """Who wrote it."""
    is_automated: bool = False
    """Whether a bot or the platform itself wrote it."""
    published: Moment
    """When it was written."""
    language: Language = "und"
    """What it is written in."""
    url: Line | None = None
    """Where it can be read."""
    found: list[Found] = Field(min_length=1, max_length=20)
    """The words that it was found by, in the order of the post: title, then content."""


class QueryMatched(Event[Match]):
    """A saved query found a post: as it came in, or later, among the posts that are stored."""

    facet_name: ClassVar[str] = "query"
    identified_by: ClassVar[str] = (
        "the post's identity, its sequence, the query's name and its revision"
    )

    type: Literal["org.klankbord.query.matched.v1"] = "org.klankbord.query.matched.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Matches are chosen by query."""
        return self.data.query

    @property
    def person(self) -> Person | None:
        """Whoever wrote the post."""
        return person_of(self.community, self.data.attributed_to)

    @classmethod
    def identity(cls, post: UUID, sequence: int, query: str, revision: str) -> UUID:
        """The id of the event that says this revision of the query found that version."""
        return fact_id(cls.type_name(), post, sequence, query, revision)

    @classmethod
    def of(cls, cause: PostReceived, match: Match, recordedtime: datetime) -> Self:
        """The event that says this was found in the version that `cause` brought."""
        return cls(
            id=cls.identity(match.post, match.post_sequence, match.query, match.revision),
            source=f"/ingest/{match.community}/{match.source}",
            subject=str(match.post),
            time=recordedtime,
            recordedtime=recordedtime,
            correlationid=cause.chain,
            causationid=cause.id,
            traceparent=cause.traceparent,
            data=match,
        )
