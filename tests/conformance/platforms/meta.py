"""Meta, for a Page of Facebook and a professional account of Instagram."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from hmac import digest
from typing import Any, ClassVar

from conformance.platform import Post, PushPlatform

from klankbord_ingest.kind import Request

ACCOUNT = "1001"


class _Meta(PushPlatform):
    secrets: ClassVar[Mapping[str, str]] = {
        "signature": "the-app-secret-of-ours",
        "verify": "words of our own",
    }
    about: ClassVar[str]
    field: ClassVar[str]

    def options(self, base: str) -> dict[str, Any]:
        return {"account": ACCOUNT}

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        signature = digest(secrets["signature"].encode(), request.body, "sha256").hex()
        given = (b"x-hub-signature-256", f"sha256={signature}".encode())
        return replace(request, headers=[*request.headers, given])

    def notification(self, value: Any, at: float) -> Request:
        change = {"field": self.field, "value": value}
        entry = {"id": ACCOUNT, "time": int(at), "changes": [change]}
        body = json.dumps({"object": self.about, "entry": [entry]}).encode()
        return Request("POST", "", {}, [(b"content-type", b"application/json")], body)

    def spoiled(self) -> Request:
        return self.notification({"item": "comment", "verb": "add"}, 1)


class FacebookPage(_Meta):
    kind = "facebook"
    about, field = "page", "feed"

    def native_id(self, id_: str) -> str:
        return f"7_{id_}"

    def said(self, post: Post) -> Request:
        return self._change(post, "add", message=post.text)

    def edited(self, post: Post) -> Request:
        return self._change(post, "edited", message=post.text)

    def deleted(self, post: Post) -> Request:
        return self._change(post, "remove")

    def _change(self, post: Post, verb: str, **more: Any) -> Request:
        at = post.at.timestamp()
        common = {"item": "comment", "verb": verb, "comment_id": self.native_id(post.id)}
        where = {"post_id": f"{ACCOUNT}_7", "parent_id": f"{ACCOUNT}_7", "created_time": int(at)}
        author = {"from": {"id": "501", "name": "Ann"}}
        return self.notification({**common, **where, **author, **more}, at)


class InstagramAccount(_Meta):
    kind = "instagram"
    about, field = "instagram", "comments"
    edits = deletes = False  # Meta tells of neither

    def native_id(self, id_: str) -> str:
        return id_

    def said(self, post: Post) -> Request:
        media = {"id": "16", "media_product_type": "FEED"}
        author = {"id": "601", "username": "ann"}
        value = {"id": post.id, "from": author, "media": media, "text": post.text}
        return self.notification(value, post.at.timestamp())


PLATFORMS = [FacebookPage, InstagramAccount]
