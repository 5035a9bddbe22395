"""A server that forwards what browsers told it, in Matomo's format."""

from typing import Any
from urllib.parse import urlencode

from conformance.platform import Post
from conformance.platforms.plausible import Forwarder

from klankbord_ingest.kind import Request


class MatomoForwarder(Forwarder):
    kind = "matomo"
    names_hits = True

    def options(self, base: str) -> dict[str, Any]:
        return {"sites": ["example.org"], "site_ids": [1]}

    def said(self, post: Post) -> Request:
        return self.request({"requests": [f"?{urlencode(self._hit(post.id))}"]})

    def spoiled(self) -> Request:
        return self.request({"requests": [7, self._hit("1")]})

    def _hit(self, page: str) -> dict[str, str]:
        url = f"https://example.org/{page}"
        return {"idsite": "1", "rec": "1", "url": url, "rand": f"123{page}"}


PLATFORMS = [MatomoForwarder]
