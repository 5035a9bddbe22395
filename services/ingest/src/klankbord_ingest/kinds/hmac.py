"""Plain HMAC: any sender that signs what it sends with HMAC-SHA256 and puts it into a header."""

import base64
import hmac
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from klankbord_ingest import handshake
from klankbord_ingest.handshake import Origins, PerMinute
from klankbord_ingest.kind import (
    JSON,
    Page,
    Push,
    Reply,
    Request,
    Secret,
    Secrets,
    Source,
    UnsignedError,
    check_time,
    is_one_of,
)
from klankbord_ingest.webhook import CLOUD_EVENT, CLOUD_EVENT_BATCH, read_whole
from klankbord_runtime.yamlfile import Duration

TIMESTAMP, BODY = "{timestamp}", "{body}"
MOST_SIGNATURE_CHARACTERS = 200

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$")]


class PlainHmac(Push):
    """A source that posts to `/v1/sources/<name>`, signed in the way that these fields say."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret(
            "the secret that the sender signs with, letter by letter as the sender has it",
            min_bytes=16,
        ),
    }
    methods = frozenset({"POST", handshake.ASKED})
    accepts = frozenset({JSON, CLOUD_EVENT, CLOUD_EVENT_BATCH})

    kind: Literal["hmac"]
    header: HeaderName = "X-Signature"
    """The header that holds the signature."""
    prefix: Annotated[str, StringConstraints(max_length=40)] = ""
    """What stands before the signature in it: `sha256=`."""
    encoding: Literal["hex", "base64"] = "hex"
    """How the signature is written."""
    timestamp_header: HeaderName | None = None
    """The header that holds when it was signed, in seconds since 1970."""
    signed: Annotated[
        str, StringConstraints(pattern=r"^[^{}]{0,40}(\{timestamp\}[^{}]{0,40})?\{body\}$")
    ] = BODY
    """What is signed: `{body}`, or with the timestamp `{timestamp}.{body}`."""
    tolerance: Annotated[Duration, Field(le=timedelta(hours=1))] = timedelta(minutes=5)
    """How far the timestamp may lie from this machine's clock."""
    origins: Origins = ()
    """Which senders of CloudEvents may ask whether they may send; none need to."""
    per_minute: PerMinute | None = None
    """How often these may send; as often as they like where it is left out."""

    @model_validator(mode="after")
    def _signs_the_time_that_it_sends(self) -> Self:
        if (TIMESTAMP in self.signed) != (self.timestamp_header is not None):
            raise ValueError(
                f"signed is {self.signed!r}, and timestamp_header is "
                f"{self.timestamp_header or 'left out'}: give a timestamp_header and write signed "
                f"such as '{TIMESTAMP}.{BODY}', or neither: an unsigned time proves nothing"
            )
        return self

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:
        """Check the signature; who only asks must be listed.

        The signature is the delivery's name: the same body sent again is the same delivery.
        """
        if request.method == handshake.ASKED:
            handshake.check_origin(request, self.origins)
            return None
        written = request.header(self.header)
        if not written.startswith(self.prefix) or len(written) > MOST_SIGNATURE_CHARACTERS:
            raise UnsignedError(f"{self.header} is no signature that begins with {self.prefix!r}")
        given = written.removeprefix(self.prefix).strip()
        given = given.lower() if self.encoding == "hex" else given
        before = self._timestamp(request, now)
        rights = [self._signature(key, before + request.body) for key in secrets["signature"]]
        if not is_one_of(given.encode("latin-1"), rights):
            raise UnsignedError(f"the signature in {self.header} is not right for this body")
        return given

    def answer(self, request: Request, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002
        """That a listed sender may send."""
        if request.method == handshake.ASKED:
            return handshake.granted(request, self.per_minute)
        return None

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """All that is in it, or nothing: whoever sends it can put it right."""
        return Page(read_whole(request.media_type, request.body, source))

    def _timestamp(self, request: Request, now: datetime) -> bytes:
        """What is signed before the body.

        Raises:
            UnsignedError: the timestamp is none, or not now.
        """
        timestamp = ""
        if self.timestamp_header is not None:
            timestamp = request.header(self.timestamp_header)
            check_time(self.timestamp_header, timestamp.encode("latin-1"), now, self.tolerance)
        return self.signed.removesuffix(BODY).replace(TIMESTAMP, timestamp).encode()

    def _signature(self, key: bytes, signed: bytes) -> bytes:
        digest = hmac.digest(key, signed, "sha256")
        return digest.hex().encode() if self.encoding == "hex" else base64.b64encode(digest)
