"""What the report makes of the rows that it reads: whole weeks, one sentence, honest numbers."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_standalone.report import KeyFigure, Report, Totals, Week, monday_of
from klankbord_standalone.report_reader import (
    NoSuchCommunityError,
    _chosen,
    _departments,
    _sources,
    _weeks,
)
from klankbord_standalone.words import compared, counted, lasting, span

AMSTERDAM = "Europe/Amsterdam"
NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)  # a Wednesday
MONDAY = date(2026, 11, 16)
WEEK = timedelta(weeks=1)


def measured(
    monday: date, metric: str = "posts", value: float = 1, **absolute: int
) -> dict[str, Any]:
    start = datetime(monday.year, monday.month, monday.day, tzinfo=ZoneInfo(AMSTERDAM))
    return {"metric": metric, "window_start": start, "value": value, "absolute": absolute}


def report_of(weeks: Sequence[Week], now: datetime = NOW) -> Report:
    return Report(
        community="kwint",
        name="Kwint",
        time_zone=AMSTERDAM,
        now=now,
        is_settled=True,
        totals=Totals(0, 0, 0, 0, 0, 0, {}),
        weeks=tuple(weeks),
        key_figure=None,
        flags=(),
        departments=(),
        most_urgent=(),
        languages_of_cases={},
        sources=(),
    )


LAST = Week(MONDAY - WEEK, is_over=True, posts=412, contributors=98, new_contributors=14)
BEFORE = Week(MONDAY - 2 * WEEK, is_over=True, posts=374)


def test_the_first_sentence_says_how_it_goes() -> None:
    assert report_of([BEFORE, LAST]).sentence == (
        "412 posts last week, 38 more than the week before: "
        "98 people wrote, 14 of them for the first time."
    )


def test_the_sentence_speaks_of_the_last_whole_week_not_of_the_running_one() -> None:
    running = Week(MONDAY, is_over=False, posts=3)
    assert report_of([BEFORE, LAST, running]).sentence == report_of([BEFORE, LAST]).sentence


def test_the_sentence_has_a_singular_and_leaves_out_what_is_not_there() -> None:
    week = replace(LAST, posts=1, contributors=1, new_contributors=0)
    assert report_of([week]).sentence == "1 post last week: 1 person wrote."


def test_a_silent_week_is_called_silent() -> None:
    assert report_of([BEFORE, replace(LAST, posts=0)]).sentence == "Nobody wrote last week."


def test_old_history_is_not_called_last_week() -> None:
    old = replace(LAST, first_day=date(2019, 3, 4))
    assert report_of([old]).sentence.startswith("412 posts in the week of 4 March 2019")


def test_without_a_whole_week_it_says_so() -> None:
    assert "no whole week" in report_of([]).sentence


def test_weeks_have_no_gaps_and_end_with_the_last_whole_one() -> None:
    weeks = _weeks([measured(MONDAY - 4 * WEEK), measured(MONDAY - 3 * WEEK)], NOW, AMSTERDAM)
    assert [week.first_day for week in weeks] == [MONDAY - n * WEEK for n in (4, 3, 2, 1)]
    assert [week.posts for week in weeks] == [1, 1, 0, 0]
    assert all(week.is_over for week in weeks)


def test_the_running_week_is_shown_as_such() -> None:
    weeks = _weeks([measured(MONDAY - WEEK), measured(MONDAY)], NOW, AMSTERDAM)
    assert [(week.first_day, week.is_over) for week in weeks] == [
        (MONDAY - WEEK, True),
        (MONDAY, False),
    ]


def test_a_week_takes_its_numbers_from_the_measurements() -> None:
    monday = MONDAY - WEEK
    rows = [
        measured(monday, "posts", 12, **{"by-people": 10, "automated": 2}),
        measured(monday, "new-contributors", 3),
        measured(monday, "time-to-first-response", 90.0, answered=4, unanswered=1),
    ]
    (week,) = _weeks(rows, NOW, AMSTERDAM)
    assert (week.posts, week.new_contributors) == (12, 3)
    assert (week.response_seconds, week.answered, week.unanswered) == (90.0, 4, 1)


@given(st.sets(st.integers(0, 400), min_size=1), st.integers(0, 6))
def test_weeks_are_always_consecutive_mondays(ages: set[int], weekday: int) -> None:
    now = NOW + timedelta(days=weekday - 2)
    weeks = _weeks([measured(MONDAY - age * WEEK) for age in sorted(ages)], now, AMSTERDAM)
    days = [week.first_day for week in weeks]
    assert days == [days[0] + number * WEEK for number in range(len(days))]
    assert all(day.weekday() == 0 for day in days)
    assert len(days) <= 13


def test_the_week_of_a_moment_is_that_of_the_community() -> None:
    sunday_evening_in_utc = datetime(2026, 11, 15, 23, 30, tzinfo=UTC)
    assert monday_of(sunday_evening_in_utc, AMSTERDAM) == MONDAY
    assert monday_of(sunday_evening_in_utc, "UTC") == MONDAY - WEEK


def test_the_key_figure_shows_what_it_is_made_of() -> None:
    figure = KeyFigure(
        value=1_312,
        previous=None,
        formula="10 x contributors + 5 x replies + reactions; reactions are likes and shares",
        inputs={"contributors": 98, "replies": 1_000, "reactions": 7},
    )
    assert figure.worked_out == "10 × 98 contributors + 5 × 1,000 replies + 7 reactions"
    assert figure.remark == "reactions are likes and shares"


def test_the_busiest_department_comes_first_with_its_intents_and_priorities() -> None:
    def row(department: str, intent: str, priority: str, cases: int) -> dict[str, Any]:
        return {
            "department": department,
            "intent": intent,
            "priority": priority,
            "cases": cases,
            "past_due": 1,
        }

    sales, product = (
        row("sales", "lead", "high", 2),
        [row("product", "bug", "medium", 3), row("product", "idea", "low", 4)],
    )
    first, second = _departments([sales, *product])
    assert (first.name, first.open_cases, first.past_due) == ("product", 7, 2)
    assert list(first.by_intent.items()) == [("idea", 4), ("bug", 3)]
    assert list(first.by_priority) == ["medium", "low"]
    assert second.name == "sales"


def test_a_feed_that_never_spoke_is_shown_and_a_webhook_is_not_called_ill() -> None:
    posts = [{"source": "forum", "posts": 5, "posts_in_week": 2}]
    health = [
        {"source": "blog", "kind": "feed", "healthy": False, "reason": "404", "last_success": None}
    ]
    forum, blog = _sources(posts, health)
    assert (forum.name, forum.is_healthy) == ("forum", None)
    assert (blog.name, blog.posts, blog.is_healthy, blog.reason) == ("blog", 0, False, "404")


def test_one_community_needs_no_name_and_several_do() -> None:
    one, other = {"community": "kwint"}, {"community": "lumen"}
    assert _chosen([one], None) == one
    assert _chosen([one, other], "lumen") == other
    with pytest.raises(NoSuchCommunityError, match="kwint, lumen"):
        _chosen([one, other], None)
    with pytest.raises(NoSuchCommunityError, match="'acme'"):
        _chosen([one], "acme")
    with pytest.raises(NoSuchCommunityError, match="nothing was heard"):
        _chosen([], None)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (45, "45 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (4_800, "1 h 20 min"),
        (3_600, "1 h"),
        (3_599, "1 h"),
        (100_000, "1 d 3 h"),
        (172_800, "2 d"),
        (1_000_000, "11 d"),
    ],
)
def test_a_length_of_time_is_said_as_exactly_as_one_needs_it(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


@pytest.mark.parametrize(
    ("first_day", "said"),
    [
        (date(2026, 11, 9), "9–15 November 2026"),
        (date(2026, 9, 28), "28 September – 4 October 2026"),
        (date(2026, 12, 28), "28 December 2026 – 3 January 2027"),
    ],
)
def test_the_days_of_a_week_are_spelled_out(first_day: date, said: str) -> None:
    assert span(first_day, first_day + timedelta(days=6)) == said


def test_numbers_are_compared_in_words() -> None:
    assert compared(412, 374) == "38 more than"
    assert compared(1, 1_001) == "1,000 fewer than"
    assert compared(5, 5) == "as many as"
    assert counted(1, "person", "people") == "1 person"
    assert counted(2_000, "post") == "2,000 posts"
