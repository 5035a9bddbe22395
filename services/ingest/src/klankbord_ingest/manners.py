"""Manners towards those we ask: how often, and when they wish to be left alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

LONGEST = timedelta(days=1)
"""Whatever a server wishes, it is asked once a day."""
EPOCH_MINIMUM = 1_000_000_000
"""A larger number in a reset header is a moment in seconds since 1970, a smaller one a length."""

MOST_LEFT = 1_000_000_000
"""Some say 4294967295 for `as many as you like`."""

_SECONDS = re.compile("[0-9]+")
_MAX_AGE = re.compile(r"(?:^|,)\s*max-age=(\d{1,9})\s*(?:,|$)", re.IGNORECASE)
_LEFT = ("x-ratelimit-remaining", "x-rate-limit-remaining", "ratelimit-remaining")
_RESET = (
    "x-ratelimit-reset-after",
    "x-ratelimit-reset",
    "x-rate-limit-reset",
    "ratelimit-reset",
)


@dataclass(frozen=True)
class Limit:
    """What a server says of how often it may be asked."""

    left: int | None = None
    """How many more requests it takes before the limit is reset; None where it does not say."""
    wait: timedelta | None = None
    """How long it asks to be left alone from now; None where it does not."""


def limit_of(status: int, headers: Mapping[str, str], now: datetime) -> Limit:
    """What an answer says of the limit.

    Args:
        status: the answer's status.
        headers: by their lower-case names: `Retry-After` (RFC 9110), `X-RateLimit-Remaining` and
            `-Reset` as GitHub, Mastodon, Discord and Discourse send them.
        now: the moment of the answer.
    """
    said = next((headers[name] for name in _LEFT if headers.get(name, "").isdecimal()), None)
    left = None if said is None else int(min(float(said), MOST_LEFT))
    wait = retry_after(headers, now)
    if wait is None and (left == 0 or status == HTTPStatus.TOO_MANY_REQUESTS):
        wait = next((found for name in _RESET if (found := _until(headers.get(name), now))), None)
    return Limit(left, wait and min(max(wait, timedelta(0)), LONGEST))


def freshness(headers: Mapping[str, str], ttl_minutes: int | None) -> timedelta | None:
    """How long an answer is good for: the longer of Cache-Control's max-age and RSS's ttl."""
    found = _MAX_AGE.search(headers.get("cache-control", ""))
    wishes = [timedelta(seconds=int(found[1]))] if found else []
    if ttl_minutes is not None:
        wishes.append(timedelta(minutes=ttl_minutes))
    return max(wishes, default=None)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long the server asks to wait, by Retry-After in seconds or as a date (RFC 9110)."""
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return timedelta(seconds=min(float(value), LONGEST.total_seconds()))
    return _until_date(value, now)


def _until(value: str | None, now: datetime) -> timedelta | None:
    """How long until a limit is reset: seconds, seconds since 1970, or a date."""
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        return _until_iso(value, now) or _until_date(value, now)
    if not 0 <= number < EPOCH_MINIMUM * 10:
        return None
    if number >= EPOCH_MINIMUM:
        return timedelta(seconds=number - now.timestamp())
    return timedelta(seconds=min(number, LONGEST.total_seconds()))


def _until_iso(value: str, now: datetime) -> timedelta | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment - now if moment.tzinfo else None


def _until_date(value: str, now: datetime) -> timedelta | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a year of twenty digits
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
