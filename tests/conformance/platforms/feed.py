"""A blog with a feed, and its hub."""

import hmac
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from email.utils import format_datetime
from hashlib import sha256
from typing import Any, ClassVar
from xml.sax.saxutils import escape

from conformance.platform import Answered, Asked, Post, PullPlatform, PushPlatform

from klankbord_ingest.feeds.websub import callback_id, hub_secret
from klankbord_ingest.kind import Request


class Blog(PullPlatform):
    kind = "feed"
    deletes = False
    hears_history = False

    def options(self, base: str) -> dict[str, Any]:
        return {"url": f"{base}/feed.xml"}

    def native_id(self, id_: str) -> str:
        return f"post-{id_}"

    def answer(self, asked: Asked) -> Answered:
        items = "".join(
            f"<item><guid>{self.native_id(post.id)}</guid>"
            f"<pubDate>{format_datetime(post.at)}</pubDate>"
            f"<description>{escape(post.text)}</description></item>"
            for post in self.posts.values()
            if not post.is_deleted
        )
        if self.is_spoiled:
            items += f"<item><guid>bad</guid><description>{'x' * 100_001}</description></item>"
        body = f"<rss version='2.0'><channel>{items}</channel></rss>".encode()
        etag = f'"{sha256(body).hexdigest()}"'
        if asked.headers.get("if-none-match") == etag:
            return Answered(status=304)
        return Answered(body, headers={"Content-Type": "application/rss+xml", "ETag": etag})


class BlogsHub(PushPlatform):
    """A hub that took a subscription, and delivers what is new to the callback it was given."""

    kind = "feed"
    only_calls = True
    edits = False
    deletes = False
    spoils = False
    secrets: ClassVar[Mapping[str, str]] = {"signature": "a random text of this source alone"}
    topic = "https://blog.example.org/feed.xml"

    def options(self, base: str) -> dict[str, Any]:
        return {"url": self.topic, "websub": True}

    def native_id(self, id_: str) -> str:
        return id_

    def said(self, post: Post) -> Request:
        callback = callback_id(self.secrets["signature"].encode(), self.topic)
        body = f"<rss version='2.0'><channel><item>{escape(post.text)}</item></channel></rss>"
        headers = [(b"content-type", b"application/rss+xml")]
        return Request("POST", f"/{callback}", {}, headers, body.encode())

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        key = hub_secret(secrets["signature"].encode(), request.path.removeprefix("/"))
        digest = hmac.new(key.encode(), request.body, "sha256").hexdigest()
        header = (b"x-hub-signature", f"sha256={digest}".encode())
        return replace(request, headers=[*request.headers, header])


PLATFORMS = [Blog, BlogsHub]
