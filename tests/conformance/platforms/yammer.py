"""A network of Viva Engage."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, Post, PullPlatform

AT_ONCE = 20
"""How many messages an answer holds."""


class EngageNetwork(PullPlatform):
    kind = "yammer"
    edits = deletes = False  # the interface tells of neither
    secrets: ClassVar[Mapping[str, str]] = {"token": "a-token-of-entra"}

    def options(self, base: str) -> dict[str, Any]:
        return {"address": f"{base}/api/v1"}

    def native_id(self, id_: str) -> str:
        return id_

    def answer(self, asked: Asked) -> Answered:
        if asked.path != "/api/v1/messages.json":
            return Answered(status=404)
        newer, older = int(asked.query.get("newer_than", "0")), asked.query.get("older_than")
        found = [
            self._message(post)
            for post in reversed(self.posts.values())
            if int(post.id) > newer and (older is None or int(post.id) < int(older))
        ]
        messages: list[Any] = found[:AT_ONCE]
        if self.is_spoiled:
            messages.append({"body": {"plain": "without a number"}})
        ann = {"type": "user", "id": 501, "name": "ann", "full_name": "Ann"}
        document = {"messages": messages, "references": [ann]}
        meta = {"older_available": len(found) > AT_ONCE}
        return Answered(json.dumps({**document, "meta": meta}).encode())

    def _message(self, post: Post) -> dict[str, Any]:
        return {
            "id": int(post.id),
            "sender_id": 501,
            "sender_type": "user",
            "created_at": f"{post.at:%Y/%m/%d %H:%M:%S} +0000",
            "body": {"plain": post.text},
            "thread_id": int(post.id),
            "privacy": "public",
        }


PLATFORMS = [EngageNetwork]
