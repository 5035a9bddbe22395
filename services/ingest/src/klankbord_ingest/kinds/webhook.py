"""Klankbord's own webhook: posts as Klankbord writes them, signed as Standard Webhooks says."""

from datetime import datetime
from typing import ClassVar, Literal

from klankbord_ingest import handshake, signature
from klankbord_ingest.handshake import Origins, PerMinute
from klankbord_ingest.kind import JSON, Page, Push, Reply, Request, Secret, Secrets, Source
from klankbord_ingest.webhook import CLOUD_EVENT, CLOUD_EVENT_BATCH, read_whole


class Webhook(Push):
    """A source that posts to `/v1/sources/<name>`, signed with its own secret."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret("the secret that the sender signs with: `whsec_…`", min_bytes=24),
    }
    methods = frozenset({"POST", handshake.ASKED})
    accepts = frozenset({JSON, CLOUD_EVENT, CLOUD_EVENT_BATCH})

    kind: Literal["webhook"]
    origins: Origins = ()
    """Which senders of CloudEvents may ask whether they may send; none need to."""
    per_minute: PerMinute | None = None
    """How often these may send; as often as they like where it is left out."""

    @staticmethod
    def key(role: str, secret: str) -> bytes:  # noqa: ARG004  it has one role
        """The key in a `whsec_…` secret.

        Raises:
            ValueError: it is none.
        """
        return signature.secret_key(secret)

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:
        """Check the signature of Standard Webhooks; who only asks must be listed."""
        if request.method == handshake.ASKED:
            handshake.check_origin(request, self.origins)
            return None
        webhook_id = signature.verify(secrets["signature"], request.headers, request.body, now)
        return webhook_id.decode("latin-1")

    def answer(self, request: Request, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002
        """That a listed sender may send."""
        if request.method == handshake.ASKED:
            return handshake.granted(request, self.per_minute)
        return None

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """All that is in it, or nothing: whoever sends it can put it right."""
        return Page(read_whole(request.media_type, request.body, source))
