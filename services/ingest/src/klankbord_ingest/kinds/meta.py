"""Meta: Pages of Facebook and professional accounts of Instagram, by webhook and by the Graph API.

Formats: https://developers.facebook.com/docs/graph-api/webhooks/getting-started,
https://developers.facebook.com/docs/graph-api/webhooks/reference/page and
https://developers.facebook.com/docs/graph-api/webhooks/reference/instagram.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import HttpUrl, StringConstraints

from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    FetchError,
    Fields,
    Page,
    PassedOver,
    Push,
    Reply,
    Request,
    Secret,
    Secrets,
    Source,
    UnsignedError,
    Web,
    body_refused,
    gathered,
    is_one_of,
    json_body,
)
from klankbord_ingest.platform_json import moment_at
from klankbord_ingest.signed_body import check_sha256

SIGNATURE = "x-hub-signature-256"
MILLISECONDS = 100_000_000_000
"""A larger moment is in milliseconds: some notifications have them where others have seconds."""
PAGE_POSTS = 25
POST_COMMENTS = 100
"""How many comments of a post, and replies to a comment, a backfill asks for."""

COMMENTED = frozenset({"comment"})
POSTED = frozenset({"status", "post", "photo", "video", "share", "link", "album", "note", "event"})
"""What `item` names a post of a feed."""
OBJECT_TYPES = {"photo": "Image", "video": "Video", "IMAGE": "Image", "VIDEO": "Video"}
OPERATIONS = {"add": "create", "edit": "update", "edited": "update", "update": "update"}
REMOVALS = frozenset({"remove", "delete"})
EMOJI = {
    "like": "👍",
    "love": "❤️",
    "care": "🤗",
    "haha": "😆",
    "wow": "😮",
    "sad": "😢",
    "angry": "😡",
}
"""What the `reaction_type` of a reaction looks like."""

FEED_FIELDS = (
    "id,message,created_time,from,permalink_url,status_type,"
    f"comments.limit({POST_COMMENTS}).filter(stream)"
    "{id,message,created_time,from,permalink_url,parent{id}}"
)
MEDIA_FIELDS = (
    "id,caption,timestamp,permalink,media_type,owner,username,"
    f"comments.limit({POST_COMMENTS}){{id,text,timestamp,from,"
    f"replies.limit({POST_COMMENTS}){{id,text,timestamp,from}}}}"
)

GraphId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,30}$")]
Value: TypeAlias = Mapping[str, Any]
Reading: TypeAlias = Callable[[], Fields]
"""One post or comment out of an answer that nests them, each to be read by itself."""


class _Meta(Push, Backfill):
    """What both have in common: how Meta signs, and how it asks whether the address is ours."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret("the app secret: App settings, Basic, in the developer portal"),
        "verify": Secret("the verify token: any words of yours, the same in the developer portal"),
        "token": Secret(
            "a token of the Page or account, which a backfill needs", is_required=False
        ),
    }
    methods = frozenset({"GET", "POST"})
    accepted = Reply()

    account: GraphId
    """The id of the Page or of the professional account."""
    graph: HttpUrl = HttpUrl("https://graph.facebook.com/v23.0")
    """Where the Graph API is, with its version."""

    heard_of: ClassVar[str]
    """The `object` of its notifications."""

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:  # noqa: ARG002
        """Check the signature over the raw bytes, or the verify token of a handshake.

        https://developers.facebook.com/docs/graph-api/webhooks/getting-started#validate-payloads
        """
        if request.method == "GET":
            given = request.query.get("hub.verify_token", "").encode()
            is_ours = is_one_of(given, secrets["verify"])
            if not is_ours or request.query.get("hub.mode") != "subscribe":
                raise UnsignedError("hub.verify_token is not this source's")
            return None
        check_sha256(SIGNATURE, request.header(SIGNATURE), secrets["signature"], request.body)
        return None

    def answer(self, request: Request, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002
        """A handshake gets its challenge back."""
        if request.method != "GET":
            return None
        challenge = request.query.get("hub.challenge", "").encode()
        return Reply(200, challenge, headers={"X-Content-Type-Options": "nosniff"})

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """The changes that a notification tells of; Meta sends up to a thousand at once."""
        body = json_body(request)
        if not isinstance(body, dict) or body.get("object") != self.heard_of:
            raise body_refused(f"is no notification of {self.heard_of!r}", "other_object", "object")
        entries = body.get("entry")
        if not isinstance(entries, list):
            raise body_refused("is no list", "no_list", "entry")
        return gathered(_changes(entries), self._read)

    def _read(self, change: tuple[Any, Any]) -> Iterator[Fields]:
        entry, said = change
        if said is None:
            raise PassedOver("private")
        if str(entry["id"]) != self.account:
            raise PassedOver("other_account")
        yield self._change(entry, said["field"], said["value"])

    def _change(self, entry: Value, field: str, value: Value) -> Fields:
        """What one change says."""
        raise NotImplementedError

    async def _graph(
        self,
        web: Web,
        edge: str,
        fields: str,
        cursor: Cursor,
        since: datetime | None,
        spread: Callable[[Any], Iterable[Reading]],
    ) -> Page:
        """A page of an edge of the account, the newest first.

        https://developers.facebook.com/docs/graph-api/results
        """
        if not web.token:
            raise FetchError("not_set_up", "this source has no token, and a backfill needs one")
        url = f"{str(self.graph).rstrip('/')}/{self.account}/{edge}"
        params: dict[str, str | int] = {"fields": fields, "limit": PAGE_POSTS}
        params["after"] = str(cursor.get("after") or "")
        if since is not None:
            params["since"] = int(since.timestamp())
        answer = await web.get_json(url, params, {"Authorization": f"Bearer {web.token}"})
        posts = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(posts, list):
            raise FetchError("bad_answer", f"{url} answered without data")
        paging = answer.get("paging") or {}
        after = (paging.get("cursors") or {}).get("after") if paging.get("next") else None
        following: Cursor = {"after": str(after)} if after else dict(cursor)
        return gathered(
            (reading for post in posts for reading in spread(post)),
            lambda reading: [reading()],
            following,
            more=bool(after),
        )


class Facebook(_Meta):
    """A Page of Facebook: its posts, what visitors post, comments and reactions."""

    heard_of = "page"

    kind: Literal["facebook"]

    @property
    def own_platform(self) -> str:
        """One for all Pages: posts have ids of the whole platform."""
        return "facebook.com"

    def _change(self, entry: Value, field: str, value: Value) -> Fields:
        """A change of the feed, or a mention of the Page; see the reference of `page` above."""
        if field not in {"feed", "mention"}:
            raise PassedOver("no_post")
        item, verb = value["item"], value["verb"]
        if verb in {"hide", "unhide", "block", "unblock", "mute", "follow"}:
            raise PassedOver("moderation")  # what the Page's own team did
        if item in {"reaction", "like"}:
            return _facebook_reaction(entry, value, self.account)
        if item not in COMMENTED | POSTED:
            raise PassedOver("no_post")
        identity = value["comment_id"] if item in COMMENTED else value["post_id"]
        if verb in REMOVALS:
            return {"nativeId": identity, "operation": "delete"}
        if value.get("published") == 0:
            raise PassedOver("unpublished")
        said = {
            "nativeId": identity,
            "operation": OPERATIONS[verb],
            "published": _moment(value.get("created_time", entry["time"])),
            "attributedTo": _facebook_author(value, self.account),
            "content": value.get("message") or "",
            "objectType": OBJECT_TYPES.get(item, "Note"),
            "link": [link for link in (value.get("link"),) if isinstance(link, str)],
        }
        post = value.get("post") or {}
        if item in COMMENTED:
            return {**said, "context": value["post_id"], "inReplyTo": value.get("parent_id")}
        return {**said, "url": post.get("permalink_url") or f"https://www.facebook.com/{identity}"}

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """The Page's feed: https://developers.facebook.com/docs/graph-api/reference/page/feed."""

        def spread(post: Any) -> Iterator[Reading]:
            return graph_feed(post, self.account)

        return await self._graph(web, "feed", FEED_FIELDS, cursor, since, spread)


class Instagram(_Meta):
    """A professional account of Instagram: comments on what it shows."""

    heard_of = "instagram"

    kind: Literal["instagram"]

    @property
    def own_platform(self) -> str:
        """One for all accounts."""
        return "instagram.com"

    def _change(self, entry: Value, field: str, value: Value) -> Fields:
        """https://developers.facebook.com/docs/instagram-platform/webhooks/examples."""
        if field == "mentions":
            raise PassedOver("no_text")  # it names the comment, and no word of it
        if field not in {"comments", "live_comments"}:
            raise PassedOver("no_post")
        media = value["media"]["id"]
        return {
            "nativeId": value["id"],
            # Meta tells no other time of it than when it told of it
            "published": _moment(entry["time"]),
            "attributedTo": _instagram_author(value),
            "content": value["text"],
            "context": media,
            "inReplyTo": value.get("parent_id") or media,
        }

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """What the account shows, with its comments:
        https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user/media.
        """
        return await self._graph(web, "media", MEDIA_FIELDS, cursor, since, graph_shown)


def graph_feed(post: Any, account: str) -> Iterator[Reading]:
    """A post of a Page as the Graph API gives it, and each comment on it."""
    yield partial(graph_post, post, account)
    for comment in _data(post, "comments"):
        yield partial(graph_comment, comment, post, account)


def graph_post(post: Value, account: str) -> Fields:
    """A post of a Page: https://developers.facebook.com/docs/graph-api/reference/post.

    Its `updated_time` is no edit time: a new comment changes it too.
    """
    shape = {"added_photos": "photo", "added_video": "video"}.get(post.get("status_type", ""), "")
    return {
        "nativeId": post["id"],
        "published": post["created_time"],
        "attributedTo": _facebook_author(post, account),
        "content": post.get("message") or post.get("story") or "",
        "objectType": OBJECT_TYPES.get(shape, "Note"),
        "url": post.get("permalink_url"),
    }


def graph_comment(comment: Value, post: Value, account: str) -> Fields:
    """A comment on a post: https://developers.facebook.com/docs/graph-api/reference/comment."""
    return {
        "nativeId": comment["id"],
        "published": comment["created_time"],
        "attributedTo": _facebook_author(comment, account),
        "content": comment.get("message") or "",
        "url": comment.get("permalink_url"),
        "context": post["id"],
        "inReplyTo": (comment.get("parent") or {}).get("id") or post["id"],
    }


def graph_shown(media: Any) -> Iterator[Reading]:
    """What an account shows as the Graph API gives it, each comment on it and each reply."""
    yield partial(graph_media, media)
    for comment in _data(media, "comments"):
        yield partial(graph_instagram_comment, comment, media, media)
        for reply in _data(comment, "replies"):
            yield partial(graph_instagram_comment, reply, media, comment)


def graph_media(media: Value) -> Fields:
    """A picture or a video of the account."""
    owner = (media.get("owner") or {}).get("id")
    author = {"id": owner, "preferredUsername": media.get("username")} if owner else None
    return {
        "nativeId": media["id"],
        "published": media["timestamp"],
        "attributedTo": author,
        "content": media.get("caption") or "",
        "objectType": OBJECT_TYPES.get(media.get("media_type", ""), "Note"),
        "url": media.get("permalink"),
    }


def graph_instagram_comment(comment: Value, media: Value, answered: Value) -> Fields:
    """A comment of Instagram, or a reply to one."""
    return {
        "nativeId": comment["id"],
        "published": comment["timestamp"],
        "attributedTo": _instagram_author(comment),
        "content": comment["text"],
        "context": media["id"],
        "inReplyTo": answered["id"],
    }


def _facebook_reaction(entry: Value, value: Value, account: str) -> Fields:
    verb = value["verb"]
    if verb in REMOVALS:
        raise PassedOver("withdrawn")
    if verb != "add":
        raise PassedOver("changed")  # another emoji in the place of one that was heard
    target = value.get("comment_id") or value.get("post_id")
    said = {
        "published": _moment(value.get("created_time", entry["time"])),
        "attributedTo": _facebook_author(value, account),
    }
    if target is None:  # a like of the Page itself
        return {**said, "kind": "follow"}
    reaction = value.get("reaction_type", "like")
    return {**said, "kind": "like", "object": target, "content": EMOJI.get(reaction, reaction)}


def _facebook_author(value: Value, account: str) -> Fields | None:
    """Who wrote it; Meta leaves it out where the app lacks the permission to know."""
    person = value.get("from")
    if person is None and "sender_id" in value:
        person = {"id": value["sender_id"], "name": value.get("sender_name")}
    if not person:
        return None
    kind = "Organization" if str(person["id"]) == account else "Person"
    return {"id": person["id"], "name": person.get("name"), "type": kind}


def _instagram_author(value: Value) -> Fields | None:
    person = value.get("from")
    if not person:
        return None
    return {"id": person["id"], "preferredUsername": person.get("username")}


def _changes(entries: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Each change with its entry; of a message to the Page only that there is one.

    An app with Instagram's own login gets a change without the list around it.
    """
    for entry in entries:
        if not isinstance(entry, dict):
            yield {}, entry if entry is not None else ""
            continue
        if "field" in entry:
            yield entry, entry
        for change in _listed(entry.get("changes")):
            yield entry, change if change is not None else ""
        for name in ("messaging", "standby"):
            yield from ((entry, None) for _ in _listed(entry.get(name)))


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _data(thing: object, edge: str) -> list[Any]:
    """The items of an edge that is given inside of a thing."""
    inner = thing.get(edge) if isinstance(thing, dict) else None
    return _listed(inner.get("data")) if isinstance(inner, dict) else []


def _moment(stamp: object) -> datetime:
    """A moment of a notification: seconds since 1970, or milliseconds."""
    number = int(str(stamp))
    return moment_at(number / 1000 if number > MILLISECONDS else number)
