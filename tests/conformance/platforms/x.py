"""X: its webhook, in two of its shapes, and its search."""

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, Platform, Post, PullPlatform, PushPlatform

from klankbord_ingest.kind import Request

FIRST = (int(datetime.now(UTC).timestamp() * 1000) - 1_288_834_974_657 - 3_600_000) << 22
"""The id of a post that was written an hour ago."""
EDITS = 10**6
"""How far apart the ids of a post's versions are."""


class Network(Platform):
    kind = "x"
    secrets: ClassVar[Mapping[str, str]] = {
        "signature": "an-api-secret-of-an-app",
        "token": "an-app-only-bearer-token",
    }

    def options(self, base: str) -> dict[str, Any]:
        return {"query": "acme", "api": base}

    def native_id(self, id_: str) -> str:
        return str(FIRST + int(id_))

    def tweet(self, post: Post) -> dict[str, Any]:
        """https://docs.x.com/x-api/fundamentals/data-dictionary."""
        versions = [self.native_id(post.id)]
        if post.edited_at:
            versions.append(str(int(versions[0]) + EDITS))
        return {
            "id": versions[-1],
            "edit_history_tweet_ids": versions,
            "author_id": "7",
            "text": post.text,
        }


class Rules(Network, PushPlatform):
    def said(self, post: Post) -> Request:
        return self._request({"data": self.tweet(post), "matching_rules": [{"id": "1"}]})

    def edited(self, post: Post) -> Request:
        return self.said(post)

    def deleted(self, post: Post) -> Request:
        gone = {"status": {"id": self.native_id(post.id), "user_id": "7"}, "timestamp_ms": "1"}
        return self._request({"for_user_id": "7", "tweet_delete_events": [gone]})

    def spoiled(self) -> Request:
        return self._request({"data": {"id": "no number", "text": "x"}})

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        digest = hmac.new(secrets["signature"].encode(), request.body, sha256).digest()
        header = b"sha256=" + base64.b64encode(digest)
        headers = [*request.headers, (b"x-twitter-webhooks-signature", header)]
        return replace(request, headers=headers)

    def _request(self, document: Any) -> Request:
        headers = [(b"content-type", b"application/json")]
        return Request("POST", "", {}, headers, json.dumps(document).encode())


class Search(Network, PullPlatform):
    edits = False
    deletes = False
    hears_history = False

    def answer(self, asked: Asked) -> Answered:
        assert asked.path == "/2/tweets/search/recent"
        assert asked.headers["authorization"] == "Bearer an-app-only-bearer-token"
        since = int(asked.query.get("since_id", 0))
        standing = [self.tweet(post) for post in self.posts.values() if not post.is_deleted]
        matching = [one for one in standing if int(one["id"]) > since][::-1]
        begin, size = int(asked.query.get("next_token", 0)), int(asked.query["max_results"])
        page = matching[begin : begin + size]
        meta = {"result_count": len(page)}
        if page:
            meta |= {"newest_id": page[0]["id"], "oldest_id": page[-1]["id"]}
        if len(matching) > begin + size:
            meta["next_token"] = str(begin + size)  # type: ignore[assignment]
        if self.is_spoiled and page:
            page = [{"id": "no number", "text": "x"}, *page]
        return Answered(json.dumps({"data": page, "meta": meta}).encode())


PLATFORMS = [Rules, Search]
