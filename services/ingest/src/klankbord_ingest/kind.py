"""How a platform is listened to: what a kind of source is made of.

A kind is one class in one file. Its fields are what `klankbord.yaml` may say of such a source, and
its methods are how the platform is listened to, in one or more of these ways:

- `Push`: the platform sends to `/v1/sources/<name>`;
- `Pull`: Klankbord asks, now and then, from where it stopped;
- `Stream`: Klankbord keeps a connection open;
- `Backfill`: Klankbord asks for what was said before it listened.

Whatever the way, posts have the same native ids, so what is heard twice is one. A package declares
its kinds as entry points of the group `klankbord.kinds`; nothing else of Klankbord changes.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeAlias

from pydantic import JsonValue, ValidationError
from pydantic_core import from_json

from klankbord_ingest.outgoing import FetchError
from klankbord_ingest.signature import UnsignedError, check_time, is_one_of, only_header
from klankbord_ingest.source import UNQUOTED, Secret, Source, SourceEntry
from klankbord_ingest.submission import (
    DepartureSubmission,
    FieldError,
    InteractionSubmission,
    PostSubmission,
    Submission,
    Told,
    field_errors,
)
from klankbord_ingest.web import Web
from klankbord_runtime.yamlfile import Duration

__all__ = [
    "JSON",
    "UNQUOTED",
    "Backfill",
    "Cursor",
    "DepartureSubmission",
    "FetchError",
    "FieldError",
    "Fields",
    "InteractionSubmission",
    "Page",
    "PassedOver",
    "PostSubmission",
    "Pull",
    "Push",
    "RefusedError",
    "Reply",
    "Request",
    "Said",
    "Secret",
    "Secrets",
    "Source",
    "SourceEntry",
    "Stream",
    "Submission",
    "Told",
    "UnsignedError",
    "Web",
    "body_refused",
    "check_time",
    "gathered",
    "is_one_of",
    "json_body",
    "submission_of",
    "together",
]

Cursor: TypeAlias = Mapping[str, JsonValue]
"""Where listening stopped, in the kind's own words; empty at the beginning.

Keep it below 64 kB, as the conformance suite asks; one of more than 256 kB is refused."""

Secrets: TypeAlias = Mapping[str, Sequence[bytes]]
"""The source's keys by role, the newest first; two of a role while it is rotated."""

JSON = "application/json"


@dataclass(frozen=True)
class Page:
    """What a source handed in at once, and where to go on after it."""

    submissions: Sequence[Told] = ()
    """Posts, interactions and departures, in the order in which they happened."""
    refused: Sequence[FieldError] = ()
    """What was wrong with other items, each with its place in the page."""
    passed_over: Mapping[str, int] = field(default_factory=dict)
    """How many items say nothing that Klankbord listens for, by reason: `private`, `no_post`, …"""
    cursor: Cursor | None = None
    """Where to go on; None leaves it where it was."""
    more: bool = False
    """Whether there is more to be had at once."""
    wish: timedelta | None = None
    """How long the platform asks to be left alone."""
    ask_now: bool = False
    """Of a push: whether to ask the platform at once, because it only said that there is more."""


class PassedOver(Exception):  # noqa: N818  no error: what came is none of our business
    """An item says nothing that Klankbord listens for. Its text is the reason, as one word."""


Fields: TypeAlias = dict[str, Any]
"""The fields of a submission, or of an object that a platform sent."""

Said: TypeAlias = Told | Mapping[str, Any]
"""A submission, or the fields of one: with `kind` it is an interaction."""


def gathered(
    items: Iterable[Any],
    read: Callable[[Any], Iterable[Said]],
    cursor: Cursor | None = None,
    *,
    more: bool = False,
    wish: timedelta | None = None,
) -> Page:
    """A page of these items, each read by itself: a bad one hinders no other.

    Args:
        items: what the platform sent.
        read: makes submissions of one item. It may raise `PassedOver`; what looking into a wrong
            shape raises (a KeyError, TypeError, ValueError, …) means that the item is not what the
            platform documents, and it is refused.
        cursor: where to go on.
        more: whether there is more to be had at once.
        wish: how long the platform asks to be left alone.
    """
    submissions: list[Told] = []
    refused: list[FieldError] = []
    passed_over: Counter[str] = Counter()
    for index, item in enumerate(items):
        try:
            submissions += [submission_of(said) for said in read(item)]
        except PassedOver as reason:
            passed_over[str(reason)] += 1
        except ValidationError as error:
            refused += field_errors(error, index)
        except KeyError as error:
            name = str(error.args[0])[:100] if error.args else ""
            refused.append(
                FieldError(index, name, "is missing in what the platform sent", "missing")
            )
        except _WRONG_SHAPE as error:
            why = f"is not what the platform documents: {error}"[:300]
            refused.append(FieldError(index, "", why, "malformed"))
    return Page(submissions, refused, passed_over, cursor, more, wish)


_WRONG_SHAPE = (
    TypeError,
    AttributeError,
    IndexError,
    ValueError,
    ArithmeticError,
    RecursionError,  # of what nests deeper than anybody writes
    OSError,  # how `datetime.fromtimestamp` says that a time is too far away
)


def together(pages: Sequence[Page]) -> Page:
    """Several pages as one, which goes on where the last of them does.

    Refused items are counted on from page to page, so that each has a place of its own.
    """
    submissions: list[Told] = []
    refused: list[FieldError] = []
    passed_over: Counter[str] = Counter()
    cursor: Cursor | None = None
    counted = 0
    for page in pages:
        submissions += page.submissions
        refused += [
            error if error.index is None else replace(error, index=counted + error.index)
            for error in page.refused
        ]
        passed_over.update(page.passed_over)
        cursor = cursor if page.cursor is None else page.cursor
        places = (error.index for error in page.refused if error.index is not None)
        counted += max(len(page.submissions), 1 + max(places, default=-1))
    more = bool(pages) and pages[-1].more
    wish = max((page.wish for page in pages if page.wish is not None), default=None)
    ask_now = any(page.ask_now for page in pages)
    return Page(submissions, refused, passed_over, cursor, more, wish, ask_now)


def submission_of(said: Said) -> Told:
    """The submission that these fields are.

    Raises:
        pydantic.ValidationError: they are none.
    """
    if isinstance(said, PostSubmission | InteractionSubmission | DepartureSubmission):
        return said
    model = InteractionSubmission if "kind" in said else PostSubmission
    return model.model_validate(said)


@dataclass(frozen=True)
class Request:
    """A request at `/v1/sources/<name>`, as it came."""

    method: str
    """GET, POST, PUT or OPTIONS."""
    path: str
    """What follows the source's name: `` or `/_matrix/app/v1/transactions/7`."""
    query: Mapping[str, str]
    headers: Sequence[tuple[bytes, bytes]]
    """Every header, raw, with lower-case names."""
    body: bytes
    """The raw bytes, before anything reads them."""

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case."""
        return self.header("content-type").partition(";")[0].strip().lower()

    def header(self, name: str) -> str:
        """The one header of that name; empty where it is missing.

        Raises:
            UnsignedError: it is given more than once, and nobody can tell which is meant.
        """
        encoded = name.lower().encode()
        if not any(key == encoded for key, _ in self.headers):
            return ""
        return only_header(self.headers, encoded).decode("latin-1")


@dataclass(frozen=True)
class Reply:
    """What is answered to a request; for a handshake, instead of hearing anything."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """A body that is not taken in, and every reason why."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__(f"{len(self.errors)} problems")


def body_refused(why: str, code: str, name: str = "") -> RefusedError:
    """A body that is refused as a whole."""
    return RefusedError([FieldError(None, name, why, code)])


def json_body(request: Request) -> Any:
    """The JSON of a body.

    Raises:
        RefusedError: it is none.
    """
    try:
        return from_json(request.body)
    except ValueError as error:
        raise body_refused(f"is no JSON: {error}", "no_json") from error


class Push(SourceEntry, ABC):
    """The platform sends to `/v1/sources/<name>`."""

    methods: ClassVar[frozenset[str]] = frozenset({"POST"})
    """Which methods it sends with; others are answered 405."""
    accepts: ClassVar[frozenset[str]] = frozenset({JSON})
    """Which content types a body may have; empty admits any."""
    max_bytes: ClassVar[int] = 1024 * 1024
    """The largest body."""
    most_per_second: ClassVar[int | None] = None
    """How many requests of a source are heard in a second; more are answered 429. For what anybody
    can send; None where the platform signs."""
    accepted: ClassVar[Reply | None] = None
    """What is answered once all is committed; None says how many were received (202)."""

    @property
    def is_open(self) -> bool:
        """Whether anybody may send to this source, because whoever sends can keep no secret."""
        return False

    @abstractmethod
    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:
        """Check that the platform sent this, over the raw bytes.

        It is called for every request, before anything else reads it. `secrets` has every role of
        the kind; one that has no secret has no keys. Compare with `is_one_of`, and refuse with
        `check_time` what is older than the platform allows.

        Returns:
            What the platform calls the delivery, the same when it is sent again; None where it
            has no name.

        Raises:
            UnsignedError: it is not from the platform, or stale. Its text is for the log.
        """

    def answer(self, request: Request, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002
        """What a verified handshake is answered at once; None for all else."""
        return None

    @abstractmethod
    def read(self, request: Request, source: Source, now: datetime) -> Page:
        """What a verified request says.

        Raises:
            RefusedError: the body as a whole is not what the platform sends.
        """


class Pull(SourceEntry, ABC):
    """Klankbord asks, now and then."""

    every: Duration = timedelta(minutes=5)
    """How often."""

    @abstractmethod
    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """What is new since the cursor; with an empty one, what is there now.

        Page by page, the oldest first, so that nothing is lost when it ends halfway: the posts of
        a page and its cursor are committed together, then it is called again while there is `more`.

        Raises:
            FetchError: the platform gave no usable answer (`web` raises it).
        """


class Stream(SourceEntry, ABC):
    """Klankbord keeps a connection open."""

    @abstractmethod
    def stream(self, web: Web, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What comes from the cursor on, until the connection ends.

        Each page has the cursor after it. When it ends or raises, it is called again after a pause
        with the cursor that was committed last. Where the platform replays nothing, be a `Pull` as
        well: it fills the gaps.

        Raises:
            FetchError: the platform gave no usable answer.
        """


class Backfill(SourceEntry, ABC):
    """Klankbord asks for what was said before it listened: `klankbord source backfill`."""

    @abstractmethod
    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """History since that moment, or from the beginning; page by page, as `Pull.fetch`.

        Raises:
            FetchError: the platform gave no usable answer.
        """
