"""Lobsters as the conformance suite plays it: how this package is known to keep every promise."""

import json
from typing import Any

from conformance.platform import Answered, Asked, PullPlatform


class Site(PullPlatform):
    """A site with a list of its newest stories."""

    kind = "lobsters"
    edits = deletes = False
    hears_history = False

    def options(self, base: str) -> dict[str, Any]:
        return {"url": base}

    def native_id(self, id_: str) -> str:
        return id_

    def answer(self, asked: Asked) -> Answered:
        stories: list[dict[str, Any]] = [
            {
                "short_id": post.id,
                "created_at": post.at.isoformat(),
                "title": "A story",
                "description": post.text,
                "submitter_user": "anna",
                "comments_url": f"{asked.base}/s/{post.id}",
                "tags": ["practices"],
            }
            for post in reversed(self.posts.values())
        ]
        if self.is_spoiled:
            stories.insert(0, {"short_id": "bad"})
        return Answered(json.dumps(stories).encode())


PLATFORMS = [Site]
