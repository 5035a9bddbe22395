"""A source's own rhythm, and whether it fell silent against it.

What each hour of the week brought over the four weeks before a source was last heard tells how
much should have come since. Nights, weekends and slow sources are quiet without being silent: then
little is expected. A source is silent where ten were expected and none came, at least an hour has
passed, and two weeks of it are known. One whose posts come by themselves would be that quiet once
in 22,000 times (the chance of none where ten are expected is e⁻¹⁰).

Posts do not come by themselves everywhere: a thread flares up, a feed brings its day at once. So
what comes together counts as one. How much does is told by how far equal stretches of different
weeks differ: their variance is their mean where posts come by themselves, and as many times that
as come together otherwise. Stretches of several lengths are asked, none longer than the silence,
and the most is taken. One odd hour, such as a flood, says nothing of the rhythm: an hour counts at
most four times what nine in ten busy hours bring.

Hours in which nobody listened, because Klankbord was away, are no silence and no history.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import TypeAlias

HOUR = timedelta(hours=1)
HISTORY = timedelta(weeks=4)
"""How far the rhythm goes back."""
LEAST_HISTORY = timedelta(weeks=2)
"""How long a source must be known before it is missed."""
LEAST_QUIET = HOUR
"""How long it must be quiet."""
MISSED = 10.0
"""How many must be missed, of what comes by itself."""
ODD = 4
"""How many times what a busy hour brings an hour may count."""
BUSY = 0.9
"""The share of hours with anything that bring no more than a busy hour."""
LEAST_BUSY = 3
"""What a busy hour brings at the least: with less, four times it would cut off mere chance."""
HOURS_OF_WEEK = 168
STRETCHES = (1, 3, 6, 12, 24)
"""How long stretches may be that are compared, in hours: each a part of a week."""


@dataclass(frozen=True)
class Quiet:
    """That a source is silent."""

    expected: float
    """How many should have come since it was last heard."""
    at_once: float
    """How many come together: so many count as one."""


def hour_of(moment: datetime) -> datetime:
    """The hour that a moment is in. Hours are UTC's: none of them comes twice."""
    return moment.replace(minute=0, second=0, microsecond=0)


def quiet(
    heard: Mapping[datetime, int],
    listened: Collection[datetime],
    last: datetime,
    now: datetime,
    zone: tzinfo,
) -> Quiet | None:
    """Whether a source is silent.

    Args:
        heard: how much was heard in each hour; hours without anything may be left out.
        listened: the hours in which somebody listened.
        last: when it was last heard.
        now: the moment.
        zone: the community's time zone, in which it keeps its hours and days.

    Returns:
        What is missed; None where it is not silent, or nobody can tell.
    """
    if now - last < LEAST_QUIET or not heard or last - min(heard) < LEAST_HISTORY:
        return None
    weeks = _weeks(heard, listened, last, zone)
    usual = _usual(weeks)
    expected, hours = 0.0, 0.0
    for hour, share in _hours(last, now):
        if hour in listened:
            expected += share * usual[_place(hour, zone)[1]]
            hours += share
    if expected < MISSED:
        return None
    at_once = max(_at_once(weeks, length) for length in STRETCHES if length <= max(hours, 1))
    return Quiet(expected, at_once) if expected / at_once >= MISSED else None


Weeks: TypeAlias = dict[int, dict[int, float]]
"""What each hour of each week brought: by week, then by hour of the week; none that were not
listened to."""


def _weeks(
    heard: Mapping[datetime, int], listened: Collection[datetime], last: datetime, zone: tzinfo
) -> Weeks:
    """The four weeks before it was last heard, odd hours cut off."""
    begin = max(min(heard), hour_of(last - HISTORY))
    counts = {hour: n for hour, n in heard.items() if n and begin <= hour <= last}
    busy = sorted(counts.values())
    most = ODD * max(LEAST_BUSY, busy[int(BUSY * (len(busy) - 1))]) if busy else 0
    weeks: Weeks = {}
    for hour, _ in _hours(begin, last):
        if hour in listened:
            week, at = _place(hour, zone)
            hours = weeks.setdefault(week, {})
            hours[at] = hours.get(at, 0.0) + min(counts.get(hour, 0), most)
    return weeks


def _usual(weeks: Weeks) -> list[float]:
    """What each hour of the week brings in the mean."""
    means = []
    for at in range(HOURS_OF_WEEK):
        brought = [hours[at] for hours in weeks.values() if at in hours]
        means.append(sum(brought) / len(brought) if brought else 0.0)
    return means


def _at_once(weeks: Weeks, length: int) -> float:
    """How many come together, by stretches of so many hours; 1 where they come by themselves."""
    apart, alike = 0.0, 0.0
    for begin in range(0, HOURS_OF_WEEK, length):
        stretch = range(begin, begin + length)
        found = [[hours[at] for at in stretch if at in hours] for hours in weeks.values()]
        brought = [sum(each) for each in found if len(each) == length]
        if len(brought) > 1:
            mean = sum(brought) / len(brought)
            apart += sum((one - mean) ** 2 for one in brought)
            alike += mean * (len(brought) - 1)
    return max(1.0, apart / alike) if alike else 1.0


def _hours(begin: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    """Each hour of a stretch of time, and which share of the hour is in it."""
    hour = hour_of(begin)
    while hour < end:
        share = (min(end, hour + HOUR) - max(begin, hour)) / HOUR
        yield hour, share
        hour += HOUR


@lru_cache(8192)  # every source of a community asks for the same hours
def _place(hour: datetime, zone: tzinfo) -> tuple[int, int]:
    """Which week an hour is in, and which hour of the week it is, where the community lives."""
    local = hour.astimezone(zone)
    day = local.toordinal() - 1  # day 0 of the calendar was a Monday
    return day // 7, day % 7 * 24 + local.hour
