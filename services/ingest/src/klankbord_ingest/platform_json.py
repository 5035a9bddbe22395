"""What a platform's JSON holds, where it may be anything."""

from datetime import UTC, datetime, timedelta
from typing import Any

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def objects(value: object) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def whole_number(value: object, otherwise: int = 0) -> int:
    """A whole number; another one where it is none."""
    return value if isinstance(value, int) else otherwise


def moment_at(seconds: float) -> datetime:
    """The moment so many seconds after the beginning of 1970.

    Raises:
        ValueError: it is too far away.
    """
    try:
        return BEGINNING + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{seconds} seconds after 1970 is no moment") from None
