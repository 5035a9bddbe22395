"""Feeds: RSS, Atom, RDF, JSON Feed, and Google Alerts, which are Atom."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import ClassVar, Literal

from pydantic import HttpUrl, JsonValue

from klankbord_ingest.feeds import websub
from klankbord_ingest.feeds.entries import base_of, submissions
from klankbord_ingest.kind import (
    Cursor,
    FetchError,
    FieldError,
    Page,
    Pull,
    Push,
    Reply,
    Request,
    Secret,
    Secrets,
    Source,
    UnsignedError,
    Web,
)
from klankbord_ingest.manners import freshness
from klankbord_runtime.yamlfile import Duration
from klankbord_schemas.trust import PublishedTrust

ACCEPT = "application/atom+xml, application/rss+xml, application/feed+json, */*;q=0.5"
READ_ANEW = timedelta(hours=6)
"""How long a feed may say that it is as it was: some servers' ETag does not change with an edit."""
LEASE = timedelta(days=10)
"""How long a hub is asked to tell what is new; it may choose otherwise."""
RENEW_EVERY = timedelta(days=1)
"""How often it is asked again: a hub tells its own lease to the callback alone."""
SIGNATURE = "X-Hub-Signature"


class Feed(Pull, Push):
    """A feed (RSS, Atom, RDF, JSON Feed) that is fetched now and then; and at once, where a hub
    tells that it has something new (WebSub).
    """

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret(
            "with `websub: true`: a random text of your own, `openssl rand -hex 32`; what hubs "
            "sign with is made of it",
            is_required=False,
            min_bytes=24,
        ),
    }
    methods = frozenset({"GET", "POST"})
    accepts = frozenset()
    max_bytes = 2 * 1024 * 1024
    accepted = Reply(HTTPStatus.ACCEPTED)

    kind: Literal["feed"]
    published_trust: PublishedTrust = "claimed"
    url: HttpUrl
    every: Duration = timedelta(minutes=15)
    websub: bool = False
    """Whether the feed's hub is asked to tell at once what is new."""

    @property
    def place(self) -> str:
        """Another address is another feed."""
        return str(self.url)

    def uses(self, way: str) -> bool:
        """A hub sends to it only where it is asked to."""
        return way != "push" or self.websub

    # -- asking ----------------------------------------------------------------------------------

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """The feed, if it changed since it was fetched last."""
        page = await self._read(web, cursor, now)
        return await self._subscribed(web, page, now) if self.websub else page

    async def _read(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        url = str(cursor.get("url") or self.url)
        # a hub is named in the whole answer alone
        conditions = {} if self.websub and "hub" not in cursor else _conditions(cursor, now)
        fetched = await web.get(url, headers={"Accept": ACCEPT, **conditions})
        following = {**cursor, "url": fetched.moved_to or url}
        if fetched.status == HTTPStatus.NOT_MODIFIED:
            return Page(cursor=following, wish=freshness(fetched.headers, None))
        following["read"] = now.isoformat()
        if self.websub:
            named = websub.hub_of(fetched.url, fetched.headers, fetched.body)
            following |= {"hub": named and named.hub, "topic": named and named.topic}
        digest = sha256(fetched.body).hexdigest()
        if digest == cursor.get("digest"):
            return Page(cursor=following, wish=freshness(fetched.headers, None))
        document = await web.read_feed(fetched.body)
        base = base_of(fetched.url, fetched.headers)
        posts, refused = await asyncio.to_thread(submissions, document, base, now)
        following |= {
            "etag": fetched.headers.get("etag"),
            "dated": fetched.headers.get("last-modified"),
            "digest": digest,
        }
        wish = freshness(fetched.headers, document.ttl_minutes)
        return Page(posts, refused, cursor=following, wish=wish)

    # -- the hub ---------------------------------------------------------------------------------

    async def _subscribed(self, web: Web, page: Page, now: datetime) -> Page:
        """The same page, and a subscription at the hub; the feed is heard without one, too."""
        cursor = page.cursor or {}
        hub, topic, key = cursor.get("hub"), cursor.get("topic"), web.secret("signature")
        if not isinstance(hub, str) or not isinstance(topic, str):
            return _unsubscribed(page, "no_hub", "is true, but the feed names no hub; take it out")
        if not key or web.address is None:
            missing = (
                "this source has no secret" if web.address else "KLANKBORD_PUBLIC_URL is not set"
            )
            return _unsubscribed(page, "no_callback", f"is true, but {missing}")
        form = websub.request_for(topic, key.encode(), web.address, int(LEASE.total_seconds()))
        asked_for: list[JsonValue] = [hub, form["hub.callback"]]
        asked = cursor.get("asked")
        is_fresh = isinstance(asked, str) and now - datetime.fromisoformat(asked) < RENEW_EVERY
        if is_fresh and cursor.get("asked_for") == asked_for:
            return page
        try:
            await web.post(hub, form=form)
        except FetchError as error:
            return _unsubscribed(page, "no_subscription", f"has no effect yet: {error}")
        following = {**cursor, "asked": now.isoformat(), "asked_for": asked_for}
        return replace(page, cursor=following)

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:  # noqa: ARG002
        """Check that a hub verifies what was asked for, or signed what it tells.

        https://www.w3.org/TR/websub/#hub-verifies-intent, #signature-validation
        """
        callback, keys = request.path.removeprefix("/"), secrets["signature"]
        if request.method == "GET":
            topic, mode = request.query.get("hub.topic", ""), request.query.get("hub.mode", "")
            is_right = mode in {"subscribe", "denied"}
            is_right = is_right and websub.is_asked_for(keys, callback, topic)
        else:
            signature = request.header(SIGNATURE)
            is_right = websub.is_signed(keys, callback, signature, request.body)
        if not (self.websub and is_right):
            raise UnsignedError(f"{request.method}: no subscription of this source's, or no hub's")
        return None

    def answer(self, request: Request, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002
        """The challenge, when a hub asks whether the subscription is meant."""
        if request.method != "GET":
            return None
        challenge = request.query.get("hub.challenge", "").encode()
        is_meant = request.query.get("hub.mode") == "subscribe"
        safely = {"X-Content-Type-Options": "nosniff"}
        return Reply(body=challenge if is_meant else b"", headers=safely)

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """That there is something new. The feed itself is asked for it: one way of reading."""
        return Page(ask_now=True)


def _unsubscribed(page: Page, code: str, why: str) -> Page:
    """The same page, and what the operator is told of the hub."""
    return replace(page, refused=[*page.refused, FieldError(None, "websub", why, code)])


def _conditions(cursor: Cursor, now: datetime) -> dict[str, str]:
    """What asks for the feed only if it changed (RFC 9110, section 13), most of the time."""
    read = cursor.get("read")
    if not isinstance(read, str) or now - datetime.fromisoformat(read) > READ_ANEW:
        return {}
    conditions = {"If-None-Match": cursor.get("etag"), "If-Modified-Since": cursor.get("dated")}
    return {name: str(value) for name, value in conditions.items() if value}
