"""What plays a platform: the part that differs from kind to kind."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from klankbord_ingest.kind import Request

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=3)
"""When the first post of a platform was written; each further one is a minute later."""


@dataclass
class Post:
    """A post as the platform keeps it."""

    id: str
    text: str
    at: datetime
    edited_at: datetime | None = None
    is_deleted: bool = False


@dataclass(frozen=True)
class Asked:
    """A request that the platform gets."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base: str
    """The address of the platform, as in `http://127.0.0.1:1234`."""


@dataclass(frozen=True)
class Answered:
    """What it answers."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


class Platform:
    """One way of listening to one kind."""

    kind: ClassVar[str]
    edits: ClassVar[bool] = True
    """Whether it tells of edits in this way."""
    deletes: ClassVar[bool] = True
    """Whether it tells of deletes in this way."""
    spoils: ClassVar[bool] = True
    """Whether one malformed item can come among good ones."""
    secrets: ClassVar[Mapping[str, str]] = {}
    """What stands in the secrets' files, by role."""

    def __init__(self) -> None:
        self.posts: dict[str, Post] = {}
        """What is on the platform, in the order in which it was said."""

    def options(self, base: str) -> dict[str, Any]:
        """What klankbord.yaml says of the source, besides its kind, name and community."""
        raise NotImplementedError

    def native_id(self, id_: str) -> str:
        """What the post is called in what the kind hands in."""
        raise NotImplementedError

    # what happens on the platform; ids are numbers as text, each higher than the one before

    def say(self, id_: str, text: str) -> Post:
        """Somebody says something."""
        at = LONG_AGO + timedelta(minutes=len(self.posts))
        self.posts[id_] = Post(id_, text, at)
        return self.posts[id_]

    def edit(self, id_: str, text: str) -> Post:
        """It is said differently."""
        post = self.posts[id_]
        later = (post.edited_at or post.at) + timedelta(hours=1)
        self.posts[id_] = replace(post, text=text, edited_at=later)
        return self.posts[id_]

    def delete(self, id_: str) -> Post:
        """It is taken back."""
        self.posts[id_] = replace(self.posts[id_], is_deleted=True)
        return self.posts[id_]


class PushPlatform(Platform):
    """A platform that sends."""

    tells_posts: ClassVar[bool] = True
    """Whether what it tells are posts; else `said` is an interaction, such as that a page was
    viewed."""
    names_hits: ClassVar[bool] = True
    """Whether an interaction that is told again, a minute later, is known to be the same."""
    only_calls: ClassVar[bool] = False
    """Whether it says only that there is something new: then the source is asked what it is."""
    signs_body: ClassVar[bool] = True
    """Whether its signature covers the body; else it shows a token."""
    signs_time: ClassVar[bool] = False
    """Whether it signs the time, so that what is old can be refused."""

    def said(self, post: Post) -> Request:
        """What it sends when something is said; unsigned."""
        raise NotImplementedError

    def edited(self, post: Post) -> Request:
        """What it sends when it is edited."""
        raise NotImplementedError

    def deleted(self, post: Post) -> Request:
        """What it sends when it is taken back."""
        raise NotImplementedError

    def spoiled(self) -> Request:
        """What it sends where an item is not as it documents."""
        raise NotImplementedError

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        """The request, signed with these secrets at that moment."""
        raise NotImplementedError


class PullPlatform(Platform):
    """A platform that is asked."""

    is_spoiled = False
    """Whether one item of what it answers is to be malformed."""
    follows: ClassVar[bool] = True
    """Whether it is asked with GET, so that a redirect is followed."""
    hears_history: ClassVar[bool] = True
    """Whether the kind can be asked for history (`Backfill`)."""

    def answer(self, asked: Asked) -> Answered:
        """What it answers, as its documentation says."""
        raise NotImplementedError


class StreamPlatform(Platform):
    """A platform to which a connection is kept."""

    remembers: ClassVar[bool] = True
    """Whether whoever comes back with a cursor is told what was missed."""
    is_spoiled = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str, None]:
        """Run its server; gives its address as `options` wants it, such as `ws://127.0.0.1:1234`."""
        raise NotImplementedError
        yield ""

    async def tell(self, post: Post) -> None:
        """Tell those who are connected what became of a post: it is new, edited or deleted."""
        raise NotImplementedError

    async def spoil(self) -> None:
        """Tell something that is not as it documents."""
        raise NotImplementedError

    async def break_off(self) -> None:
        """Break every connection."""
        raise NotImplementedError
