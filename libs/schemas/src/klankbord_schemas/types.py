"""Base types: what a field may hold, so that whatever passes here can be stored and sent.

PostgreSQL stores no NUL, no lone surrogate, no integer beyond 64 bits; JSON knows no NaN.
A value that could not be stored is refused here, at the edge, and never halfway down a batch.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints
from pydantic_core import PydanticKnownError

WITHOUT_NUL = r"^[^\x00]*$"

MAX_TEXT = 100_000
MAX_LINE = 2_000
MAX_NATIVE_ID = 500
MAX_TAGS = 100
MAX_MENTIONS = 100
MAX_LINKS = 100


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": WITHOUT_NUL})
    return text


Text = Annotated[
    str,
    StringConstraints(max_length=MAX_TEXT),
    AfterValidator(_without_nul),
    Field(json_schema_extra={"pattern": WITHOUT_NUL}),
]
"""Free text of at most 100,000 characters, without NUL.

The pattern would say the same, but an expression reads a long text letter by letter.
"""

Line = Annotated[str, StringConstraints(pattern=WITHOUT_NUL, max_length=MAX_LINE)]
"""One line of text (a title, an address, an explanation) of at most 2,000 characters."""

NativeId = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=MAX_NATIVE_ID)]
"""What a platform itself calls a thing: opaque, 1-500 characters."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""A short name that may stand in a subject: communities, sources, departments, metrics."""

Pseudonym = Annotated[str, StringConstraints(pattern=r"^p-[0-9a-f]{32}$")]
"""Who, without the name: `p-` and 128 bits of a keyed HMAC over platform and native id."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a file's bytes, in hexadecimal: which policy or rule file decided."""

MemberDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a member's pseudonym, in hexadecimal: whom an erasure is about."""

Language = Annotated[
    str, StringConstraints(pattern=r"^[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*$", max_length=35)
]
"""A BCP 47 tag such as `nl` or `pt-BR`; `und` when nobody can tell."""

Sequence = Annotated[int, Field(ge=0, lt=9 * 10**18)]
"""Which version of a post: a later version has a higher one (see `PostReceived.sequence`).

The bound is what a pattern over 19 digits can say and a 64-bit integer can hold.
"""

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""How many, as an absolute number."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A part of a whole, 0 to 1."""

Value = Annotated[float, Field(allow_inf_nan=False)]
"""A measured value; never NaN or infinite."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 in UTC; check the time zone") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment, kept in UTC, so that one moment is written in one way and makes one id.

A time without a time zone is refused, and one that UTC cannot say.
"""
