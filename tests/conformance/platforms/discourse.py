"""A Discourse forum."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, Platform, Post, PullPlatform, PushPlatform

from klankbord_ingest.kind import Request

TOPIC = 17


class Forum(Platform):
    """What both ways share: how a post is written down."""

    kind = "discourse"
    secrets: ClassVar[Mapping[str, str]] = {
        "signature": "a secret of 24 letters..",
        "token": "an-api-key-of-a-member",
    }

    def options(self, base: str) -> dict[str, Any]:
        return {"url": base}

    def native_id(self, id_: str) -> str:
        return f"{TOPIC}/{id_}"

    def document(self, post: Post) -> dict[str, Any]:
        edited = post.edited_at or post.at
        return {
            "id": 5000 + int(post.id),
            "user_id": 7,
            "username": "anna",
            "created_at": post.at.isoformat(),
            "updated_at": edited.isoformat(),
            "cooked": f"<p>{post.text}</p>",
            "raw": post.text,
            "post_number": int(post.id),
            "post_type": 1,
            "topic_id": TOPIC,
            "topic_slug": "hello",
            "topic_title": "Hello",
            "topic_archetype": "regular",
            # what is changed at once counts no revision
            "version": 1,
        }


class ForumThatTells(Forum, PushPlatform):
    def said(self, post: Post) -> Request:
        return self._request("post_created", self.document(post))

    def edited(self, post: Post) -> Request:
        return self._request("post_edited", self.document(post))

    def deleted(self, post: Post) -> Request:
        gone = {"deleted_at": post.at.replace(year=post.at.year + 1).isoformat()}
        return self._request("post_destroyed", self.document(post) | gone)

    def spoiled(self) -> Request:
        return self._request("post_created", {"id": 1, "post_type": 1})

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        digest = hmac.digest(secrets["signature"].encode(), request.body, "sha256").hex()
        signature = (b"x-discourse-event-signature", f"sha256={digest}".encode())
        return replace(request, headers=[*request.headers, signature])

    def _request(self, event: str, post: dict[str, Any]) -> Request:
        headers = [
            (b"content-type", b"application/json"),
            (b"x-discourse-event", event.encode()),
            (b"x-discourse-event-type", b"post"),
            (b"x-discourse-event-id", b"41"),
        ]
        return Request("POST", "", {}, headers, json.dumps({"post": post}).encode())


class ForumThatIsAsked(Forum, PullPlatform):
    def answer(self, asked: Asked) -> Answered:
        assert asked.path == "/posts.json"
        assert asked.headers["api-key"] == self.secrets["token"]
        before = int(asked.query.get("before", 10**9))
        posts = [self.document(post) for post in self.posts.values() if not post.is_deleted]
        newest = sorted(
            (post for post in posts if post["id"] < before), key=lambda post: -post["id"]
        )
        listed = newest[:50]
        if self.is_spoiled:
            listed.append({"id": 3, "post_type": 1})
        return Answered(json.dumps({"latest_posts": listed}).encode())


PLATFORMS = [ForumThatTells, ForumThatIsAsked]
