"""Discourse: a forum, by its webhooks and by asking for its newest posts.

Payloads: https://docs.discourse.org and Discourse's own serializers (`WebHookPostSerializer`).

Native ids, the same from a webhook, from `/posts.json`, from a backfill and from an import of a
dump, where the columns are called the same:

- a post is `<topic_id>/<post_number>`, as in its address `/t/<topic_id>/<post_number>`. Discourse
  also numbers posts through (`id`), but says what a post answers only as `reply_to_post_number`, so
  with the latter no reply would find its post. A post that is moved to another topic is deleted
  here and told anew under its new address, by the next round of asking;
- a topic (`context`) is `<topic_id>`;
- an author is `user_id`; a like is `like/<post>/<user_id>`.

Versions: `version` does not count what an author changes within the first minutes (the site setting
`editing grace period`), but `updated_at` changes with it. So a post that was edited states
`updated_at`. Staff who recover a post change neither; then it is when that was heard.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, HttpUrl, model_validator

from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    DepartureSubmission,
    FetchError,
    Page,
    PassedOver,
    Pull,
    Push,
    Request,
    Said,
    Secret,
    Secrets,
    Source,
    Web,
    gathered,
    json_body,
    submission_of,
)
from klankbord_ingest.linked import links_in_html, links_in_text
from klankbord_ingest.signed_body import check_sha256
from klankbord_schemas.types import Line

SIGNATURE = "X-Discourse-Event-Signature"
EVENT, EVENT_ID = "X-Discourse-Event", "X-Discourse-Event-Id"

PAGE_SIZE = 50
"""How many posts `/posts.json` lists at most; older versions list those of so many ids."""
MAX_PAGE_BYTES = 8 * 1024 * 1024
"""How large a page may be: fifty posts of the greatest length, as Markdown and as HTML."""
MAX_TOPIC_POSTS = 1000
"""Of how many posts it is said that they are gone when their topic is deleted."""
MOST_GONE = 100
"""How many vanished posts are remembered, in case they come back."""
MOST_EMPTY = 40
"""After so many empty pages in a row, history is taken to be at its end."""
AT_ONCE = timedelta(seconds=1)
"""A post that was saved again within this time was not edited; Discourse itself does that."""
POST_TYPES = {2: "moderator_action", 3: "small_action", 4: "whisper"}
"""Why a post that is not of the regular type (1) is passed over."""
AVATAR_PIXELS = "96"
QUOTE = re.compile(r"\[quote\b[^\]\n]{0,300}\]|\[/quote\]", re.IGNORECASE)


class Discourse(Push, Pull, Backfill):
    """A Discourse forum: webhooks tell at once, asking finds what they lost."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret(
            "the secret of the webhook: Admin › Advanced › Webhooks, a random text of your own; "
            "with `webhook: false` none is needed",
            way="push",
        ),
        "token": Secret(
            "an API key: Admin › Advanced › API keys, for a single user, read-only; needed where "
            "the forum is not open to everyone",
            is_required=False,
        ),
    }

    kind: Literal["discourse"]
    url: HttpUrl
    """Where people read the forum."""
    webhook: bool = True
    """Whether it sends webhooks."""
    ask: bool = True
    """Whether it is asked for its newest posts."""
    api_username: Line | None = None
    """Whom to ask as, where the API key is one for all users."""
    recheck: Annotated[int, Field(ge=PAGE_SIZE, le=300)] = PAGE_SIZE
    """How many of the newest posts are looked at again in each round, for edits and deletes."""

    @model_validator(mode="after")
    def _is_listened_to(self) -> Self:
        if not self.webhook and not self.ask:
            raise ValueError("is never heard; leave `webhook` or `ask` to be true")
        return self

    @property
    def base(self) -> str:
        """The forum's address, without a slash at its end."""
        return str(self.url).rstrip("/")

    @property
    def own_platform(self) -> str:
        """The forum's host, and its folder where it has one: `forum.example.org`."""
        return self.base.partition("://")[2]

    @property
    def place(self) -> str:
        """Another address is another forum."""
        return self.base

    def uses(self, way: str) -> bool:
        """Webhooks, asking, or both."""
        return self.webhook if way == "push" else self.ask

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:  # noqa: ARG002  no time is signed
        """Check the signature; Discourse sends none where the webhook has no secret."""
        check_sha256(SIGNATURE, request.header(SIGNATURE), secrets["signature"], request.body)
        return request.header(EVENT_ID) or None

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """What one webhook says."""
        event = request.header(EVENT)
        return gathered([json_body(request)], lambda said: told(said, event, self.base, now))

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """The newest posts, walked downwards as far as they were known the last time."""
        before = cursor.get("before")
        posts = await self._listed(web, before)
        walk = Walk.of(cursor, self.recheck)
        step = walk.step(posts, before if isinstance(before, int) else None)
        page = gathered(
            reversed(step.changed),
            lambda post: [self._asked(post, step.returned, now)],
            step.cursor,
            more=step.more,
        )
        gone = [submission_of(deleted(native_id)) for native_id in step.gone]
        return replace(page, submissions=[*gone, *page.submissions])

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """History, the newest first: Discourse lists it no other way."""
        before = cursor.get("before")
        posts = await self._listed(web, before)
        ids = [number for number in map(_id_of, posts) if number is not None]
        if isinstance(before, int):
            ids = [number for number in ids if number < before]
        empty = 0 if ids else int(str(cursor.get("empty", 0))) + 1
        beneath = min(ids, default=(before if isinstance(before, int) else 0) - PAGE_SIZE)
        is_old = bool(ids) and since is not None and all(_is_before(post, since) for post in posts)
        more = beneath > 0 and empty < MOST_EMPTY and not is_old and (bool(ids) or bool(cursor))
        return gathered(
            reversed(posts),
            lambda post: [self._told_before(post, since)],
            {"before": beneath, "empty": empty},
            more=more,
        )

    async def _listed(self, web: Web, before: object) -> list[Any]:
        """A page of the newest posts, or of those before one, the newest first."""
        given = {"Api-Key": web.token, "Api-Username": self.api_username or ""}
        headers = {name: value for name, value in given.items() if value and web.token}
        params = {"before": before} if isinstance(before, int) else {}
        address = f"{self.base}/posts.json"
        document = await web.get_json(address, params, headers, max_bytes=MAX_PAGE_BYTES)
        posts = document.get("latest_posts") if isinstance(document, dict) else None
        if not isinstance(posts, list):
            why = f"{address} lists no posts; is {self.base} a Discourse forum?"
            raise FetchError("bad_answer", why)
        return posts

    def _asked(self, post: Any, returned: frozenset[int], now: datetime) -> Mapping[str, Any]:
        event = "post_recovered" if _id_of(post) in returned else ""
        return post_said(post, event, self.base, now)

    def _told_before(self, post: Any, since: datetime | None) -> Mapping[str, Any]:
        if since is not None and _is_before(post, since):
            raise PassedOver("older")
        return post_said(post, "", self.base, _moment(post["created_at"]))


class Step:
    """What one page of a walk comes to."""

    def __init__(
        self, changed: list[Any], gone: list[str], returned: frozenset[int], cursor: Cursor
    ) -> None:
        self.changed = changed
        """Posts that are new, edited, or back, the newest first."""
        self.gone = gone
        """The native ids of posts that are listed no longer."""
        self.returned = returned
        """The ids of posts that were gone and are listed again."""
        self.cursor = cursor

    @property
    def more(self) -> bool:
        """Whether the walk goes on."""
        return "before" in self.cursor


class Walk:
    """From the newest post down to what was known: what changed, and what is gone.

    The cursor holds the `recheck` newest posts as they were listed. A post that should be on a
    page and is not was deleted, unlisted, or moved where the public does not see it.
    """

    def __init__(
        self, known: dict[int, list[str]], gone: dict[int, str], target: int | None, most: int
    ) -> None:
        self._known, self._gone, self._target, self._most = known, gone, target, most

    @classmethod
    def of(cls, cursor: Cursor, most: int) -> "Walk":
        """The walk that a cursor is in, or that begins at it."""
        listed: Any = cursor.get("known") or {}
        vanished: Any = cursor.get("gone") or {}
        known = {int(number): list(said) for number, said in listed.items()}
        gone = {int(number): str(native_id) for number, native_id in vanished.items()}
        target = cursor.get("target")
        if not isinstance(target, int):
            target = min(sorted(known, reverse=True)[:most], default=None)
        return cls(known, gone, target, most)

    def step(self, posts: list[Any], before: int | None) -> Step:
        """What a page of posts says, of those before that id."""
        rows = {number: post for post in posts if (number := _id_of(post)) is not None}
        listed = {number: _row(post) for number, post in rows.items()}
        if before is not None:
            listed = {number: row for number, row in listed.items() if number < before}
        # An empty page says that nothing is left beneath, in older versions among so many ids. Of
        # an empty forum nothing is believed: it may be closed to whoever asks.
        lowest = min(listed, default=None if before is None else before - PAGE_SIZE)
        missed = [
            number
            for number in self._known
            if lowest is not None
            and lowest <= number
            and (before is None or number < before)
            and number not in listed
        ]
        moved = [
            number
            for number, (native_id, _) in listed.items()
            if self._known.get(number, [native_id])[0] != native_id
        ]
        changed = {number for number, row in listed.items() if self._known.get(number) != row}
        returned = frozenset(listed.keys() & self._gone.keys())
        gone = [self._known[number][0] for number in sorted([*missed, *moved])]
        # an item that has no id is no reason to lose it: it is refused with its reason
        unread = [post for post in posts if _id_of(post) is None]
        is_told = changed | returned
        news = [post for number, post in rows.items() if number in is_told]
        cursor = self._after(listed, missed, returned, before)
        return Step([*news, *unread], gone, returned, cursor)

    def _after(
        self,
        listed: dict[int, list[str]],
        missed: list[int],
        returned: frozenset[int],
        before: int | None,
    ) -> Cursor:
        lowest = min(listed, default=(before or 0) - PAGE_SIZE)
        known = {number: row for number, row in self._known.items() if number not in missed}
        known |= listed
        newest = sorted((number for number in known if number >= lowest), reverse=True)
        kept = [*newest[: self._most], *(number for number in known if number < lowest)]
        gone = {number: native for number, native in self._gone.items() if number not in returned}
        gone |= {number: self._known[number][0] for number in missed}
        cursor: dict[str, Any] = {
            "known": {str(number): known[number] for number in kept},
            "gone": {str(number): gone[number] for number in sorted(gone)[-MOST_GONE:]},
        }
        if self._target is not None and lowest > self._target:
            return cursor | {"before": lowest, "target": self._target}
        top = sorted(known, reverse=True)[: self._most]
        return cursor | {"known": {str(number): known[number] for number in top}}


def told(document: dict[str, Any], event: str, base: str, now: datetime) -> Iterable[Said]:
    """What the body of a webhook says; `event` is such as `post_edited`.

    Raises:
        PassedOver: nothing that Klankbord listens for.
    """
    if not isinstance(document, dict):
        raise TypeError("it is no object")
    if "ping" in document:
        raise PassedOver("ping")
    if "post" in document:
        return [post_said(document["post"], event, base, now)]
    if "like" in document:
        return [like_said(document["like"], base, now)]
    if "user" in document:
        return [account_said(document["user"], event, base, now)]
    if "topic" in document:
        return topic_said(document["topic"], event)
    raise PassedOver("no_post")


def post_said(post: dict[str, Any], event: str, base: str, now: datetime) -> Mapping[str, Any]:
    """A post as a webhook, `/posts.json` or a topic has it.

    Raises:
        PassedOver: not everyone may read it, or nobody wrote it.
    """
    _check_public(post)
    native_id = _native_id(post)
    deleted_at = post.get("deleted_at")
    is_withdrawn = bool(deleted_at or post.get("user_deleted"))
    if event == "post_destroyed" or (is_withdrawn and event != "post_recovered"):
        return deleted(native_id, deleted_at or (is_withdrawn and post["updated_at"]) or None)
    if post.get("hidden"):
        raise PassedOver("hidden")
    number, topic = post["post_number"], post["topic_id"]
    created, updated = _moment(post["created_at"]), _moment(post["updated_at"])
    is_edited = post.get("version", 1) > 1 or updated - created >= AT_ONCE
    is_edit = event == "post_edited" or (
        is_edited and event not in {"post_created", "post_recovered"}
    )
    at = now if event == "post_recovered" else updated
    words = without_quotes(post.get("raw") or "")
    return {
        "nativeId": native_id,
        "operation": "update" if is_edit else "create",
        "published": created,
        "updated": at if is_edited or event in {"post_edited", "post_recovered"} else None,
        "attributedTo": _author(post, base),
        "isAutomated": bool(post.get("is_auto_generated")) or _is_bot(post.get("user_id")),
        "inReplyTo": f"{topic}/{post.get('reply_to_post_number') or 1}" if number > 1 else None,
        "context": str(topic),
        "url": f"{base}/t/{post.get('topic_slug') or '-'}/{topic}/{number}",
        "name": post.get("topic_title") if number == 1 else None,
        "content": words,
        "contentHtml": post["cooked"],
        "tag": [post["category_slug"]] if post.get("category_slug") else [],
        "link": links_in_text(words) if words else links_in_html(post["cooked"]),
        "mention": [user["id"] for user in post.get("mentioned_users") or ()],
    }


def like_said(like: dict[str, Any], base: str, now: datetime) -> Mapping[str, Any]:
    """A like (`post_liked`). Discourse does not tell when; it is heard at once."""
    _check_public(like["post"])
    post, user = _native_id(like["post"]), like["user"]
    return {
        "kind": "like",
        "nativeId": f"like/{post}/{user['id']}",
        "object": post,
        "published": now,
        "attributedTo": _actor(user["id"], user, base),
        "isAutomated": _is_bot(user["id"]),
    }


def account_said(user: dict[str, Any], event: str, base: str, now: datetime) -> Said:
    """An account that is made (a join) or deleted, with what it wrote (a departure)."""
    actor = _actor(user["id"], user, base)
    if event == "user_created":
        return {
            "kind": "join",
            "nativeId": f"user/{user['id']}",
            "published": user["created_at"],
            "attributedTo": actor,
            "isAutomated": _is_bot(user["id"]),
        }
    if event == "user_destroyed":
        said = {"attributedTo": {"id": actor["id"]}, "published": now}
        return DepartureSubmission.model_validate(said)
    raise PassedOver("account")


def topic_said(topic: dict[str, Any], event: str) -> list[Mapping[str, Any]]:
    """A deleted topic takes its posts with it, of which Discourse tells the first alone.

    All else that happens to a topic is told by its first post, its title included.
    """
    if topic.get("archetype") == "private_message":
        raise PassedOver("private")
    if event != "topic_destroyed":
        raise PassedOver("topic")
    highest = min(int(topic["highest_post_number"]), MAX_TOPIC_POSTS)
    return [deleted(f"{topic['id']}/{number}") for number in range(1, highest + 1)]


def deleted(native_id: str, at: str | None = None) -> Mapping[str, Any]:
    """A post that is gone."""
    return {"nativeId": native_id, "operation": "delete", "updated": at}


def without_quotes(raw: str) -> str:
    """The Markdown of a post without what it quotes of others: they said that, not its author."""
    opened: list[int] = []
    quoted: list[tuple[int, int]] = []
    for mark in QUOTE.finditer(raw):
        if not mark[0].startswith("[/"):
            opened.append(mark.start())
        elif opened:
            quoted.append((opened.pop(), mark.end()))
    kept, at = [], 0
    for start, end in sorted(quoted):
        if start >= at:
            kept.append(raw[at:start])
        at = max(at, end)
    return "".join(chain(kept, [raw[at:]])).strip()


def _check_public(post: dict[str, Any]) -> None:
    if post.get("topic_archetype") == "private_message":
        raise PassedOver("private")
    if reason := POST_TYPES.get(post.get("post_type", 1)):
        raise PassedOver(reason)


def _native_id(post: dict[str, Any]) -> str:
    return f"{post['topic_id']}/{post['post_number']}"


def _author(post: dict[str, Any], base: str) -> Mapping[str, Any] | None:
    """Who wrote it; none where the account was deleted and the post kept."""
    user_id = post.get("user_id")
    return None if user_id is None else _actor(user_id, post, base)


def _actor(user_id: int, user: dict[str, Any], base: str) -> dict[str, Any]:
    template = user.get("avatar_template") or ""
    icon = template.replace("{size}", AVATAR_PIXELS) or None
    if icon and icon.startswith("/") and not icon.startswith("//"):
        scheme, _, rest = base.partition("://")
        icon = f"{scheme}://{rest.partition('/')[0]}{icon}"
    return {
        "id": str(user_id),
        "type": "Service" if _is_bot(user_id) else "Person",
        "preferredUsername": user.get("username"),
        "name": user.get("name") or user.get("display_username") or None,
        "icon": icon,
    }


def _is_bot(user_id: int | None) -> bool:
    """Discourse's own accounts, such as `system` (-1) and `discobot` (-2), are below zero."""
    return user_id is not None and user_id < 0


def _id_of(post: Any) -> int | None:
    number = post.get("id") if isinstance(post, dict) else None
    return number if isinstance(number, int) else None


def _row(post: dict[str, Any]) -> list[str]:
    """What the cursor keeps of a post: its native id, and what changes with it."""
    native_id = f"{post.get('topic_id')}/{post.get('post_number')}"
    state = "hidden" if post.get("hidden") else ""
    return [native_id, f"{post.get('updated_at')}{state}"]


def _is_before(post: Any, since: datetime) -> bool:
    created = post.get("created_at") if isinstance(post, dict) else None
    return isinstance(created, str) and _moment(created) < since


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
