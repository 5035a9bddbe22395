"""YouTube: a channel with comments."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, Post, PullPlatform


class Channel(PullPlatform):
    kind = "youtube"
    deletes = False
    secrets: ClassVar[Mapping[str, str]] = {"token": "key-of-a-project"}

    def options(self, base: str) -> dict[str, Any]:
        return {"api_url": base, "channel": "UC_x5XG1OV2P6uZZ5FSM9Ttw"}

    def native_id(self, id_: str) -> str:
        return f"Ug{id_}"

    def answer(self, asked: Asked) -> Answered:
        assert asked.path == "/commentThreads"
        assert asked.headers["x-goog-api-key"] == self.secrets["token"]
        posts = [post for post in self.posts.values() if not post.is_deleted]
        newest = [
            self.thread(post) for post in sorted(posts, key=lambda post: post.at, reverse=True)
        ]
        start, size = int(asked.query.get("pageToken") or 0), int(asked.query["maxResults"])
        items = newest[start : start + size]
        if self.is_spoiled:
            items.append({"id": "bad"})
        token = {"nextPageToken": str(start + size)} if start + size < len(newest) else {}
        return Answered(json.dumps({"items": items, **token}).encode())

    def thread(self, post: Post) -> dict[str, Any]:
        comment = {
            "textDisplay": post.text,
            "authorDisplayName": "@anna",
            "authorChannelId": {"value": "UCanna"},
            "publishedAt": post.at.isoformat(),
            "updatedAt": (post.edited_at or post.at).isoformat(),
        }
        snippet = {
            "videoId": "abcdefghijk",
            "topLevelComment": {"id": self.native_id(post.id), "snippet": comment},
            "totalReplyCount": 0,
        }
        return {"id": self.native_id(post.id), "snippet": snippet}


PLATFORMS = [Channel]
