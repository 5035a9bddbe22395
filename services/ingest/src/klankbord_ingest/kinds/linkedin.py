"""LinkedIn: what happens on an organization's page, by webhook.

Formats: https://learn.microsoft.com/linkedin/shared/api-guide/webhook-validation and
https://learn.microsoft.com/linkedin/marketing/community-management/organizations/organization-social-action-notifications.
"""

import hmac
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from urllib.parse import quote

from pydantic import StringConstraints

from klankbord_ingest.kind import (
    JSON,
    Fields,
    Page,
    PassedOver,
    Push,
    Reply,
    Request,
    Secret,
    Secrets,
    Source,
    UnsignedError,
    body_refused,
    gathered,
    json_body,
)
from klankbord_ingest.platform_json import moment_at
from klankbord_ingest.signed_body import check_sha256

SIGNATURE = "x-li-signature"
SIGNED_PREFIX = b"hmacsha256="
"""What is signed before the body."""
NOTIFICATIONS = "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"
CHALLENGE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""A challenge is a UUID. To sign any other text would sign whatever a stranger likes to send us as
a notification: that is signed with the same secret."""

COMMENTS = {
    "COMMENT": "create",
    "ADMIN_COMMENT": "create",
    "COMMENT_EDIT": "update",
    "COMMENT_DELETE": "delete",
}
SHARES = frozenset({"SHARE", "SHARE_MENTION"})

OrganizationUrn = Annotated[str, StringConstraints(pattern=r"^urn:li:organization:[0-9]+$")]
Notification: TypeAlias = Mapping[str, Any]


class LinkedIn(Push):
    """A page of an organization: comments on its posts, shares and mentions."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret("the client secret: the Auth tab of the app in the developer portal"),
    }
    methods = frozenset({"GET", "POST"})
    accepted = Reply()

    kind: Literal["linkedin"]
    organization: OrganizationUrn
    """The page, such as `urn:li:organization:2414183`."""

    @property
    def own_platform(self) -> str:
        """One for all organizations: URNs are of the whole platform."""
        return "linkedin.com"

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:  # noqa: ARG002
        """Check the signature over the raw bytes.

        A handshake is not signed: it proves nothing and changes nothing, and to answer it takes
        the client secret.
        """
        keys = secrets["signature"]
        if request.method == "GET":
            if not keys or not CHALLENGE.fullmatch(request.query.get("challengeCode", "")):
                raise UnsignedError("there is no client secret, or no challengeCode")
            return None
        signed = SIGNED_PREFIX + request.body
        check_sha256(SIGNATURE, request.header(SIGNATURE), keys, signed, prefix="")
        return None

    def answer(self, request: Request, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002
        """A handshake gets the signature of its challenge, by the newest secret."""
        if request.method != "GET":
            return None
        challenge = request.query["challengeCode"]
        signed = hmac.digest(secrets["signature"][0], challenge.encode(), "sha256").hex()
        answered = {"challengeCode": challenge, "challengeResponse": signed}
        return Reply(200, json.dumps(answered).encode(), JSON)

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """The notifications of a batch, of which LinkedIn sends up to ten."""
        body = json_body(request)
        if not isinstance(body, dict) or body.get("type") != NOTIFICATIONS:
            raise body_refused(f"is not {NOTIFICATIONS!r}", "other_type", "type")
        notifications = body.get("notifications")
        if not isinstance(notifications, list):
            raise body_refused("is no list", "no_list", "notifications")
        return gathered(notifications, self._read)

    def _read(self, notification: Notification) -> Iterator[Fields]:
        if notification["organizationalEntity"] != self.organization:
            raise PassedOver("other_organization")
        action = notification["action"]
        if action in COMMENTS:
            yield self._comment(notification, COMMENTS[action])
        elif action in SHARES:
            yield self._share(notification)
        elif action == "LIKE":
            # who liked is not told, and what is liked may be a comment: too little to count
            raise PassedOver("anonymous")
        else:
            raise PassedOver("no_post")

    def _comment(self, notification: Notification, operation: str) -> Fields:
        """A comment on a post of the organization; what a delete says is its URN alone."""
        comment = _decorated(notification, "comment")
        identity = comment_urn(comment.get("entity") or notification["generatedActivity"])
        if operation == "delete":
            return {"nativeId": identity, "operation": "delete"}
        if not isinstance(comment.get("text"), str):
            raise PassedOver("no_text")
        moment = _moment(notification)
        edited = {"updated": moment} if operation == "update" else {}
        post = notification["sourcePost"]
        return {
            "nativeId": identity,
            "operation": operation,
            "published": moment,
            "attributedTo": self._actor(comment.get("owner")),
            "content": comment["text"],
            "context": post,
            "inReplyTo": comment.get("object") or post,
            "url": f"https://www.linkedin.com/feed/update/{quote(post, safe=':')}",
            **edited,
        }

    def _share(self, notification: Notification) -> Fields:
        """A share of a post of the organization, or a post that mentions it."""
        share = _decorated(notification, "share")
        if not share.get("text"):
            raise PassedOver("no_text")
        identity = share["entity"]
        return {
            "nativeId": identity,
            "published": _moment(notification),
            "attributedTo": self._actor(share.get("owner")),
            "content": share["text"],
            "url": f"https://www.linkedin.com/feed/update/{quote(identity, safe=':')}",
        }

    def _actor(self, urn: str | None) -> Fields | None:
        """Who wrote it: LinkedIn gives no names, and another id of a person to each app."""
        if urn is None:
            return None
        return {"id": urn, "type": "Organization" if urn == self.organization else "Person"}


def comment_urn(urn: str) -> str:
    """The URN of a comment in its full form: `generatedActivity` leaves out part of it."""
    return urn.replace("urn:li:comment:(activity:", "urn:li:comment:(urn:li:activity:")


def _decorated(notification: Notification, name: str) -> Mapping[str, Any]:
    decorated = notification.get("decoratedGeneratedActivity") or {}
    found: Mapping[str, Any] = decorated.get(name) or {}
    return found


def _moment(notification: Notification) -> datetime:
    """When it was done: `lastModifiedAt`, in milliseconds."""
    return moment_at(int(notification["lastModifiedAt"]) / 1000)
