"""Days and ISO weeks in a community's own time zone.

A day begins at its first moment on the wall clock and ends where the next begins, so it has 23 or
25 hours where the clock changes, and days follow each other without gap or overlap: also where
midnight is skipped (Cairo), comes twice (Havana), or a whole day is missing (Apia, 2011-12-30).
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from klankbord_schemas import Window

EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def countable(moment: datetime) -> datetime:
    """The moment, within the years in which every time zone has calendar days."""
    return min(max(moment, EARLIEST), LATEST)


def day_of(moment: datetime, time_zone: str) -> date:
    """The calendar day that the moment belongs to."""
    day = moment.astimezone(ZoneInfo(time_zone)).date()
    # Where the clock goes back over midnight, the date on the wall goes back for an hour.
    if moment < _first_moment(day, time_zone):
        return day - DAY
    if moment >= _first_moment(day + DAY, time_zone):
        return day + DAY
    return day


def days_of_hours(hours: Iterable[datetime], time_zone: str) -> set[date]:
    """The days that any of these UTC hours touches: two where midnight is not at the full hour."""
    return {
        day_of(moment, time_zone)
        for hour in hours
        for moment in (hour, hour + HOUR - timedelta.resolution)
    }


def day_window(day: date, time_zone: str) -> Window:
    """That calendar day."""
    return Window(
        grain="day",
        start=_first_moment(day, time_zone),
        end=_first_moment(day + DAY, time_zone),
        time_zone=time_zone,
    )


def week_window(day: date, time_zone: str) -> Window:
    """The ISO 8601 week, Monday to Sunday, that the day is in."""
    monday = day - day.weekday() * DAY
    return Window(
        grain="week",
        start=_first_moment(monday, time_zone),
        end=_first_moment(monday + 7 * DAY, time_zone),
        time_zone=time_zone,
    )


def window_before(window: Window) -> Window:
    """The window of the same grain that ends where this one starts."""
    day_before = window.first_day - DAY
    of_grain = day_window if window.grain == "day" else week_window
    return of_grain(day_before, window.time_zone)


def windows_of_days(days: Iterable[date], time_zone: str) -> list[Window]:
    """The windows that these days change, in the order of time: each day, then each week."""
    ordered = sorted(set(days))
    mondays = sorted({day - day.weekday() * DAY for day in ordered})
    return [day_window(day, time_zone) for day in ordered] + [
        week_window(monday, time_zone) for monday in mondays
    ]


def _first_moment(day: date, time_zone: str) -> datetime:
    """The day's first moment, in UTC. Python takes the first of two midnights (PEP 495), and for
    a skipped one the moment at which the clock skipped it."""
    return datetime.combine(day, time(), ZoneInfo(time_zone)).astimezone(UTC)
