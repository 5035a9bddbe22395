"""What a source hands in: posts and interactions, before they have an identity and a version.

A submission speaks the words of `post.received`'s data, so a line of an export is a submission.
It may also name its author as an ActivityStreams actor; ingest keeps name and pseudonym apart.
Unknown fields are ignored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    FailFast,
    Field,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError, ValidationError, to_json

from klankbord_ingest.markup import TooDeepError, plain_text, sanitised
from klankbord_ingest.source import Source
from klankbord_schemas.event import Data
from klankbord_schemas.interaction import Channel, InteractionKind
from klankbord_schemas.post import Operation
from klankbord_schemas.types import (
    MAX_LINKS,
    MAX_MENTIONS,
    MAX_TAGS,
    Language,
    Line,
    Moment,
    NativeId,
    Slug,
    Text,
)

MAX_BATCH = 500
"""The most submissions that one request may hold."""

MAX_HTML = 100_000
"""The most characters of `contentHtml`, before and after it is sanitised."""

MAX_POST_BYTES = 900_000
"""The most bytes that text, HTML and tags of a post take as JSON, so that an event holds them."""

MAX_JSON_BYTES = 6
"""The most bytes that one character takes in JSON, as in `\\u001f`."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AUTOMATED_ACTORS = frozenset({"Service", "Application"})


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _actor(value: object) -> object:
    value = _number_as_text(value)
    return {"id": value} if isinstance(value, str) else value


def _address(value: object) -> object:
    """ActivityStreams lets `icon` be an address or an Image object that holds one."""
    return value.get("url") if isinstance(value, dict) else value


def _tag_names(value: object) -> object:
    """ActivityStreams lets a tag be a word or an object; a Mention is no tag."""
    if not isinstance(value, list):
        return value
    named = [
        tag.get("name") if isinstance(tag, dict) else tag
        for tag in value
        if not (isinstance(tag, dict) and tag.get("type") == "Mention")
    ]
    return [name.lstrip("#") if isinstance(name, str) else name for name in named]


def _each_once(value: object) -> object:
    """The first hundred without what is repeated; what is no list is left to be refused."""
    if not isinstance(value, list):
        return value
    return list({repr(one): one for one in value}.values())[:MAX_LINKS]


def _language_tag(value: object) -> object:
    """Many platforms write `en_US` for `en-US`, and an empty text where they do not know."""
    return (value.strip().replace("_", "-") or None) if isinstance(value, str) else value


def _harmless(markup: str) -> str:
    try:
        harmless = sanitised(markup)
    except TooDeepError as error:
        raise PydanticCustomError("too_deep", "{why}", {"why": str(error)}) from None
    if len(harmless) > MAX_HTML:
        raise PydanticCustomError(
            "string_too_long",
            "is longer than {max_length} characters once it is sanitised",
            {"max_length": MAX_HTML},
        )
    return harmless


def _since_1970(moment: datetime) -> datetime:
    if moment < EPOCH:
        raise PydanticCustomError("before_1970", "lies before 1970")
    return moment


PlatformId = Annotated[NativeId, BeforeValidator(_number_as_text)]
SubmittedMoment = Annotated[Moment, AfterValidator(_since_1970)]
SubmittedLanguage = Annotated[Language | None, BeforeValidator(_language_tag)]


class Actor(Data):
    """An author as an ActivityStreams actor: who, and how they look on the platform."""

    id: PlatformId
    """What the platform calls the author, or a pseudonym that this installation gave."""
    type: Line = "Person"
    """`Person`, `Service` (a bot), `Application` (a bot), `Organization` or `Group`."""
    preferred_username: Line | None = None
    """The handle."""
    name: Line | None = None
    """The name on display."""
    icon: Annotated[Line | None, BeforeValidator(_address)] = None
    """The address of the avatar."""

    @property
    def is_automated(self) -> bool:
        """Whether it is a bot."""
        return self.type in AUTOMATED_ACTORS

    @property
    def is_described(self) -> bool:
        """Whether it says more than an id."""
        return bool(self.preferred_username or self.name or self.icon)


SubmittedActor = Annotated[Actor | None, BeforeValidator(_actor)]
"""An actor object, or only the author's id."""


class PostSubmission(Data):
    """One version of a post, as a source hands it in."""

    native_id: PlatformId = Field(validation_alias=AliasChoices("nativeId", "id", "native_id"))
    """What the platform calls the post. `id` means the same."""
    operation: Operation = "create"
    """Whether this version creates, changes or deletes the post."""
    sequence: Annotated[int, Field(ge=0, le=2**62)] | None = None
    """The platform's revision of the post, where it counts them: higher is later."""
    published: SubmittedMoment | None = None
    """When it was written. Required, except for a delete."""
    updated: SubmittedMoment | None = None
    """When this version was written, where it is not the first."""
    attributed_to: SubmittedActor = None
    """Who wrote it: the platform's id of the author, a pseudonym, or an ActivityStreams actor."""
    is_automated: bool = False
    """Whether a bot or the platform itself wrote it."""
    object_type: Line = "Note"
    """The ActivityStreams type: Note, Article, Page, Question, …"""
    in_reply_to: PlatformId | None = None
    """The native id of the post that this one answers."""
    context: PlatformId | None = None
    """The native id of the thread."""
    url: Line | None = None
    """Where it can be read."""
    name: Line | None = None
    """Its title."""
    content: Text = ""
    """What it says, as plain text. Taken from `contentHtml` where it is left out."""
    content_html: Annotated[Text, AfterValidator(_harmless)] | None = None
    """What it says as HTML. Sanitised on arrival."""
    language: SubmittedLanguage = None
    """What it is written in; left out or `und`, Klankbord finds out."""
    tag: Annotated[
        list[Line], FailFast(), BeforeValidator(_tag_names), Field(max_length=MAX_TAGS)
    ] = Field(default_factory=list)
    """Its tags: words or ActivityStreams objects with a `name`."""
    mention: Annotated[
        list[PlatformId], FailFast(), BeforeValidator(_each_once), Field(max_length=MAX_MENTIONS)
    ] = Field(default_factory=list)
    """Whom it names: the platform's ids of members, or pseudonyms. The first hundred are kept."""
    link: Annotated[
        list[Line], FailFast(), BeforeValidator(_each_once), Field(max_length=MAX_LINKS)
    ] = Field(default_factory=list)
    """The web addresses in it. The first hundred are kept."""
    community: Slug | None = None
    """May be left out; must be the source's community."""
    source: Slug | None = None
    """May be left out; must be the source, except in an import, where it replaces it."""
    platform: NativeId | None = None
    """May be left out; must be the source's, except in an import, where it replaces it."""

    @model_validator(mode="after")
    def _has_a_moment(self) -> Self:
        if self.published is None and self.operation != "delete":
            raise PydanticCustomError("missing_published", "published is missing")
        return self

    @model_validator(mode="after")
    def _fits_into_an_event(self) -> Self:
        words = (self.text, self.content_html or "", *self.tag, *self.link)
        if sum(map(len, words)) * MAX_JSON_BYTES > MAX_POST_BYTES < len(to_json(words)):
            raise PydanticCustomError("post_too_large", "too large")
        return self

    @cached_property
    def text(self) -> str:
        """What it says as plain text, whichever way it was given."""
        if self.content or self.content_html is None:
            return self.content
        return plain_text(self.content_html)


class InteractionSubmission(Data):
    """What someone did around a post, as a source hands it in."""

    kind: InteractionKind
    """What was done."""
    native_id: PlatformId | None = Field(
        default=None, validation_alias=AliasChoices("nativeId", "id", "native_id")
    )
    """What the platform calls the interaction. `id` means the same."""
    published: SubmittedMoment
    """When it was done."""
    attributed_to: SubmittedActor = None
    """Who did it; left out for an anonymous click or view."""
    is_automated: bool = False
    """Whether a bot did it."""
    object: PlatformId | None = None
    """The native id of the post it was done to; none for joins and leaves."""
    url: Line | None = None
    """The address that was clicked or viewed."""
    content: Line | None = None
    """What was said with it: the emoji of a reaction."""
    name: Line | None = None
    """What it is called: the goal that was reached."""
    campaign: Line | None = None
    """The campaign that it belongs to, as `utm_campaign` names it."""
    channel: Channel | None = None
    """How whoever did it came there."""
    referrer: Line | None = None
    """The host that led there."""
    community: Slug | None = None
    """May be left out; must be the source's community."""
    source: Slug | None = None
    """May be left out; must be the source, except in an import, where it replaces it."""
    platform: NativeId | None = None
    """May be left out; must be the source's, except in an import, where it replaces it."""


class DepartureSubmission(Data):
    """The platform took a whole account back, with all that it said: it is to be forgotten."""

    attributed_to: Annotated[Actor, BeforeValidator(_actor)]
    """Whose account it was."""
    published: SubmittedMoment
    """When it was taken back."""
    is_automated: bool = False
    """Whether it was a bot's."""
    community: Slug | None = None
    """May be left out; must be the source's community."""
    source: Slug | None = None
    """May be left out; must be the source."""
    platform: NativeId | None = None
    """May be left out; must be the source's."""


Submission = PostSubmission | InteractionSubmission
"""What becomes an event."""
Told = Submission | DepartureSubmission
"""All that a source may tell."""


@dataclass(frozen=True)
class FieldError:
    """Why one submission is refused, in words that help whoever sent it."""

    index: int | None
    """Which submission of the batch, counted from 0; none when the whole body is at fault."""
    field: str
    """Which field, as it is written in JSON; empty when the whole submission is at fault."""
    why: str
    """What is wrong with it and what to write instead."""
    code: str
    """The same as one word, for counting: `missing`, `no_time_zone`, `too_long`, …"""


def misplaced(submission: Told, source: Source, index: int | None = None) -> Iterator[FieldError]:
    """What the submission says of its community, source and platform that is not so.

    An import is the operator's own: its posts may come from any platform and source of the
    community. Everyone else speaks for the one source that they hold the secret of.
    """
    own = {"community": source.community.slug}
    if source.kind != "import":
        own |= {"source": source.name, "platform": source.platform}
    for field, expected in own.items():
        given = getattr(submission, field)
        if given not in (None, expected):
            why = f"is {given!r}, but what comes in here belongs to {expected!r}; leave it out"
            yield FieldError(index, field, why, f"wrong_{field}")


def field_errors(error: ValidationError, index: int | None = None) -> list[FieldError]:
    """The problems of something that is no `PostSubmission` or `InteractionSubmission`.

    Args:
        error: what pydantic found in that one submission.
        index: which submission of the batch it is.
    """
    return [_field_error(detail, index) for detail in error.errors(include_url=False)]


def _field_error(detail: ErrorDetails, index: int | None) -> FieldError:
    field = ".".join(str(part) for part in detail["loc"])
    code, why = _reason(detail)
    if detail["type"] == "missing_published":
        field = "published"
    return FieldError(index, field, why, code)


A_MOMENT = "write when it was, such as 2026-11-22T09:30:00Z"

REASONS = {
    "missing": ("missing", "is missing"),
    "missing_published": ("missing", f"is missing; {A_MOMENT}"),
    "timezone_aware": ("no_time_zone", f"has no time zone; {A_MOMENT}"),
    "before_1970": ("before_1970", f"lies before 1970; {A_MOMENT}"),
    "string_too_long": ("too_long", "is longer than {max_length} characters; shorten it"),
    "too_long": ("too_many", "holds more than {max_length}; send fewer"),
    "too_deep": ("too_deep", "{why}"),
    "post_too_large": ("too_long", f"takes more than {MAX_POST_BYTES} bytes in all; shorten it"),
    "literal_error": ("unknown_value", "is {input}, none of {expected}"),
    "string_unicode": ("no_unicode", "holds half of a surrogate pair, which is no text"),
    "json_invalid": ("no_json", "is no JSON: {error}"),
}
"""By pydantic's type of error: a word for counting, and what is wrong in words that help."""


def _reason(detail: ErrorDetails) -> tuple[str, str]:
    kind, given = detail["type"], _shown(detail["input"])
    if kind.startswith(("datetime", "date_")):
        return "no_moment", f"is {given}, which is no moment in time; {A_MOMENT}"
    if kind == "string_pattern_mismatch":
        return _unfit(detail["input"], detail["ctx"]["pattern"])
    if kind in REASONS:
        code, why = REASONS[kind]
        return code, why.format_map({**detail.get("ctx", {}), "input": given})
    message = detail["msg"].removeprefix("Value error, ").replace("Input should", "should")
    return "invalid", f"is {given}; it {message}" if message.startswith("should") else message


def _shown(given: object) -> str:
    """What was given, as far as there is room; a list or an object may hold a megabyte."""
    if isinstance(given, dict):
        return "an object"
    if isinstance(given, list):
        return "a list"
    return repr(given[:60] if isinstance(given, str) else given)[:60]


def _unfit(given: str, pattern: str) -> tuple[str, str]:
    if not given:
        return "empty", "is empty"
    if "\x00" in given:
        return "nul", "holds a NUL character; take it out"
    return "malformed", f"is {given[:60]!r}, which does not match {pattern}"
