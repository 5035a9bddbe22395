"""Mastodon, and servers that speak its interface: a timeline, and an own instance's webhooks.

Interface: https://docs.joinmastodon.org/client/intro/
"""

import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any, ClassVar, Literal, NamedTuple, Self
from urllib.parse import quote

from pydantic import HttpUrl, JsonValue, model_validator

from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    FetchError,
    Page,
    PassedOver,
    Pull,
    Push,
    Request,
    Secret,
    Secrets,
    Source,
    Stream,
    Web,
    gathered,
    json_body,
    together,
)
from klankbord_ingest.native_id import kept_native_id
from klankbord_ingest.remembered import Remembered
from klankbord_ingest.server_sent import ServerSent
from klankbord_ingest.signed_body import check_sha256
from klankbord_ingest.web import NotFoundError
from klankbord_runtime.yamlfile import Duration
from klankbord_schemas.trust import PublishedTrust
from klankbord_schemas.types import MAX_LINE, MAX_LINKS, MAX_TAGS, Line

FEDIVERSE = "fediverse"
"""The platform of every instance: a post's `uri` is the same wherever it is read."""
PAGE = 40
"""Statuses of a page; Mastodon gives no more."""
PUBLIC = frozenset({"public", "unlisted"})
"""The visibilities that anyone may read; others are `private` and `direct`."""
OVERLAP = timedelta(minutes=10)
"""A status of another instance that arrives late is filed under the moment it was written."""
SNOWFLAKE_BITS = 16
"""Below the milliseconds in a status id: https://docs.joinmastodon.org/entities/Status/#id"""
SNOWFLAKE_MINIMUM = 10**15
"""A smaller id, or one that is no number, is no snowflake: other software counts otherwise."""
HEARD_NOTIFICATIONS = ("mention", "status", "quote", "favourite", "reblog", "follow")
SIGNATURE = "X-Hub-Signature"

Status = Mapping[str, Any]


class Placed(NamedTuple):
    """A status, and where it stands in its thread."""

    status: Status
    parent: str | None = None
    """The `uri` of the status that it answers."""
    root: str | None = None
    """The `uri` of the status that opened the thread."""


class Mastodon(Push, Pull, Stream, Backfill):
    """A timeline of an instance; and what an instance of one's own says by webhook."""

    secrets: ClassVar[dict[str, Secret]] = {
        "token": Secret(
            "the access token of an application: Preferences, Development, New application, with "
            "read:statuses, and read:lists or read:notifications for a list or the home timeline"
        ),
        "signature": Secret(
            "the signing secret of the webhook on your instance: Administration, Webhooks",
            way="push",
        ),
    }

    kind: Literal["mastodon"]
    url: HttpUrl
    """The instance: `https://mastodon.example`."""
    timeline: Literal["local", "public", "home", "hashtag", "list"] = "local"
    """What is read: what is said on the instance, what it knows of the whole Fediverse, what the
    token's owner sees, what bears a tag, or a list of the token's owner."""
    hashtag: Line | None = None
    """The tag of a `hashtag` timeline, without `#`."""
    list: Line | None = None
    """The id of a `list` timeline: the number in its address."""
    domain: Line | None = None
    """What members of the instance have behind the `@`, where that is not its host."""
    streaming: bool = True
    """Whether to keep a connection. Other software may have none, or by web socket alone."""
    webhook: bool = False
    """Whether the instance, which is your own, sends to Klankbord as well."""
    published_trust: PublishedTrust = "claimed"
    """`attested` for the local timeline, which is dated by the instance; `claimed` elsewhere."""
    every: Duration = timedelta(minutes=5)

    @model_validator(mode="before")
    @classmethod
    def _local_times_are_the_instances(cls, given: Any) -> Any:
        is_local = isinstance(given, dict) and given.get("timeline", "local") == "local"
        return {"published_trust": "attested", **given} if is_local else given

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        for timeline, given in (("hashtag", self.hashtag), ("list", self.list)):
            if self.timeline == timeline and not given:
                raise ValueError(f"timeline {timeline} needs a {timeline}; add `{timeline}: …`")
            if self.timeline != timeline and given:
                raise ValueError(f"{timeline} is given; write `timeline: {timeline}` with it")
        return self

    @property
    def own_platform(self) -> str:
        """One for all instances: so a post that two of them show is one."""
        return FEDIVERSE

    @property
    def place(self) -> str:
        """Another timeline is another place."""
        return " ".join([self._base, self.timeline, self.hashtag or self.list or ""]).strip()

    def uses(self, way: str) -> bool:
        """An own instance may send, and other software may have no stream."""
        return {"push": self.webhook, "stream": self.streaming}.get(way, True)

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> None:  # noqa: ARG002
        """Check `X-Hub-Signature`: https://docs.joinmastodon.org/admin/webhooks/."""
        check_sha256(SIGNATURE, request.header(SIGNATURE), secrets["signature"], request.body)

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """What the instance says to its administrator."""
        return gathered([json_body(request)], self._told)

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:  # noqa: ARG002
        """What came since; with it, on the home timeline, what the token's owner is told of."""
        statuses, newest, more = await self._after(web, self._timeline, cursor.get("newest"), {})
        notifications: Sequence[Any] = []
        told: JsonValue = None
        if self.timeline == "home":
            types = {"types[]": HEARD_NOTIFICATIONS}
            path = "/api/v1/notifications"
            notifications, told, has_more = await self._after(web, path, cursor.get("told"), types)
            more = more or has_more
        placed = await self._placed(web, statuses)
        pages = [gathered(placed, self._said), await self._notified(web, notifications)]
        return replace(together(pages), cursor={"newest": newest, "told": told}, more=more)

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """What stands on the timeline, from the newest on back."""
        given: dict[str, str | int] = {"limit": PAGE}
        if before := cursor.get("before"):
            given["max_id"] = str(before)
        statuses = await self._list(web, self._timeline, given)
        wanted = [one for one in statuses if since is None or not _is_before(one, since)]
        oldest = next(filter(None, map(_id_of, reversed(statuses))), None)
        more = oldest is not None and len(wanted) == len(statuses)
        placed = await self._placed(web, wanted)
        following = cursor if oldest is None else {"before": oldest}
        return gathered(placed, self._said, following, more=more)

    async def stream(self, web: Web, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What is said as it is said, with edits and deletes.

        A delete has only this instance's id of a status. So the cursor keeps which `uri` each has
        that was heard here: of the newest several hundred.
        """
        known = Remembered(cursor.get("known"))
        base = await self._streaming(web)
        async with aclosing(web.events(*self._subscription(base), self._headers(web))) as events:
            is_first = True
            async for event in events:
                if is_first:
                    is_first = False
                    yield Page()
                    # A delete may be of what was said while nobody listened.
                    newest = await self._list(web, self._timeline, {"limit": PAGE})
                    known.keep(_named(reversed(newest)))
                if event is not None:
                    yield await self._heard(web, event, known)

    async def _heard(self, web: Web, event: ServerSent, known: Remembered) -> Page:
        """One event: https://docs.joinmastodon.org/methods/streaming/#events."""
        match event.event:
            case "update" | "status.update":
                statuses = _documents(event)
                known.keep(_named(statuses))
                page = gathered(await self._placed(web, statuses), self._said)
            case "notification":
                page = await self._notified(web, _documents(event))
            case "delete":
                page = gathered([event.data.strip()], lambda given: [_deleted(given, known)])
            case _:
                page = Page(passed_over={"other": 1})
        return replace(page, cursor={"known": known.cursor})

    async def _notified(self, web: Web, notifications: Sequence[Any]) -> Page:
        """Notifications: https://docs.joinmastodon.org/entities/Notification/."""
        items = []
        for one in notifications:
            status = one.get("status") if isinstance(one, dict) else None
            placed = await self._placed(web, [status]) if isinstance(status, dict) else [None]
            items.append((one, placed[0]))
        return gathered(items, lambda item: self._notification(*item))

    def _notification(
        self, given: Mapping[str, Any], placed: Placed | None
    ) -> Iterator[Mapping[str, Any]]:
        match given["type"]:
            case "mention" | "status" | "quote" if placed is not None:
                yield from self._said(placed)
            case "favourite" | "reblog" as what if placed is not None:
                _refuse_private(placed.status)
                kind = "like" if what == "favourite" else "share"
                yield self._around(kind, given, placed.status["uri"])
            case "follow":
                who = self._actor(given["account"])
                moment = given["created_at"]
                yield {"kind": "follow", "attributedTo": who, "published": moment}
            case _:
                raise PassedOver("other")

    def _told(self, given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """An administrator's webhook: `{event, created_at, object}`."""
        about = given["object"]
        match given["event"]:
            case "status.created" | "status.updated":
                yield from self._said(self._derived(about))
            case "account.created":
                who = self._actor(about["account"])
                yield {
                    "kind": "join",
                    "nativeId": kept_native_id(f"join:{who['id']}"),
                    "attributedTo": who,
                    "published": about["created_at"],
                }
            case "report.created" | "report.updated":
                raise PassedOver("report")
            case _:
                raise PassedOver("other")

    def _said(self, placed: Placed) -> Iterator[Mapping[str, Any]]:
        """A status as a post, or as the share that a boost is."""
        status = placed.status
        _refuse_private(status)
        if boosted := status.get("reblog"):
            _refuse_private(boosted)
            yield self._around("share", status, boosted["uri"])
            return
        edited = status.get("edited_at")
        # What answers a request to delete has only the `text` that its author typed.
        markup = status["content"] if "text" not in status else status.get("content")
        card = status.get("card") or {}
        yield {
            "nativeId": kept_native_id(status["uri"]),
            "operation": "update" if edited else "create",
            "published": status["created_at"],
            "updated": edited,
            "attributedTo": self._actor(status["account"]),
            "objectType": "Question" if status.get("poll") else "Note",
            "inReplyTo": placed.parent,
            "context": placed.root,
            "url": status.get("url") or status["uri"],
            "name": status.get("spoiler_text") or None,
            "contentHtml": markup,
            "content": "" if markup is not None else status["text"],
            "language": status.get("language"),
            "tag": [tag["name"] for tag in status.get("tags") or []][:MAX_TAGS],
            "mention": [self._address(one["acct"]) for one in status.get("mentions") or []],
            "link": links_in(markup or "", card.get("url")),
        }

    def _around(self, kind: str, given: Mapping[str, Any], uri: str) -> dict[str, Any]:
        """Somebody's boost or favourite of a status; each has at most one."""
        who = self._actor(given["account"])
        return {
            "kind": kind,
            "nativeId": kept_native_id(f"{kind}:{who['id']}:{uri}"),
            "object": kept_native_id(uri),
            "attributedTo": who,
            "published": given["created_at"],
        }

    def _actor(self, account: Mapping[str, Any]) -> dict[str, Any]:
        """An account: https://docs.joinmastodon.org/entities/Account/.

        Its address is its id: mentions have no other that is the same on every instance.
        """
        address = self._address(account["acct"])
        kind = "Group" if account.get("group") else "Person"
        return {
            "id": address,
            "type": "Service" if account.get("bot") else kind,
            "preferredUsername": address,
            "name": account.get("display_name") or None,
            "icon": account.get("avatar") or None,
        }

    def _address(self, acct: str) -> str:
        """`acct` with its host: `ada@mastodon.example`."""
        own = self.domain or self.url.host or ""
        return (acct if "@" in acct else f"{acct}@{own}").lower()

    def _derived(self, status: Status) -> Placed:
        """Where a status of this instance stands, from nothing but itself.

        A webhook waits for nobody to ask, and has only this instance's id of what is answered.
        The `uri` of a status begins with its author's, so that of an own one is plain; for another
        member's the usual form is taken. One on another instance cannot be known.
        """
        parent, whose = status.get("in_reply_to_id"), status.get("in_reply_to_account_id")
        if not parent:
            return Placed(status)
        account = status["account"]
        if whose == account["id"] and account.get("uri"):
            return Placed(status, kept_native_id(f"{account['uri']}/statuses/{parent}"))
        for one in status.get("mentions") or []:
            if one["id"] == whose and "@" not in one["acct"]:
                author = f"{self._base}/users/{one['username']}"
                return Placed(status, kept_native_id(f"{author}/statuses/{parent}"))
        return Placed(status)

    async def _placed(self, web: Web, statuses: Iterable[Status]) -> Sequence[Placed]:
        """Where each stands: the instance is asked for the thread of each that is an answer."""
        return [await self._place(web, status) for status in statuses]

    async def _place(self, web: Web, status: Status) -> Placed:
        if not isinstance(status, dict) or not status.get("in_reply_to_id") or "id" not in status:
            return Placed(status)
        if status.get("visibility") not in PUBLIC:
            return Placed(status)
        try:
            thread = await web.get_json(
                f"{self._base}/api/v1/statuses/{status['id']}/context", headers=self._headers(web)
            )
        except NotFoundError:  # deleted since
            return self._derived(status)
        ancestors = thread.get("ancestors") if isinstance(thread, dict) else None
        if not ancestors:
            return self._derived(status)
        uris = dict(_named(ancestors))
        root = next(iter(uris.values()), None)
        return Placed(status, uris.get(status["in_reply_to_id"]), root)

    async def _after(
        self, web: Web, path: str, newest: JsonValue, extra: Mapping[str, Any]
    ) -> tuple[Sequence[Any], JsonValue, bool]:
        """A page after an id, the oldest first; where to go on; whether there is more at once."""
        given = {"limit": PAGE, **extra}
        if newest is not None:
            given["min_id"] = str(newest)
        items = await self._list(web, path, given)
        found = next(filter(None, map(_id_of, items)), None)
        is_full = newest is not None and len(items) >= PAGE and found is not None
        if found is not None:
            newest = found if is_full else earlier(found)
        return items[::-1], "0" if newest is None else newest, is_full

    async def _list(self, web: Web, path: str, params: Mapping[str, Any]) -> Sequence[Any]:
        given = await web.get_json(f"{self._base}{path}", params, self._headers(web))
        if not isinstance(given, _LIST):
            raise FetchError("bad_answer", f"{self._base}{path} answered no list")
        return given

    async def _streaming(self, web: Web) -> str:
        """Where the instance streams: `configuration.urls.streaming`."""
        try:
            instance = await web.get_json(f"{self._base}/api/v2/instance", None, self._headers(web))
            told = instance["configuration"]["urls"]["streaming"]
        except (NotFoundError, KeyError, TypeError):
            return self._base
        return str(told).replace("wss://", "https://", 1).replace("ws://", "http://", 1).rstrip("/")

    def _subscription(self, base: str) -> tuple[str, dict[str, str]]:
        root = f"{base}/api/v1/streaming"
        match self.timeline:
            case "home":
                return f"{root}/user", {}
            case "local":
                return f"{root}/public/local", {}
            case "hashtag":
                return f"{root}/hashtag", {"tag": self.hashtag or ""}
            case "list":
                return f"{root}/list", {"list": self.list or ""}
        return f"{root}/public", {}

    @property
    def _timeline(self) -> str:
        match self.timeline:
            case "local":
                return "/api/v1/timelines/public?local=true"
            case "hashtag":
                return f"/api/v1/timelines/tag/{quote(self.hashtag or '', safe='')}"
            case "list":
                return f"/api/v1/timelines/list/{quote(self.list or '', safe='')}"
        return f"/api/v1/timelines/{self.timeline}"

    @property
    def _base(self) -> str:
        return str(self.url).rstrip("/")

    def _headers(self, web: Web) -> dict[str, str]:
        return {"Authorization": f"Bearer {web.token}"} if web.token else {}


_LIST = list  # `list` is a field of the kind


def earlier(status_id: str) -> str:
    """The id that a status written a little earlier would have; the same where ids have no time."""
    if not status_id.isdecimal() or int(status_id) < SNOWFLAKE_MINIMUM:
        return status_id
    milliseconds = OVERLAP // timedelta(milliseconds=1)
    return str(max(int(status_id) - (milliseconds << SNOWFLAKE_BITS), 0))


def links_in(markup: str, card: str | None = None) -> Sequence[str]:
    """The addresses that a status leads to, without its mentions and tags; and its preview's."""
    reader = _Links()
    reader.feed(markup)
    found = [*reader.found, *([card] if card else [])]
    return [link for link in dict.fromkeys(found) if len(link) <= MAX_LINE][:MAX_LINKS]


class _Links(HTMLParser):
    """Finds what is linked in a status. Mentions and tags bear the class `mention`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Look at an opening tag."""
        given = dict(attrs)
        address = given.get("href") or ""
        is_name = {"mention", "hashtag"} & set((given.get("class") or "").split())
        if tag == "a" and not is_name and address.startswith(("http://", "https://")):
            self.found.append(address)


def _refuse_private(status: Status) -> None:
    if status["visibility"] not in PUBLIC:
        raise PassedOver("private")


def _deleted(status_id: str, known: Remembered) -> Mapping[str, Any]:
    uri = known.get(status_id)
    if uri is None:
        raise PassedOver("unknown")
    return {"nativeId": uri, "operation": "delete"}


def _named(statuses: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """This instance's id and the `uri` of each that may be heard; a boost is no post."""
    for one in statuses:
        match one:
            case {"id": str(given), "uri": str(uri), "visibility": "public" | "unlisted"}:
                if not one.get("reblog"):
                    yield given, kept_native_id(uri)


def _id_of(item: Any) -> str | None:
    return item["id"] if isinstance(item, dict) and isinstance(item.get("id"), str) else None


def _documents(event: ServerSent) -> Sequence[Any]:
    """The document of an event; one that is no JSON is refused when it is read."""
    try:
        return [json.loads(event.data)]
    except (ValueError, RecursionError):
        return [{}]


def _is_before(status: Any, since: datetime) -> bool:
    """Whether it is known to be older; what cannot be read is refused when it is read."""
    try:
        return datetime.fromisoformat(status["created_at"]) < since
    except (KeyError, TypeError, ValueError):
        return False
