"""A site of Stack Exchange."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, Post, PullPlatform


class Site(PullPlatform):
    kind = "stackexchange"
    deletes = False
    secrets: ClassVar[Mapping[str, str]] = {"key": "key-of-an-app"}

    def options(self, base: str) -> dict[str, Any]:
        return {"api_url": base, "tags": ["acme"]}

    def native_id(self, id_: str) -> str:
        return id_

    def answer(self, asked: Asked) -> Answered:
        document: dict[str, Any]
        if asked.path == "/filters/create":
            document = {"items": [{"filter": "!abc", "filter_type": "safe"}]}
        else:
            assert asked.path == "/search/advanced"
            document = self.listed(asked.query)
        return Answered(json.dumps({**document, "quota_remaining": 290}).encode())

    def listed(self, query: Mapping[str, str]) -> dict[str, Any]:
        least = int(query.get("min", 0))
        found = [self.question(post) for post in self.posts.values() if not post.is_deleted]
        found = [question for question in found if question["last_activity_date"] >= least]
        found.sort(key=lambda one: int(one["last_activity_date"]), reverse=query["order"] == "desc")
        size, page = int(query["pagesize"]), int(query["page"])
        shown = found[size * (page - 1) : size * page]
        if self.is_spoiled:
            shown.append({"question_id": 3})
        return {"items": shown, "has_more": size * page < len(found)}

    def question(self, post: Post) -> dict[str, Any]:
        edited = {"last_edit_date": int(post.edited_at.timestamp())} if post.edited_at else {}
        return {
            "question_id": int(post.id),
            "title": "How?",
            "body": f"<p>{post.text}</p>",
            "tags": ["acme"],
            "link": f"https://stackoverflow.com/questions/{post.id}",
            "owner": {"user_id": 7, "display_name": "anna"},
            "creation_date": int(post.at.timestamp()),
            "last_activity_date": int((post.edited_at or post.at).timestamp()),
            **edited,
        }


PLATFORMS = [Site]
