"""A subreddit, with its OAuth and its listings."""

import base64
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, PullPlatform


class Subreddit(PullPlatform):
    kind = "reddit"
    follows = False  # it begins with a POST for a token
    secrets: ClassVar[Mapping[str, str]] = {"token": "a-secret-of-an-app"}

    def options(self, base: str) -> dict[str, Any]:
        return {
            "subreddit": "acme",
            "client_id": "an-app",
            "comments": False,
            "accounts": base,
            "api": base,
        }

    def native_id(self, id_: str) -> str:
        return f"t3_{id_}"

    def answer(self, asked: Asked) -> Answered:
        if asked.path == "/api/v1/access_token":
            basic = base64.b64encode(b"an-app:a-secret-of-an-app").decode()
            assert asked.headers["authorization"] == f"Basic {basic}"
            assert asked.body == b"grant_type=client_credentials"
            return Answered(json.dumps({"access_token": "one", "expires_in": 3600}).encode())
        assert asked.path == "/r/acme/new"
        assert asked.headers["authorization"] == "Bearer one"
        things = [self._thing(id_) for id_ in reversed(self.posts)]
        names = [thing["data"]["name"] for thing in things]
        begin = names.index(asked.query["after"]) + 1 if "after" in asked.query else 0
        end = begin + int(asked.query["limit"])
        page = things[begin:end]
        after = names[end - 1] if end < len(things) else None
        if self.is_spoiled:
            page = [{"kind": "t3", "data": {"name": "t3_1000"}}, *page]
        document = {"kind": "Listing", "data": {"children": page, "after": after}}
        return Answered(json.dumps(document).encode())

    def _thing(self, id_: str) -> dict[str, Any]:
        post = self.posts[id_]
        data = {
            "name": self.native_id(id_),
            "title": "",
            "selftext": "[deleted]" if post.is_deleted else post.text,
            "author": "[deleted]" if post.is_deleted else "ada",
            "created_utc": post.at.timestamp(),
            "edited": post.edited_at.timestamp() if post.edited_at else False,
            "permalink": f"/r/acme/comments/{id_}/",
        }
        return {"kind": "t3", "data": data}


PLATFORMS = [Subreddit]
