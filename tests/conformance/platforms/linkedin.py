"""LinkedIn, for the page of an organization."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from hmac import digest
from typing import Any, ClassVar

from conformance.platform import Post, PushPlatform

from klankbord_ingest.kind import Request

ORGANIZATION, SHARE = "urn:li:organization:2414183", "urn:li:activity:7094637247890620418"


class OrganizationPage(PushPlatform):
    kind = "linkedin"
    secrets: ClassVar[Mapping[str, str]] = {"signature": "the-client-secret-of-ours"}

    def options(self, base: str) -> dict[str, Any]:
        return {"organization": ORGANIZATION}

    def native_id(self, id_: str) -> str:
        return f"urn:li:comment:({SHARE},{id_})"

    def said(self, post: Post) -> Request:
        return self._notification(post, "COMMENT")

    def edited(self, post: Post) -> Request:
        return self._notification(post, "COMMENT_EDIT")

    def deleted(self, post: Post) -> Request:
        return self._notification(post, "COMMENT_DELETE")

    def spoiled(self) -> Request:
        return self._batch({"organizationalEntity": ORGANIZATION, "action": "COMMENT"})

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        said = b"hmacsha256=" + request.body
        signature = digest(secrets["signature"].encode(), said, "sha256").hex()
        given = (b"x-li-signature", signature.encode())
        return replace(request, headers=[*request.headers, given])

    def _notification(self, post: Post, action: str) -> Request:
        urn = self.native_id(post.id)
        comment = {"entity": urn, "owner": "urn:li:person:ann", "object": SHARE, "text": post.text}
        at = post.edited_at or post.at
        common = {"notificationId": int(post.id), "organizationalEntity": ORGANIZATION}
        more = {"action": action, "sourcePost": SHARE, "generatedActivity": urn}
        last = {"lastModifiedAt": int(at.timestamp() * 1000)}
        decorated = {"decoratedGeneratedActivity": {"comment": comment}}
        return self._batch({**common, **more, **last, **decorated})

    def _batch(self, notification: Any) -> Request:
        kind = "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"
        body = json.dumps({"type": kind, "notifications": [notification]}).encode()
        return Request("POST", "", {}, [(b"content-type", b"application/json")], body)


PLATFORMS = [OrganizationPage]
