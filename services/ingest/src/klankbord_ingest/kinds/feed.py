"""Feeds: RSS, Atom, RDF, JSON Feed, and Google Alerts, which are Atom."""

import asyncio
from datetime import datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Literal

from pydantic import HttpUrl

from klankbord_ingest.feeds.entries import submissions
from klankbord_ingest.kind import Cursor, Page, Pull, Web
from klankbord_ingest.manners import freshness
from klankbord_runtime.yamlfile import Duration
from klankbord_schemas.trust import PublishedTrust

ACCEPT = "application/atom+xml, application/rss+xml, application/feed+json, */*;q=0.5"
READ_ANEW = timedelta(hours=6)
"""How long a feed may say that it is as it was: some servers' ETag does not change with an edit."""


class Feed(Pull):
    """A feed (RSS, Atom, RDF, JSON Feed) that is fetched now and then."""

    kind: Literal["feed"]
    published_trust: PublishedTrust = "claimed"
    url: HttpUrl
    every: Duration = timedelta(minutes=15)

    @property
    def place(self) -> str:
        """Another address is another feed."""
        return str(self.url)

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """The feed, if it changed since it was fetched last."""
        url = str(cursor.get("url") or self.url)
        fetched = await web.get(url, headers={"Accept": ACCEPT, **_conditions(cursor, now)})
        following = {**cursor, "url": fetched.moved_to or url}
        digest = sha256(fetched.body).hexdigest()
        if fetched.status == HTTPStatus.NOT_MODIFIED or digest == cursor.get("digest"):
            if fetched.status != HTTPStatus.NOT_MODIFIED:
                following["read"] = now.isoformat()
            return Page(cursor=following, wish=freshness(fetched.headers, None))
        document = await web.read_feed(fetched.body)
        posts, refused = await asyncio.to_thread(submissions, document, fetched.url, now)
        following |= {
            "etag": fetched.headers.get("etag"),
            "dated": fetched.headers.get("last-modified"),
            "digest": digest,
            "read": now.isoformat(),
        }
        wish = freshness(fetched.headers, document.ttl_minutes)
        return Page(posts, refused, cursor=following, wish=wish)


def _conditions(cursor: Cursor, now: datetime) -> dict[str, str]:
    """What asks for the feed only if it changed (RFC 9110, section 13), most of the time."""
    read = cursor.get("read")
    if not isinstance(read, str) or now - datetime.fromisoformat(read) > READ_ANEW:
        return {}
    conditions = {"If-None-Match": cursor.get("etag"), "If-Modified-Since": cursor.get("dated")}
    return {name: str(value) for name, value in conditions.items() if value}
