"""Hacker News: its search, and its items."""

import json
from datetime import timedelta
from typing import Any

from conformance.platform import NOW, Answered, Asked, Post, PullPlatform


class News(PullPlatform):
    kind = "hackernews"

    def options(self, base: str) -> dict[str, Any]:
        return {"query": "acme", "search_url": f"{base}/api/v1", "items_url": f"{base}/v0"}

    def native_id(self, id_: str) -> str:
        return id_

    def say(self, id_: str, text: str) -> Post:
        post = super().say(id_, text)
        # only what is younger than two hours can be changed
        post.at = NOW - timedelta(minutes=30) + timedelta(seconds=len(self.posts))
        return post

    def answer(self, asked: Asked) -> Answered:
        if asked.path == "/v0/updates.json":
            changed = [post for post in self.posts.values() if post.edited_at or post.is_deleted]
            document: Any = {"items": [int(post.id) for post in changed], "profiles": []}
        elif asked.path.startswith("/v0/item/"):
            document = self.item(self.posts[asked.path.rpartition("/")[2].removesuffix(".json")])
        else:
            assert asked.path == "/api/v1/search_by_date"
            hits = self.hits(asked.query.get("numericFilters", ""))
            bad = [{"objectID": "3"}] if self.is_spoiled else []
            document = {"hits": hits[: int(asked.query["hitsPerPage"])] + bad}
        return Answered(json.dumps(document).encode())

    def item(self, post: Post) -> dict[str, Any]:
        if post.is_deleted:
            return {"id": int(post.id), "type": "comment", "deleted": True}
        return {
            "id": int(post.id),
            "type": "comment",
            "by": "anna",
            "time": int(post.at.timestamp()),
            "parent": 900,
            "text": post.text,
        }

    def hits(self, bounds: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [
            {
                "objectID": post.id,
                "author": "anna",
                "created_at_i": int(post.at.timestamp()),
                "comment_text": post.text,
                "parent_id": 900,
                "story_id": 900,
                "_tags": ["comment", "author_anna", "story_900"],
            }
            for post in self.posts.values()
        ]
        for bound in filter(None, bounds.split(",")):
            limit, is_least = int(bound.split("=")[1]), ">" in bound
            found = [
                hit
                for hit in found
                if (hit["created_at_i"] >= limit if is_least else hit["created_at_i"] <= limit)
            ]
        return sorted(found, key=lambda hit: -hit["created_at_i"])


PLATFORMS = [News]
