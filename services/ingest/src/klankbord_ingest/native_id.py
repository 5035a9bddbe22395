"""What to call a post or author whom its platform calls nothing, or something too long to keep."""

from klankbord_schemas.identity import fingerprint
from klankbord_schemas.types import MAX_NATIVE_ID


def kept_native_id(given: str) -> str:
    """The platform's own id; of one that is too long, its fingerprint."""
    return given if len(given) <= MAX_NATIVE_ID else made_native_id(given)


def made_native_id(*words: str) -> str:
    """The same for the same words, whatever way they came."""
    return "sha256:" + fingerprint(*words, size=32).hex()
