"""When to ask again: never sooner than is wished, later when it fails."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from klankbord_ingest.manners import LONGEST

SHORTEST = timedelta(seconds=1)
SPREAD = 0.1
"""By which part of itself a pause is lengthened at most, so that sources do not march in step."""


@dataclass(frozen=True)
class Pace:
    """How often a platform is to be asked, and the chance that spreads it."""

    every: timedelta
    """What the operator wants."""
    chance: float
    """A random number from 0 to 1."""
    longest: timedelta = LONGEST
    """How long a pause may become, whatever fails."""

    def after_success(self, now: datetime, wish: timedelta | None) -> datetime:
        """When to ask again after an answer.

        Args:
            now: the moment of the answer.
            wish: how long the platform asks to be left alone.
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
        return min(max(pause, SHORTEST), self.longest) * (1 + SPREAD * self.chance)
