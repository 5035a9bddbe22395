from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_metrics.calendar import (
    countable,
    day_of,
    day_window,
    days_of_hours,
    week_window,
    window_before,
    windows_of_days,
)

ZONES = (
    "UTC",
    "Europe/Amsterdam",
    "Europe/Helsinki",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/Havana",  # midnight comes twice
    "Africa/Cairo",  # midnight is skipped
    "America/St_Johns",  # until 2011 the clock went back over midnight
    "Pacific/Apia",  # 30 December 2011 is missing
    "Australia/Lord_Howe",  # half an hour of summer time
    "America/Sao_Paulo",
)
zones = st.sampled_from(ZONES)
START = datetime(1971, 1, 1, tzinfo=UTC)
moments = st.integers(0, 90 * 365 * 86_400).map(lambda second: START + timedelta(seconds=second))
days = moments.map(datetime.date)


@given(moments, zones)
def test_every_moment_lies_in_the_day_and_week_that_it_belongs_to(
    moment: datetime, zone: str
) -> None:
    day = day_of(moment, zone)
    for window in (day_window(day, zone), week_window(day, zone)):
        assert window.start <= moment < window.end


@given(days, zones)
def test_days_and_weeks_follow_each_other_without_gap_or_overlap(day: date, zone: str) -> None:
    for window in (day_window(day, zone), week_window(day, zone)):
        before = window_before(window)
        assert before.end == window.start
        assert before.grain == window.grain
    week = week_window(day, zone)
    assert sum(
        (
            window.end - window.start
            for window in (day_window(week.first_day + timedelta(n), zone) for n in range(7))
        ),
        timedelta(),
    ) == (week.end - week.start)


@given(moments, zones)
def test_an_hour_touches_the_day_of_every_moment_in_it(moment: datetime, zone: str) -> None:
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    assert day_of(moment, zone) in days_of_hours([hour], zone)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Amsterdam", date(2026, 3, 29), 23),
        ("Europe/Amsterdam", date(2026, 10, 25), 25),
        ("Africa/Cairo", date(2026, 4, 24), 23),
        ("America/Havana", date(2025, 11, 2), 25),
        ("Pacific/Apia", date(2011, 12, 30), 0),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ],
)
def test_a_day_has_the_hours_that_the_clock_gives_it(zone: str, day: date, hours: float) -> None:
    window = day_window(day, zone)
    assert window.end - window.start == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("day", "monday"),
    [
        (date(2026, 12, 31), date(2026, 12, 28)),  # 2026-W53
        (date(2027, 1, 3), date(2026, 12, 28)),
        (date(2027, 1, 4), date(2027, 1, 4)),  # 2027-W01
        (date(2024, 12, 30), date(2024, 12, 30)),  # 2025-W01
    ],
)
def test_iso_weeks_begin_on_monday_also_over_new_year(day: date, monday: date) -> None:
    assert week_window(day, "Europe/Amsterdam").first_day == monday


def test_days_change_themselves_and_their_weeks_once() -> None:
    sunday, monday = date(2026, 3, 29), date(2026, 3, 30)
    windows = windows_of_days([monday, sunday, monday], "UTC")
    assert [(window.grain, window.first_day.isoformat()) for window in windows] == [
        ("day", "2026-03-29"),
        ("day", "2026-03-30"),
        ("week", "2026-03-23"),
        ("week", "2026-03-30"),
    ]


@given(st.datetimes(timezones=st.just(UTC)), zones)
def test_any_moment_that_an_event_may_hold_has_a_day(moment: datetime, zone: str) -> None:
    assert day_window(day_of(countable(moment), zone), zone)
