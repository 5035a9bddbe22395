"""A program that signs in a way of its own: once with a time, once without."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from conformance.platforms.webhook import OwnForum

from klankbord_ingest.kind import Request


class SigningShop(OwnForum):
    """`v0=` and the hex of time and body."""

    kind = "hmac"
    secrets: ClassVar[Mapping[str, str]] = {"signature": "the shop's own secret"}

    def options(self, base: str) -> dict[str, Any]:
        return {
            "header": "X-Shop-Signature",
            "prefix": "v0=",
            "timestamp_header": "X-Shop-Time",
            "signed": "v0:{timestamp}:{body}",
        }

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        time = str(int(at.timestamp())).encode()
        key = secrets["signature"].encode()
        digest = hmac.digest(key, b"v0:" + time + b":" + request.body, "sha256")
        headers = [(b"x-shop-time", time), (b"x-shop-signature", b"v0=" + digest.hex().encode())]
        return replace(request, headers=[*request.headers, *headers])


class SigningForms(OwnForum):
    """The body alone, in base64."""

    kind = "hmac"
    signs_time = False
    secrets: ClassVar[Mapping[str, str]] = {"signature": "the secret of the forms"}

    def options(self, base: str) -> dict[str, Any]:
        return {"encoding": "base64"}

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        digest = hmac.digest(secrets["signature"].encode(), request.body, "sha256")
        header = (b"x-signature", base64.b64encode(digest))
        return replace(request, headers=[*request.headers, header])


PLATFORMS = [SigningShop, SigningForms]
