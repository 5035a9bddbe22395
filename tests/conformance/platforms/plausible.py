"""A server that forwards what browsers told it, in Plausible's format."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from conformance.platform import Post, PushPlatform

from klankbord_ingest.kind import Request

FIREFOX = b"Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"


class Forwarder(PushPlatform):
    """Whoever bears the source's secret; `said` is that a page was viewed."""

    tells_posts = False
    names_hits = False
    edits = False
    deletes = False
    signs_body = False
    secrets: ClassVar[Mapping[str, str]] = {"signature": "0123456789abcdef0123456789abcdef"}

    def native_id(self, id_: str) -> str:
        return id_

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        bearer = f"Bearer {secrets['signature']}".encode()
        return replace(request, headers=[*request.headers, (b"authorization", bearer)])

    def request(self, document: object) -> Request:
        headers = [(b"content-type", b"application/json"), (b"user-agent", FIREFOX)]
        return Request("POST", "", {}, headers, json.dumps(document).encode())


class PlausibleForwarder(Forwarder):
    kind = "plausible"

    def options(self, base: str) -> dict[str, Any]:
        return {"sites": ["example.org"]}

    def said(self, post: Post) -> Request:
        page = f"https://example.org/{post.id}"
        return self.request({"name": "pageview", "url": page, "domain": "example.org"})

    def spoiled(self) -> Request:
        return self.request({"url": "https://example.org/", "domain": "example.org"})


PLATFORMS = [PlausibleForwarder]
