"""Bodies signed with a keyed hash in a header: `sha256=<hex>`, as GitHub, Mastodon and Meta do."""

import hmac
from collections.abc import Sequence

from klankbord_ingest.signature import UnsignedError, is_one_of

PREFIX = "sha256="


def check_sha256(
    header: str, given: str, keys: Sequence[bytes], signed: bytes, prefix: str = PREFIX
) -> None:
    """Check that one of these keys signed this.

    Args:
        header: the header's name, for the message.
        given: its value; empty where it is missing.
        keys: the source's keys; none lets nothing in.
        signed: the raw bytes of the body, and whatever else is signed with it.
        prefix: what stands before the signature in the header.

    Raises:
        UnsignedError: none of them did.
    """
    if not keys:
        raise UnsignedError("the source has no secret to check a signature with")
    if not given or not given.startswith(prefix):
        raise UnsignedError(f"{header} is missing or does not begin with {prefix}")
    signature = given.removeprefix(prefix).encode("utf-8")
    rights = [hmac.digest(key, signed, "sha256").hex().encode() for key in keys]
    if not is_one_of(signature, rights):
        raise UnsignedError(f"{header} is not right for this body")
