"""Klankbord's own webhook: posts as Klankbord writes them, signed as Standard Webhooks says."""

from datetime import datetime
from typing import ClassVar, Literal

from klankbord_ingest import signature
from klankbord_ingest.kind import Page, Push, Request, Secret, Secrets, Source
from klankbord_ingest.webhook import CLOUD_EVENT, CLOUD_EVENT_BATCH, JSON, read_whole


class Webhook(Push):
    """A source that posts to `/v1/sources/<name>`, signed with its own secret."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret("the secret that the sender signs with: `whsec_…`", min_bytes=24),
    }
    accepts = frozenset({JSON, CLOUD_EVENT, CLOUD_EVENT_BATCH})

    kind: Literal["webhook"]

    @staticmethod
    def key(role: str, secret: str) -> bytes:  # noqa: ARG004  it has one role
        """The key in a `whsec_…` secret.

        Raises:
            ValueError: it is none.
        """
        return signature.secret_key(secret)

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str:
        """Check the signature of Standard Webhooks."""
        webhook_id = signature.verify(secrets["signature"], request.headers, request.body, now)
        return webhook_id.decode("latin-1")

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """All that is in it, or nothing: whoever sends it can put it right."""
        return Page(read_whole(request.media_type, request.body, source))
