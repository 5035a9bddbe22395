"""Who may post: what all signatures have in common, and those of Standard Webhooks.

Format: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

TOLERANCE = timedelta(minutes=5)
SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins
SECRET_BYTES = range(24, 65)
ID, TIMESTAMP, SIGNATURE = b"webhook-id", b"webhook-timestamp", b"webhook-signature"
MAX_ID_BYTES = 200
MAX_DIGITS = len(str(2**53))
"""Of seconds since 1970, as far as a number in JSON is exact."""


class UnsignedError(Exception):
    """The request is not signed by who it says it is from. Its text is for the operator's log."""


def secret_key(secret: str) -> bytes:
    """The key that a `whsec_…` secret holds in base64: 24 to 64 bytes.

    Raises:
        ValueError: it is no such secret; says how to make one.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise ValueError(
            "is no secret: write whsec_ and then 24 to 64 bytes in base64, "
            'such as "whsec_$(openssl rand -base64 32)"'
        )
    return key


def sign(key: bytes, webhook_id: str, moment: datetime, body: bytes) -> str:
    """The `webhook-signature` of a body that is sent at that moment under that id."""
    digest = _digest(key, webhook_id.encode(), b"%d" % int(moment.timestamp()), body)
    return f"v1,{digest.decode()}"


def signed_headers(key: bytes, webhook_id: str, moment: datetime, body: bytes) -> dict[str, str]:
    """The three headers with which a sender delivers that body at that moment under that id."""
    return {
        ID.decode(): webhook_id,
        TIMESTAMP.decode(): str(int(moment.timestamp())),
        SIGNATURE.decode(): sign(key, webhook_id, moment, body),
    }


def verify(
    keys: Sequence[bytes], headers: Iterable[tuple[bytes, bytes]], body: bytes, now: datetime
) -> bytes:
    """Check that one of these keys signed this body within five minutes of now.

    Args:
        keys: the source's keys; two while they are rotated.
        headers: every header of the request, raw, with lower-case names, as ASGI gives them.
        body: the raw bytes of the body, before anything reads them.
        now: the moment of the request.

    Returns:
        The `webhook-id`: the same for a delivery that is tried again.

    Raises:
        UnsignedError: a header is missing, doubled or unreadable, the timestamp is not now, or no
            signature is right.
    """
    given = list(headers)
    webhook_id, timestamp, signatures = (
        only_header(given, name) for name in (ID, TIMESTAMP, SIGNATURE)
    )
    if not 0 < len(webhook_id) <= MAX_ID_BYTES:
        raise UnsignedError(f"webhook-id has {len(webhook_id)} bytes, not 1 to {MAX_ID_BYTES}")
    check_time("webhook-timestamp", timestamp, now, TOLERANCE)
    expected = [b"v1," + _digest(key, webhook_id, timestamp, body) for key in keys]
    matches = [is_one_of(signature, expected) for signature in signatures.split(b" ")]
    if not any(matches):
        raise UnsignedError("no signature in webhook-signature is right for this body")
    return webhook_id


def only_header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The value of a header that must be given exactly once.

    Raises:
        UnsignedError: it is not.
    """
    values = [value for key, value in headers if key == name]
    if len(values) != 1:
        raise UnsignedError(f"{name.decode()} is given {len(values)} times")
    return values[0]


def is_one_of(given: bytes, rights: Iterable[bytes]) -> bool:
    """Whether it is one of these; each is compared in full, so that the time tells nothing."""
    matches = [hmac.compare_digest(given, right) for right in rights]
    return any(matches)


def check_time(header: str, given: bytes, now: datetime, tolerance: timedelta) -> None:
    """Check that something was signed just now.

    Args:
        header: the name of the header that says when, for the message.
        given: its value: seconds since 1970.
        now: the moment of the request.
        tolerance: how far the two may lie apart.

    Raises:
        UnsignedError: it is no number, or too far from now.
    """
    if not given.isdigit() or len(given) > MAX_DIGITS:
        raise UnsignedError(f"{header} is no number of seconds since 1970")
    apart = abs(now.timestamp() - int(given))
    if apart > tolerance.total_seconds():
        raise UnsignedError(f"{header} is {apart:.0f} s from this machine's clock")


def _digest(key: bytes, webhook_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    signed = b".".join((webhook_id, timestamp, body))
    return base64.b64encode(hmac.digest(key, signed, "sha256"))
