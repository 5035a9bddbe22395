"""A server that forwards what browsers told it, in Umami's format."""

from typing import Any

from conformance.platform import Post
from conformance.platforms.plausible import Forwarder

from klankbord_ingest.kind import Request

WEBSITE = "0e3a9c10-1f0b-4c86-9a53-6a6c9d3b7d11"


class UmamiForwarder(Forwarder):
    kind = "umami"

    def options(self, base: str) -> dict[str, Any]:
        return {"sites": ["example.org"], "websites": [WEBSITE]}

    def said(self, post: Post) -> Request:
        return self.request({"type": "event", "payload": self._payload(post.id)})

    def spoiled(self) -> Request:
        good = {"type": "event", "payload": self._payload("1")}
        return self.request([{"type": "event", "payload": 7}, good])

    def _payload(self, page: str) -> dict[str, str]:
        return {"website": WEBSITE, "hostname": "example.org", "url": f"/{page}"}


PLATFORMS = [UmamiForwarder]
