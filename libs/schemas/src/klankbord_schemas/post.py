"""Posts: someone said something, said it differently, or took it back."""

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field

from klankbord_schemas.event import Attribute, Data, Event, SequenceText
from klankbord_schemas.identity import Person, fact_id, person_of, post_identity
from klankbord_schemas.trust import PublishedTrust, counted_at
from klankbord_schemas.types import (
    MAX_LINKS,
    MAX_MENTIONS,
    MAX_TAGS,
    Count,
    Digest,
    Language,
    Line,
    Moment,
    NativeId,
    Pseudonym,
    Sequence,
    Slug,
    Text,
)

Operation = Literal["create", "update", "delete"]


class Post(Data):
    """One version of a post, in the words of ActivityStreams.

    Vocabulary: https://www.w3.org/TR/activitystreams-vocabulary/
    """

    community: Slug
    """The community it belongs to."""
    source: Slug
    """The source that Klankbord heard it through."""
    platform: NativeId
    """The platform instance that owns `nativeId`: `forum.example.org`, `slack:T024BE7LD`."""
    post: UUID
    """The post's identity, a uuid5 of community, platform and native id: one for all versions."""
    native_id: NativeId
    """What the platform calls the post."""
    operation: Operation
    """Whether this version creates, changes or deletes the post. A delete is a tombstone."""
    object_type: Line = "Note"
    """The ActivityStreams type: Note, Article, Page, Question, … An unknown one is read as Note."""
    attributed_to: Pseudonym | None = None
    """Who wrote it. Names travel in `member.seen` alone."""
    is_automated: bool = False
    """Whether a bot or the platform itself wrote it."""
    in_reply_to: NativeId | None = None
    """The native id of the post that this one answers."""
    context: NativeId | None = None
    """The native id of the thread: on most platforms that of the post which opened it."""
    published: Moment
    """When it was written, as the platform says; never more than five minutes in the future."""
    published_trust: PublishedTrust
    """`attested`: count it by `published`. `claimed` (anyone may write it): by `recordedtime`."""
    published_adjusted: bool = False
    """Whether `published` lay in the future and was set to the moment it was heard."""
    updated: Moment | None = None
    """When this version was written, where it is not the first."""
    url: Line | None = None
    """Where it can be read."""
    name: Line | None = None
    """Its title, where it has one."""
    content: Text = ""
    """What it says, as plain text. Empty for a delete."""
    content_html: Text | None = None
    """What it says as sanitised HTML, where the platform gives HTML."""
    language: Language = "und"
    """What it is written in."""
    tag: list[Line] = Field(default_factory=list, max_length=MAX_TAGS)
    """Its tags, without `#`."""
    mention: list[Pseudonym] = Field(default_factory=list, max_length=MAX_MENTIONS)
    """Whom it names."""
    link: list[Line] = Field(default_factory=list, max_length=MAX_LINKS)
    """The web addresses in it, without what only tracks."""


class PostReceived(Event[Post]):
    """Someone said something: a post was created, edited or deleted where the community talks."""

    facet_name: ClassVar[str] = "source"
    identified_by: ClassVar[str] = "the post's identity, its sequence and the operation"

    type: Literal["org.klankbord.post.received.v1"] = "org.klankbord.post.received.v1"
    """This event's type."""
    sequence: SequenceText
    """The version's order: the platform's revision, else its edit time in microseconds, else a
    counter kept by ingest. A consumer applies only a higher one than it has."""
    partitionkey: Attribute | None = None
    """The post's identity: what must stay together keeps together."""

    @property
    def facet(self) -> str:
        """Posts are chosen by source."""
        return self.data.source

    @property
    def person(self) -> Person | None:
        """Whoever wrote the post."""
        return person_of(self.community, self.data.attributed_to)

    @property
    def version(self) -> int:
        """The sequence as a number."""
        return int(self.sequence)

    @property
    def counted_at(self) -> datetime:
        """The moment the post is counted under."""
        return counted_at(self.data.published, self.data.published_trust, self.recordedtime)

    @property
    def answers(self) -> UUID | None:
        """The identity of the post that this one replies to."""
        return self._sibling(self.data.in_reply_to)

    @property
    def thread(self) -> UUID:
        """The identity of the post that opened the thread, as far as the platform tells."""
        return self._sibling(self.data.context or self.data.in_reply_to) or self.data.post

    def _sibling(self, native_id: str | None) -> UUID | None:
        if native_id is None:
            return None
        return post_identity(self.data.community, self.data.platform, native_id)

    @classmethod
    def of(
        cls,
        post: Post,
        version: Sequence,
        recordedtime: datetime,
        traceparent: str | None = None,
    ) -> Self:
        """The event that says this version of the post was received at that moment."""
        identity = str(post.post)
        return cls(
            id=fact_id(cls.type_name(), identity, version, post.operation),
            source=f"/ingest/{post.community}/{post.source}",
            subject=identity,
            time=post.updated or post.published,
            recordedtime=recordedtime,
            sequence=f"{version:019d}",
            partitionkey=identity,
            traceparent=traceparent,
            data=post,
        )


def newest_versions(events: Iterable[PostReceived]) -> list[PostReceived]:
    """The highest version of each post, in the order in which these events came.

    A post stands where its highest version came, not where it was heard of first. Of two events
    of one version the first is taken.
    """
    newest: dict[UUID, PostReceived] = {}
    for event in events:
        post = event.data.post
        held = newest.get(post)
        if held is not None:
            if event.version <= held.version:
                continue
            del newest[post]
        newest[post] = event
    return list(newest.values())


Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
"""From the mildest to the gravest."""


class Evidence(Data):
    """The words that a label rests on, as they stand in the post."""

    field: Literal["name", "content", "url"]
    """Which field of the post they stand in."""
    start: Count
    """Where they begin, in characters (Unicode code points) from the field's start."""
    end: Count
    """Where they end: the first character after them."""
    text: Line
    """The words themselves, cut at 200 characters."""


class Label(Data):
    """What moderation says of a post, and why."""

    val: Slug
    """The label, in Ozone's reasons where one fits: `spam`, `harassment`, `link-flood`, …"""
    rule: Slug
    """The rule of the policy, or the check, that gave it."""
    explanation: Line
    """Why, in words for a person."""
    severity: Severity
    """How grave it is."""
    mode: Literal["live", "shadow"]
    """Whether the rule acts. A shadow rule only shows what it would do."""
    evidence: list[Evidence] = Field(default_factory=list, max_length=20)
    """The words it rests on; empty where it rests on other posts."""


class Flags(Data):
    """What moderation found in one version of a post."""

    community: Slug
    """The community the post belongs to."""
    source: Slug
    """The source the post came through."""
    post: UUID
    """The post's identity."""
    post_sequence: Sequence
    """The version that was judged. A flag says nothing of later versions."""
    attributed_to: Pseudonym | None = None
    """Who wrote the post."""
    policy: Digest
    """The policy that was applied."""
    labels: list[Label] = Field(min_length=1, max_length=100)
    """What was found: live before shadow, then the gravest first."""
    is_automated: bool = True
    """Whether a rule, not a person, said so."""

    @property
    def live_severity(self) -> Severity | None:
        """The gravest severity among labels that act; None where all are shadow."""
        live = [label.severity for label in self.labels if label.mode == "live"]
        return max(live, key=SEVERITIES.index, default=None)


class PostFlagged(Event[Flags]):
    """Moderation put one or more labels on a post, each with its rule, its words and its reason."""

    facet_name: ClassVar[str] = "label"
    identified_by: ClassVar[str] = (
        "the post's identity, the sequence that was judged and the policy's digest"
    )

    type: Literal["org.klankbord.post.flagged.v1"] = "org.klankbord.post.flagged.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Flags are chosen by their first label."""
        return self.data.labels[0].val

    @property
    def person(self) -> Person | None:
        """Whoever wrote the post."""
        return person_of(self.community, self.data.attributed_to)

    @classmethod
    def of(cls, cause: PostReceived, flags: Flags, recordedtime: datetime) -> Self:
        """The event that says these flags were put on the version that `cause` brought."""
        return cls(
            id=fact_id(cls.type_name(), flags.post, flags.post_sequence, flags.policy),
            source=f"/moderation/{flags.community}",
            subject=str(flags.post),
            time=recordedtime,
            recordedtime=recordedtime,
            correlationid=cause.chain,
            causationid=cause.id,
            traceparent=cause.traceparent,
            data=flags,
        )
