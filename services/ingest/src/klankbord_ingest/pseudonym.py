"""Who someone is, without the name: a keyed pseudonym per platform and author."""

import hmac
import re
from functools import lru_cache

PSEUDONYM = re.compile(r"p-[0-9a-f]{32}")
SEPARATOR = b"\x1f"


@lru_cache(maxsize=10_000)
def pseudonym(key: bytes, platform: str, native_id: str, *, is_own: bool = True) -> str:
    """The pseudonym of the author whom the platform calls `native_id`.

    HMAC-SHA256 (RFC 2104) over platform, U+001F and native id, cut to 128 bits. Without the key
    nobody can tell who it is or try names against it. A text that is a pseudonym already, as in an
    export of Klankbord's own events, stays as it is where the installation's own people hand it in:
    on a platform anybody may call themselves by the pseudonym of somebody else.

    Args:
        key: the installation's.
        platform: the platform instance that owns the id.
        native_id: what it calls the author.
        is_own: whether whoever hands it in may speak in pseudonyms.
    """
    if is_own and PSEUDONYM.fullmatch(native_id):
        return native_id
    message = platform.encode() + SEPARATOR + native_id.encode()
    return f"p-{hmac.digest(key, message, 'sha256').hex()[:32]}"


def is_pseudonym(native_id: str) -> bool:
    """Whether a platform's id of an author is in fact a pseudonym, so that nobody can be named."""
    return PSEUDONYM.fullmatch(native_id) is not None
