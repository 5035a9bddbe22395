"""A blog with a feed."""

from email.utils import format_datetime
from hashlib import sha256
from typing import Any
from xml.sax.saxutils import escape

from conformance.platform import Answered, Asked, PullPlatform


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


PLATFORMS = [Blog]
