"""What this process heard of each source, until it is written: by the hour."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from klankbord_ingest.rhythm import hour_of


class SourceHour(NamedTuple):
    """An hour of a source."""

    source: str
    hour: datetime


@dataclass(frozen=True)
class Count:
    """What was heard in an hour."""

    heard: int
    last: datetime
    """When something was heard last."""


class Tally:
    """Counts what is heard. A row for each post would be a queue: it is written every few seconds.

    What a process that dies had not written is lost: some seconds of a rhythm of weeks.
    """

    def __init__(self) -> None:
        self._counts: dict[SourceHour, Count] = {}

    def note(self, source: str, at: datetime, heard: int) -> None:
        """So many were heard at that moment; none says that nothing is missed up to there."""
        key = SourceHour(source, hour_of(at))
        before = self._counts.get(key)
        if before is not None:
            heard, at = heard + before.heard, max(at, before.last)
        self._counts[key] = Count(heard, at)

    def counts(self) -> Mapping[SourceHour, Count]:
        """What is to be written."""
        return dict(self._counts)

    def written(self, counts: Mapping[SourceHour, Count]) -> None:
        """Forget what was written; what came meanwhile stays."""
        for key, count in counts.items():
            now = self._counts.pop(key)
            if now != count:
                self._counts[key] = Count(now.heard - count.heard, now.last)
