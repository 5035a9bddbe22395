"""A platform is asked when it is due, never sooner than it wishes, later each time it fails."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.listening.pace import SPREAD, Pace
from klankbord_ingest.manners import LONGEST, Limit, freshness, limit_of, retry_after

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
pauses = st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=30))
chances = st.floats(0, 1)


@given(pauses, chances, st.none() | pauses)
def test_a_feed_is_left_alone_for_as_long_as_it_wishes_but_asked_once_a_day(
    every: timedelta, chance: float, wish: timedelta | None
) -> None:
    pause = Pace(every, chance).after_success(NOW, wish) - NOW
    assert pause >= min(max(every, wish or every), LONGEST)
    assert pause <= LONGEST * (1 + SPREAD)


@given(pauses, chances, st.integers(1, 10_000))
def test_each_failure_in_a_row_makes_the_pause_longer_up_to_a_day(
    every: timedelta, chance: float, failures: int
) -> None:
    pace = Pace(every, chance)
    pause = pace.after_failure(NOW, failures, None)
    assert NOW < pause <= pace.after_failure(NOW, failures + 1, None)
    assert pause - NOW <= LONGEST * (1 + SPREAD)


def test_the_pause_doubles() -> None:
    pace = Pace(QUARTER, 0)
    assert [pace.after_failure(NOW, n, None) - NOW for n in (1, 2, 3)] == [
        QUARTER * 2,
        QUARTER * 4,
        QUARTER * 8,
    ]


def test_a_server_that_asks_for_a_longer_pause_gets_it() -> None:
    pause = Pace(QUARTER, 0).after_failure(NOW, 1, timedelta(hours=3)) - NOW
    assert pause == timedelta(hours=3)


@pytest.mark.parametrize(
    ("header", "ttl", "expected"),
    [
        ("", None, None),
        ("no-cache", None, None),
        ("public, max-age=600", None, timedelta(minutes=10)),
        ("max-age=600", 60, timedelta(hours=1)),
        ("max-age=7200", 60, timedelta(hours=2)),
        ("s-maxage=10", 5, timedelta(minutes=5)),
        ("max-age=-1", None, None),
        ("max-age=99999999999999999999", None, None),
    ],
)
def test_the_longer_wish_counts(header: str, ttl: int | None, expected: timedelta | None) -> None:
    assert freshness({"cache-control": header}, ttl) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", timedelta(minutes=2)),
        ("Sun, 22 Nov 2026 13:00:00 GMT", timedelta(hours=1)),
        ("9" * 40, LONGEST),
        ("9" * 5000, LONGEST),
        ("²³", None),
        ("1 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 1 Jan 2020 00:00:00 +99999999999999999999", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, expected: timedelta | None) -> None:
    assert retry_after({"retry-after": header}, NOW) == expected


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, Limit()),
        (200, {"x-ratelimit-remaining": "41"}, Limit(41)),
        (429, {"retry-after": "30"}, Limit(None, timedelta(seconds=30))),
        # GitHub: the moment of the reset in seconds since 1970
        (
            403,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 60)},
            Limit(0, timedelta(minutes=1)),
        ),
        # Discord: seconds until the reset, with a fraction
        (
            200,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "1.5"},
            Limit(0, timedelta(seconds=1.5)),
        ),
        # Mastodon: the moment as a date
        (
            429,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2026-11-22T12:05:00.123456Z"},
            Limit(0, timedelta(minutes=5, microseconds=123456)),
        ),
        (429, {"x-ratelimit-reset": "2020-01-01T00:00:00Z"}, Limit(None, timedelta(0))),
        (429, {"x-ratelimit-reset": "9" * 400}, Limit()),
        (429, {"x-ratelimit-reset": "nan"}, Limit()),
        (429, {"x-ratelimit-remaining": "many", "retry-after": "9" * 9}, Limit(None, LONGEST)),
    ],
)
def test_the_limits_of_platforms_are_read_in_their_own_ways(
    status: int, headers: dict[str, str], expected: Limit
) -> None:
    assert limit_of(status, headers, NOW) == expected
