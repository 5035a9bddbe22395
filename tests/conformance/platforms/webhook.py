"""Whoever speaks Klankbord's own webhook."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar

from conformance.platform import Post, PushPlatform

from klankbord_ingest.kind import Request
from klankbord_ingest.signature import secret_key, signed_headers


class OwnForum(PushPlatform):
    kind = "webhook"
    signs_time = True
    spoils = False  # such a sender is told, and sends it again: nothing of the body is taken in
    secrets: ClassVar[Mapping[str, str]] = {"signature": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}

    def options(self, base: str) -> dict[str, Any]:
        return {}

    def native_id(self, id_: str) -> str:
        return id_

    def said(self, post: Post) -> Request:
        return self._request({"content": post.text, "published": post.at.isoformat()}, post)

    def edited(self, post: Post) -> Request:
        assert post.edited_at is not None
        return self._request(
            {
                "operation": "update",
                "content": post.text,
                "published": post.at.isoformat(),
                "updated": post.edited_at.isoformat(),
            },
            post,
        )

    def deleted(self, post: Post) -> Request:
        return self._request({"operation": "delete"}, post)

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        key = secret_key(secrets["signature"])
        webhook_id = f"msg_{sha256(request.body).hexdigest()[:16]}"
        headers = signed_headers(key, webhook_id, at, request.body)
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        return replace(request, headers=[*request.headers, *given])

    def _request(self, document: dict[str, Any], post: Post) -> Request:
        body = json.dumps({"nativeId": post.id, "attributedTo": "anna", **document}).encode()
        return Request("POST", "", {}, [(b"content-type", b"application/json")], body)


PLATFORMS = [OwnForum]
