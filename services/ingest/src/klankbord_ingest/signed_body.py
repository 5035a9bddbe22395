"""Bodies signed with a keyed hash in a header: `sha256=<hex>`, as GitHub, Discourse and Meta do."""

import hmac
from collections.abc import Sequence

from klankbord_ingest.signature import UnsignedError

PREFIX = "sha256="


def check_sha256(header: str, given: str, keys: Sequence[bytes], body: bytes) -> None:
    """Check that one of these keys signed this body.

    Args:
        header: the header's name, for the message.
        given: its value; empty where it is missing.
        keys: the source's keys; none lets nothing in.
        body: the raw bytes, before anything reads them.

    Raises:
        UnsignedError: none of them did.
    """
    if not keys:
        raise UnsignedError("the source has no secret to check a signature with")
    if not given.startswith(PREFIX):
        raise UnsignedError(f"{header} is missing or does not begin with {PREFIX}")
    signature = given.removeprefix(PREFIX).encode("utf-8")
    expected = [hmac.digest(key, body, "sha256").hex().encode() for key in keys]
    if not any([hmac.compare_digest(signature, right) for right in expected]):  # noqa: C419  all are compared
        raise UnsignedError(f"{header} is not right for this body")
