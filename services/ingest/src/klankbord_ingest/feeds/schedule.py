"""When to ask a feed again: never sooner than it wishes, later when it fails."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(days=1)
"""Whatever a feed wishes, it is asked once a day; whatever it fails, too."""
SPREAD = 0.1
"""By which part of itself a pause is lengthened at most, so that feeds do not march in step."""

_SECONDS = re.compile("[0-9]+")
_MAX_AGE = re.compile(r"(?:^|,)\s*max-age=(\d{1,9})\s*(?:,|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Pace:
    """How often a feed is to be asked, and the chance that spreads it."""

    every: timedelta
    """What the operator wants."""
    chance: float
    """A random number from 0 to 1."""

    def after_success(self, now: datetime, wish: timedelta | None) -> datetime:
        """When to ask again after an answer.

        Args:
            now: the moment of the answer.
            wish: how long the feed asks to be left alone.
        """
        return now + self._spread(max(self.every, wish or timedelta(0)))

    def after_failure(self, now: datetime, failures: int, wish: timedelta | None) -> datetime:
        """When to ask again after a failure: the pause doubles with each.

        Args:
            now: the moment of the failure.
            failures: how many in a row there were, with this one; at least 1.
            wish: the server's Retry-After.
        """
        pause = self.every * 2 ** min(failures, 12)
        return now + self._spread(max(pause, wish or timedelta(0)))

    def _spread(self, pause: timedelta) -> timedelta:
        return min(max(pause, SHORTEST), LONGEST) * (1 + SPREAD * self.chance)


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
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a year of twenty digits
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
