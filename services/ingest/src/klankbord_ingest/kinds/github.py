"""GitHub: issues, pull requests, discussions, their comments, and stars.

Webhooks: https://docs.github.com/en/webhooks/webhook-events-and-payloads. Asking:
https://docs.github.com/en/rest/issues, /rest/pulls/comments, and GraphQL for discussions.

Native ids, the same from a webhook, from REST, from GraphQL, from a backfill and from a dump:

- an issue, pull request or discussion is `<repository id>#<number>`: the three share their numbers,
  a comment names the one that it belongs to by its number alone, and the repository's id stays when
  it is renamed. It is the `context` of what is said in it;
- what has a number of its own is `issue_comment/<id>`, `review/<id>`, `review_comment/<id>`,
  `discussion_comment/<id>`, `commit_comment/<id>`, `release/<id>` (GraphQL: `databaseId`). Node ids
  are not used: they have two forms;
- an author is the account's `id`, which stays when it is renamed.

Versions: a comment's `updated_at` is when it was edited. That of an issue moves with every comment
and label, so it counts only in the webhook that tells an edit. Asked for, an issue states none, and
is a version when it says something else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, HttpUrl, StringConstraints, model_validator

from klankbord_ingest.fetch import Fetched
from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    FetchError,
    Fields,
    Page,
    PassedOver,
    Pull,
    Push,
    Request,
    Secret,
    Secrets,
    Source,
    Web,
    gathered,
    json_body,
)
from klankbord_ingest.linked import links_in_text
from klankbord_ingest.signed_body import check_sha256
from klankbord_ingest.web import LaterError, first_that_fits, json_of
from klankbord_schemas.types import MAX_TAGS

SIGNATURE, DELIVERY, EVENT = "X-Hub-Signature-256", "X-GitHub-Delivery", "X-GitHub-Event"
PUBLIC = "https://github.com"
API_VERSION = "2022-11-28"
STAMP = "%Y-%m-%dT%H:%M:%SZ"

PAGE_SIZES = (50, 5, 1)
"""How many are asked for at once; fewer, where so many long ones are too large an answer."""
OVERLAP = timedelta(minutes=1)
"""How much is asked for again in the next round: GitHub may list what is new a little late."""
SECOND = timedelta(seconds=1)
LOOK_AGAIN = timedelta(days=1)
"""How often a repository is asked what it has: issues, discussions."""

POSTS: Mapping[str, Mapping[str, str]] = {
    "issues": {
        "opened": "create",
        "edited": "update",
        "deleted": "delete",
        "transferred": "delete",
    },
    "pull_request": {"opened": "create", "edited": "update"},
    "discussion": {
        "created": "create",
        "edited": "update",
        "deleted": "delete",
        "transferred": "delete",
    },
    "issue_comment": {"created": "create", "edited": "update", "deleted": "delete"},
    "discussion_comment": {"created": "create", "edited": "update", "deleted": "delete"},
    "pull_request_review": {"submitted": "create", "edited": "update"},
    "pull_request_review_comment": {"created": "create", "edited": "update", "deleted": "delete"},
    "commit_comment": {"created": "create"},
    "release": {
        "published": "create",
        "edited": "update",
        "deleted": "delete",
        "unpublished": "delete",
    },
}
"""By event and action, what happened to a post; every other action is passed over."""

MEMBERS = {
    "added": "join",
    "member_added": "join",
    "removed": "leave",
    "member_removed": "leave",
}
"""By action of the events `member` (of a repository) and `organization`."""

DISCUSSIONS = """
query ($owner: String!, $name: String!, $first: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    discussions(first: $first, after: $after, orderBy: {field: UPDATED_AT, direction: DESC}) {
      pageInfo { hasNextPage endCursor }
      nodes {
        number title updatedAt ...said
        category { slug isAnswerable }
        labels(first: 20) { nodes { name } }
        comments(last: 100) {
          nodes { databaseId ...said replies(last: 50) { nodes { databaseId ...said } } }
        }
      }
    }
  }
  rateLimit { remaining }
}
fragment said on Comment {
  body createdAt lastEditedAt authorAssociation
  ... on Discussion { url }
  ... on DiscussionComment { url }
  author {
    __typename login avatarUrl
    ... on User { databaseId }
    ... on Bot { databaseId }
    ... on Organization { databaseId }
  }
}
"""
DISCUSSION_SIZES = (5, 1)

Repository = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]
"""`owner/name`."""


class GitHub(Push, Pull, Backfill):
    """Repositories on GitHub: webhooks tell at once, asking finds what they lost."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret(
            "the secret of the webhook: Settings › Webhooks, a random text of your own; with "
            "`webhook: false` none is needed",
            way="push",
        ),
        "token": Secret(
            "a fine-grained token that may read issues, pull requests and discussions: Settings › "
            "Developer settings; without one GitHub answers 60 times an hour, and no discussions",
            is_required=False,
        ),
    }

    kind: Literal["github"]
    url: HttpUrl = HttpUrl(PUBLIC)
    """Where people read it; an Enterprise Server has an address of its own."""
    webhook: bool = True
    """Whether it sends webhooks."""
    repositories: Annotated[tuple[Repository, ...], Field(max_length=50)] = ()
    """Which are asked, as `owner/name`. Webhooks are heard of whatever sends them."""

    @model_validator(mode="after")
    def _is_listened_to(self) -> Self:
        if not self.webhook and not self.repositories:
            raise ValueError("is never heard; name `repositories`, or leave `webhook` to be true")
        return self

    @property
    def base(self) -> str:
        """Its address, without a slash at its end."""
        return str(self.url).rstrip("/")

    @property
    def own_platform(self) -> str:
        """`github.com`, or the server's own name."""
        return self.base.partition("://")[2]

    @property
    def place(self) -> str:
        """Another server is another place."""
        return self.base

    @property
    def api(self) -> str:
        """Where REST is asked."""
        return "https://api.github.com" if self.base == PUBLIC else f"{self.base}/api/v3"

    @property
    def graphql(self) -> str:
        """Where GraphQL is asked."""
        return f"{self.api}/graphql" if self.base == PUBLIC else f"{self.base}/api/graphql"

    def uses(self, way: str) -> bool:
        """GitHub is asked only where it is said for which repositories."""
        return self.webhook if way == "push" else bool(self.repositories)

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:  # noqa: ARG002  no time is signed
        """Check the signature; a redelivery has the name of the delivery that it repeats."""
        check_sha256(SIGNATURE, request.header(SIGNATURE), secrets["signature"], request.body)
        return request.header(DELIVERY) or None

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """What one webhook says."""
        event, delivery = request.header(EVENT), request.header(DELIVERY)
        return gathered([json_body(request)], lambda said: [told(said, event, delivery, now)])

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """One question of a round: each repository's issues, comments, reviews, discussions."""
        return await self._round(web, cursor, now, None)

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """History, oldest change first; of discussions newest first."""
        begin = (since or datetime(1970, 1, 1, tzinfo=UTC)).astimezone(UTC)
        return await self._round(web, cursor, datetime.now(UTC), begin)

    async def _round(self, web: Web, cursor: Cursor, now: datetime, begin: datetime | None) -> Page:
        if not self.repositories:
            return Page(cursor=cursor)
        round_ = Round.of(cursor, self.repositories)
        about = round_.about
        if "id" not in about or now - datetime.fromisoformat(about["at"]) > LOOK_AGAIN:
            about = await self._about(web, round_.repository, now)
        while not round_.part.is_there(about, web):
            after = Round.of(round_.following(about, round_.state, is_done=True), self.repositories)
            if after.repository != round_.repository or not round_.is_short:
                return Page(cursor=after.cursor, more=round_.is_short)
            round_ = after
        part = round_.part
        state = round_.state or ({"since": begin.strftime(STAMP)} if begin else {})
        asked = self._discussions if part.path is None else self._listed
        page, state, is_done = await asked(web, round_, about["id"], state, begin)
        following = round_.following(about, state, is_done=is_done)
        return replace(page, cursor=following, more=not is_done or round_.is_short)

    async def _about(self, web: Web, repository: str, now: datetime) -> dict[str, Any]:
        """What a repository is called by number, and what it has."""
        said = await web.get_json(f"{self.api}/repos/{repository}", headers=_headers(web))
        number = said.get("id") if isinstance(said, dict) else None
        if not isinstance(number, int):
            raise FetchError("bad_answer", f"{self.api}/repos/{repository} tells no repository")
        return {
            "id": number,
            "at": now.astimezone(UTC).strftime(STAMP),
            "issues": said.get("has_issues") is not False,
            "discussions": said.get("has_discussions") is True,
        }

    async def _listed(
        self,
        web: Web,
        round_: "Round",
        repository_id: int,
        state: Mapping[str, Any],
        begin: datetime | None,
    ) -> tuple[Page, dict[str, Any], bool]:
        """A page of what REST lists in the order of its last change."""
        since, number = state.get("since"), int(state.get("page", 1))
        params = {
            "state": "all",
            "sort": "updated",
            "direction": "asc" if since else "desc",
            "since": since or "",
        }
        headers = _headers(web)
        if etag := state.get("etag"):
            headers["If-None-Match"] = etag
        address = f"{self.api}/repos/{round_.repository}/{round_.part.path}"
        sizes = [size for size in PAGE_SIZES if size <= int(state.get("size", PAGE_SIZES[0]))]

        def page_of(size: int) -> int:
            return number if size == sizes[0] else 1  # pages of another size are other pages

        async def ask(size: int) -> Fetched:
            asked = {**params, "page": page_of(size), "per_page": size}
            return await web.get(address, asked, headers)

        fetched, size = await first_that_fits(sizes, ask)
        if fetched.status == HTTPStatus.NOT_MODIFIED:
            return Page(), dict(state), True
        items = json_of(fetched)
        if not isinstance(items, list):
            raise FetchError("bad_answer", f"{address} lists nothing")
        is_new = None if begin or not since else datetime.fromisoformat(since)
        page = gathered(
            items if since else reversed(items),
            lambda item: [round_.part.read(item, repository_id, is_new)],
        )
        moments = [
            datetime.fromisoformat(item["updated_at"])
            for item in items
            if isinstance(item, dict) and isinstance(item.get("updated_at"), str)
        ]
        newest = max(moments, default=None)
        following = _following(since, page_of(size), newest, is_full=len(items) == size)
        if "page" in following:
            following["size"] = size
        is_done = not since or len(items) < size
        if is_done and following.get("since") == since and (said := fetched.headers.get("etag")):
            following["etag"] = said
        return page, following, is_done

    async def _discussions(
        self,
        web: Web,
        round_: "Round",
        repository_id: int,
        state: Mapping[str, Any],
        begin: datetime | None,
    ) -> tuple[Page, dict[str, Any], bool]:
        """A page of discussions, those changed last first, down to what was known."""
        owner, _, name = round_.repository.partition("/")
        given = {"owner": owner, "name": name, "after": state.get("after")}

        async def ask(size: int) -> Fetched:
            document = {"query": DISCUSSIONS, "variables": {**given, "first": size}}
            return await web.post(self.graphql, document=document, headers=_headers(web))

        fetched, _ = await first_that_fits(DISCUSSION_SIZES, ask)
        listed = _connection(json_of(fetched), self.graphql)
        nodes = listed["nodes"]
        page = gathered(nodes, lambda node: discussion_listed(node, repository_id, begin))
        since, top = state.get("since"), state.get("top")
        moments = [str(node.get("updatedAt") or "") for node in nodes if isinstance(node, dict)]
        top = max([*moments, top or ""]) or None
        after = listed["pageInfo"].get("endCursor") if listed["pageInfo"]["hasNextPage"] else None
        is_known = since is not None and bool(moments) and min(moments) < since
        if after is None or is_known or since is None:
            return page, {"since": top or since} if (top or since) else {}, True
        return page, {"since": since, "after": after, "top": top}, False


@dataclass(frozen=True)
class Part:
    """One of the things that a repository lists."""

    name: str
    path: str | None
    """Where REST lists it; None for what only GraphQL does."""
    read: Callable[[Any, int, datetime | None], Fields]
    """What one listed item says, in that repository; since when it would be new."""

    def is_there(self, about: Mapping[str, Any], web: Web) -> bool:
        """Whether it is worth asking for: GitHub answers 410 where issues are switched off."""
        if self.path is None:
            return bool(about["discussions"] and web.token)
        return bool(about["issues"]) or self.name == "reviews"


@dataclass(frozen=True)
class Round:
    """Where a round of asking is: each part of each repository in turn."""

    repositories: tuple[str, ...]
    at: int
    """Which question of the round is next."""
    known: Mapping[str, Any] = field(default_factory=dict)
    """By repository: what it has (`about`), and where each part stopped."""

    @classmethod
    def of(cls, cursor: Cursor, repositories: tuple[str, ...]) -> "Round":
        """The round that a cursor is in."""
        known: Any = cursor.get("known") or {}
        at = cursor.get("at")
        is_in_it = isinstance(at, int) and at < len(repositories) * len(PARTS)
        return cls(repositories, at if isinstance(at, int) and is_in_it else 0, known)

    @property
    def cursor(self) -> Cursor:
        """What is kept of it."""
        return {"at": self.at, "known": dict(self.known)}

    @property
    def repository(self) -> str:
        """Which repository is asked about."""
        return self.repositories[self.at // len(PARTS)]

    @property
    def part(self) -> Part:
        """What of it is asked for."""
        return PARTS[self.at % len(PARTS)]

    @property
    def about(self) -> Mapping[str, Any]:
        """What is known of the repository."""
        about: Mapping[str, Any] = self.known.get(self.repository, {}).get("about", {})
        return about

    @property
    def state(self) -> Mapping[str, Any]:
        """Where that part stopped."""
        state: Mapping[str, Any] = self.known.get(self.repository, {}).get(self.part.name, {})
        return state

    @property
    def is_short(self) -> bool:
        """Whether more questions follow this one in the round."""
        return self.at + 1 < len(self.repositories) * len(PARTS)

    def following(
        self, about: Mapping[str, Any], state: Mapping[str, Any], *, is_done: bool
    ) -> Cursor:
        """The cursor after an answer."""
        told = {**self.known.get(self.repository, {}), "about": about, self.part.name: state}
        known = {**self.known, self.repository: told}
        at = self.at + 1 if is_done else self.at
        return {
            "at": at % (len(self.repositories) * len(PARTS)),
            "known": {name: known[name] for name in self.repositories if name in known},
        }


def told(document: dict[str, Any], event: str, delivery: str, now: datetime) -> Fields:
    """What the body of a webhook says.

    Raises:
        PassedOver: nothing that Klankbord listens for.
    """
    if not isinstance(document, dict):
        raise TypeError("it is no object")
    if event in POSTS:
        return post_told(document, event)
    match event:
        case "ping":
            raise PassedOver("ping")
        case "star":
            return star_told(document)
        case "watch":
            raise PassedOver("star")  # the same click as the event `star`, under its old name
        case "fork":
            return fork_told(document)
        case "sponsorship":
            return sponsorship_told(document)
        case "member" | "organization":
            return member_told(document, delivery, now)
        case "membership":
            raise PassedOver("team")
    raise PassedOver("no_post")


def post_told(document: dict[str, Any], event: str) -> Fields:
    """A post, its edit or its delete.

    Raises:
        PassedOver: something else was done to it.
    """
    operation = POSTS[event].get(document["action"])
    changes = document.get("changes")
    if operation is None:
        raise PassedOver("no_post")
    if (
        operation == "update"
        and changes is not None
        and not changes.keys() & {"title", "body", "name"}
    ):
        raise PassedOver("no_post")  # such as another base branch
    repository = document["repository"]["id"]
    said = SAID[event](document, repository)
    if operation == "delete":
        return {"nativeId": said["nativeId"], "operation": "delete"}
    edited = said.pop("edited")
    return {**said, "operation": operation, "updated": edited if operation == "update" else None}


def thread_said(thread: dict[str, Any], repository: int) -> dict[str, Any]:
    """An issue, a pull request or a discussion."""
    category = thread.get("category") or {}
    labels = [label["name"] for label in thread.get("labels") or () if isinstance(label, dict)]
    native_id = f"{repository}#{thread['number']}"
    return _said(thread, native_id, native_id, thread.get("created_at")) | {
        "name": thread["title"],
        "objectType": "Question" if category.get("is_answerable") else "Note",
        "tag": _tags(labels, category, thread),
    }


def comment_said(comment: dict[str, Any], kind: str, thread: str) -> dict[str, Any]:
    """A comment of any kind in a thread."""
    answered = comment.get("in_reply_to_id") or comment.get("parent_id")
    said = _said(comment, f"{kind}/{comment['id']}", thread, comment.get("created_at"))
    return said | {"inReplyTo": f"{kind}/{answered}" if answered else thread}


def review_said(review: dict[str, Any], thread: str) -> dict[str, Any]:
    """What a review says as a whole.

    Raises:
        PassedOver: nothing, only its comments do.
    """
    if not review.get("body"):
        raise PassedOver("empty")
    said = _said(review, f"review/{review['id']}", thread, review["submitted_at"])
    return said | {"inReplyTo": thread}


def release_said(release: dict[str, Any]) -> dict[str, Any]:
    """A release and its notes.

    Raises:
        PassedOver: nobody sees it yet.
    """
    if release.get("draft"):
        raise PassedOver("draft")
    native_id = f"release/{release['id']}"
    moment = release.get("published_at") or release["created_at"]
    said = _said({**release, "user": release.get("author")}, native_id, native_id, moment)
    return said | {"objectType": "Article", "name": release.get("name") or release["tag_name"]}


def star_told(document: dict[str, Any]) -> Fields:
    """A star is a like of the repository."""
    if document["action"] != "created":
        raise PassedOver("withdrawn")
    return {
        "kind": "like",
        "published": document["starred_at"],
        "url": document["repository"]["html_url"],
        **_by(document["sender"]),
    }


def fork_told(document: dict[str, Any]) -> Fields:
    """A fork takes the repository further: a share."""
    forked = document["forkee"]
    return {
        "kind": "share",
        "nativeId": f"fork/{forked['id']}",
        "published": forked["created_at"],
        "url": document["repository"]["html_url"],
        **_by(document.get("sender") or forked["owner"]),
    }


def sponsorship_told(document: dict[str, Any]) -> Fields:
    """Who becomes a sponsor follows, for money."""
    given = document["sponsorship"]
    if given.get("privacy_level") != "public":
        raise PassedOver("private")
    if document["action"] != "created":
        raise PassedOver("withdrawn" if document["action"] == "cancelled" else "no_post")
    return {
        "kind": "follow",
        "published": given["created_at"],
        "url": given["sponsorable"]["html_url"],
        "name": "sponsorship",
        **_by(given["sponsor"]),
    }


def member_told(document: dict[str, Any], delivery: str, now: datetime) -> Fields:
    """Who was added to a repository or an organization, or removed. GitHub does not say when."""
    kind = MEMBERS.get(document["action"])
    if kind is None:
        raise PassedOver("no_post")
    user = document.get("member") or document["membership"]["user"]
    return {
        "kind": kind,
        "nativeId": f"delivery/{delivery}" if delivery else None,
        "published": now,
        **_by(user),
    }


def issue_listed(issue: dict[str, Any], repository: int, since: datetime | None) -> Fields:
    """An issue or pull request as REST lists it: changed, but who knows in what."""
    said = thread_said(issue, repository)
    said.pop("edited")
    is_new = since is None or datetime.fromisoformat(issue["created_at"]) >= since
    return {**said, "operation": "create" if is_new else "update"}


def comment_listed(kind: str, address: str) -> Callable[[Any, int, datetime | None], Fields]:
    """How a comment is read that names its thread by that address."""

    def read(comment: dict[str, Any], repository: int, since: datetime | None) -> Fields:  # noqa: ARG001
        thread = f"{repository}#{int(comment[address].rpartition('/')[2])}"
        said = comment_said(comment, kind, thread)
        edited = said.pop("edited")
        is_edited = edited is not None and edited != comment["created_at"]
        return {
            **said,
            "operation": "update" if is_edited else "create",
            "updated": edited if is_edited else None,
        }

    return read


def discussion_listed(
    node: dict[str, Any], repository: int, since: datetime | None
) -> Iterable[Fields]:
    """A discussion as GraphQL tells it, with its comments and their answers."""
    thread = f"{repository}#{node['number']}"
    category = node.get("category") or {}
    labels = [label["name"] for label in (node.get("labels") or {}).get("nodes") or ()]
    said = [
        _node(node, thread, thread)
        | {
            "name": node["title"],
            "objectType": "Question" if category.get("isAnswerable") else "Note",
            "tag": _tags(labels, category, node),
        }
    ]
    for comment in node["comments"]["nodes"]:
        native_id = f"discussion_comment/{comment['databaseId']}"
        said.append(_node(comment, native_id, thread) | {"inReplyTo": thread})
        said += [
            _node(reply, f"discussion_comment/{reply['databaseId']}", thread)
            | {"inReplyTo": native_id}
            for reply in comment["replies"]["nodes"]
        ]
    if since is None:
        return said
    return [one for one in said if datetime.fromisoformat(one["published"]) >= since]


SAID: Mapping[str, Callable[[dict[str, Any], int], dict[str, Any]]] = {
    "issues": lambda told, repository: thread_said(told["issue"], repository),
    "pull_request": lambda told, repository: thread_said(told["pull_request"], repository),
    "discussion": lambda told, repository: thread_said(told["discussion"], repository),
    "issue_comment": lambda told, repository: comment_said(
        told["comment"], "issue_comment", f"{repository}#{told['issue']['number']}"
    ),
    "discussion_comment": lambda told, repository: comment_said(
        told["comment"], "discussion_comment", f"{repository}#{told['discussion']['number']}"
    ),
    "pull_request_review": lambda told, repository: review_said(
        told["review"], f"{repository}#{told['pull_request']['number']}"
    ),
    "pull_request_review_comment": lambda told, repository: comment_said(
        told["comment"], "review_comment", f"{repository}#{told['pull_request']['number']}"
    ),
    "commit_comment": lambda told, repository: (
        comment_said(
            told["comment"], "commit_comment", f"{repository}@{told['comment']['commit_id']}"
        )
        | {"inReplyTo": None}
    ),
    "release": lambda told, repository: release_said(told["release"]),  # noqa: ARG005
}
"""By event, how its post is read: `edited` is when it was changed last."""

PARTS = (
    Part("issues", "issues", issue_listed),
    Part("comments", "issues/comments", comment_listed("issue_comment", "issue_url")),
    Part("reviews", "pulls/comments", comment_listed("review_comment", "pull_request_url")),
    Part("discussions", None, lambda node, repository, since: node),  # noqa: ARG005  many in one
)


def _said(
    thing: dict[str, Any], native_id: str, thread: str, published: str | None
) -> dict[str, Any]:
    """What all posts have, and when this one was changed last, as `edited`."""
    return {
        "nativeId": native_id,
        "published": published,
        "edited": thing.get("updated_at"),
        "context": thread,
        "url": thing.get("html_url"),
        "content": thing.get("body") or "",
        "link": links_in_text(thing.get("body") or ""),
        "tag": _association(thing),
        **_by(thing.get("user")),
    }


def _node(node: dict[str, Any], native_id: str, thread: str) -> dict[str, Any]:
    author = node.get("author") or {}
    login = str(author.get("login"))
    if author.get("__typename") == "Bot":
        login = login.removesuffix("[bot]") + "[bot]"  # as REST and webhooks write it
    user = {
        "id": author.get("databaseId") or login,
        "login": login,
        "type": author.get("__typename"),
        "avatar_url": author.get("avatarUrl"),
    }
    return {
        "nativeId": native_id,
        "operation": "update" if node.get("lastEditedAt") else "create",
        "published": node["createdAt"],
        "context": thread,
        "url": node.get("url"),
        "content": node.get("body") or "",
        "link": links_in_text(node.get("body") or ""),
        "tag": _association(node),
        **_by(user if author else None),
    }


def _by(user: dict[str, Any] | None) -> dict[str, Any]:
    """Who did it; nobody where the account was deleted (GitHub shows a ghost)."""
    if user is None:
        return {"attributedTo": None}
    kind, login = user.get("type"), user["login"]
    is_bot = kind == "Bot" or login.endswith("[bot]")
    return {
        "attributedTo": {
            "id": str(user["id"]),
            "type": "Service" if is_bot else "Organization" if kind == "Organization" else "Person",
            "preferredUsername": login,
            "icon": user.get("avatar_url"),
        },
        "isAutomated": is_bot,
    }


def _tags(labels: list[str], category: dict[str, Any], thread: dict[str, Any]) -> list[str]:
    """How the author stands to the repository, the category, and labels, of which 100 fit."""
    category_slug = [category["slug"]] if category else []
    return [*_association(thread), *category_slug, *labels][:MAX_TAGS]


def _association(thing: dict[str, Any]) -> list[str]:
    """How the author stands to the repository, as a tag: `author:member`, `author:contributor`."""
    association = thing.get("author_association") or thing.get("authorAssociation") or "NONE"
    return [] if association == "NONE" else [f"author:{association.lower()}"]


def _following(
    since: str | None, number: int, newest: datetime | None, *, is_full: bool
) -> dict[str, Any]:
    """Where to go on after a page that ends with what changed at that moment."""
    if newest is None:
        return {"since": since} if since else {}
    known = datetime.fromisoformat(since) if since else None
    if not is_full or known is None:
        following = newest - OVERLAP
        return {"since": max(following, known or following).strftime(STAMP)}
    if newest - SECOND > known:
        return {"since": (newest - SECOND).strftime(STAMP)}
    return {"since": since, "page": number + 1}


def _headers(web: Web) -> dict[str, str]:
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}
    return headers | ({"Authorization": f"Bearer {web.token}"} if web.token else {})


def _connection(document: Any, address: str) -> dict[str, Any]:
    """The discussions in an answer of GraphQL, which tells errors in an answer of 200."""
    errors = document.get("errors") if isinstance(document, dict) else None
    if errors:
        first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
        why = f"{address} refuses the question: {first.get('message') or 'it does not say why'}"
        if first.get("type") == "RATE_LIMITED":
            raise LaterError("too_many_requests", why, None)
        raise FetchError("bad_answer", why[:500])
    try:
        listed: dict[str, Any] = document["data"]["repository"]["discussions"]
        is_listed = isinstance(listed["nodes"], list) and isinstance(listed["pageInfo"], dict)
    except (KeyError, TypeError):
        is_listed = False
    if not is_listed:
        raise FetchError("bad_answer", f"{address} lists no discussions")
    return listed
