from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_metrics.calendar import day_window, week_window
from klankbord_metrics.measures import (
    METRICS,
    MOST_NAMES,
    NOTHING,
    Measured,
    Numbers,
    Series,
    Share,
    changes,
    shares,
)
from klankbord_schemas import Measurement, Window

DAY = day_window(date(2026, 3, 28), "Europe/Amsterdam")
BY_SLUG = {metric.slug: metric for metric in METRICS}

counts = st.integers(0, 10**9)
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
numbers = st.builds(
    Numbers,
    posts_by_people=counts,
    posts_automated=counts,
    contributors=counts,
    labels=st.dictionaries(names, counts, max_size=70),
    open_cases=st.dictionaries(names, counts, max_size=70),
    interactions=st.dictionaries(names, counts, max_size=7),
)


def measured(measurement: Measurement) -> Measured:
    window = measurement.window
    return Measured(measurement.value, measurement.absolute, measurement.revision, window.time_zone)


def test_activity_can_be_worked_out_by_hand() -> None:
    week = Numbers(
        posts_by_people=30,
        replies_by_people=20,
        posts_automated=99,
        contributors=7,
        interactions={"like": 4, "share": 1, "view": 1000, "leave": 3},
    )
    absolute = BY_SLUG["activity"].absolute(week)
    assert absolute == {"contributors": 7, "replies": 20, "openings": 10, "reactions": 5}
    assert BY_SLUG["activity"].value(absolute) == 10 * 7 + 5 * 20 + 3 * 10 + 5


def test_the_formula_of_activity_names_the_numbers_it_is_made_of() -> None:
    activity = BY_SLUG["activity"]
    for weighed in ("10 x contributors", "5 x replies", "3 x openings", "+ reactions"):
        assert weighed in activity.formula


@given(numbers)
def test_a_value_follows_from_the_absolute_numbers_that_are_said(numbers: Numbers) -> None:
    for change in changes("acme", DAY, {None: numbers}, {}, {}):
        assert change.value == BY_SLUG[change.metric].value(change.absolute)


@given(numbers)
def test_no_measurement_holds_more_names_than_an_event_may(numbers: Numbers) -> None:
    for change in changes("acme", DAY, {None: numbers}, {}, {}):
        assert len(change.absolute) <= MOST_NAMES


def test_of_very_many_departments_the_smallest_are_added_together() -> None:
    cases = {f"d{number}": number for number in range(1, 61)}
    absolute = BY_SLUG["open-cases"].absolute(Numbers(open_cases=cases))
    assert absolute["d60"] == 60
    assert absolute["other"] == sum(range(1, 12))
    assert BY_SLUG["open-cases"].value(absolute) == sum(cases.values())


def test_a_window_in_which_nothing_ever_was_has_no_measurements() -> None:
    assert changes("acme", DAY, {None: NOTHING}, {}, {}) == []


@given(numbers)
def test_what_did_not_change_is_not_said_again(numbers: Numbers) -> None:
    first = changes("acme", DAY, {None: numbers, "forum": numbers}, {}, {})
    last = {Series(change.source, change.metric): measured(change) for change in first}
    assert changes("acme", DAY, {None: numbers, "forum": numbers}, last, {}) == []


def test_a_source_that_fell_silent_is_said_to_be_zero_with_the_next_revision() -> None:
    last = {Series("forum", "posts"): Measured(2.0, {"by-people": 2}, 4, "Europe/Amsterdam")}
    (change,) = changes("acme", DAY, {None: NOTHING}, last, {})
    assert (change.source, change.value, change.revision) == ("forum", 0, 5)


def test_a_response_time_without_responses_has_no_value() -> None:
    openings = Numbers(posts_by_people=2, contributors=2)
    (change,) = [
        change
        for change in changes("acme", DAY, {None: openings}, {}, {})
        if change.metric == "time-to-first-response"
    ]
    assert change.value is None
    assert change.absolute == {"answered": 0, "unanswered": 2}


def test_a_change_brings_the_value_of_the_window_before() -> None:
    previous = {Series(None, "posts"): 7.0}
    found = changes("acme", DAY, {None: Numbers(posts_by_people=1)}, {}, previous)
    assert {change.metric: change.previous for change in found}["posts"] == 7


def test_totals_get_the_difference_in_the_value_and_in_each_part() -> None:
    numbers = Numbers(interactions={"like": 3, "join": 1})
    change = changes("acme", DAY, {None: numbers}, {}, {})[0]
    last = Measured(5.0, {"like": 1, "view": 4}, 1, "Europe/Amsterdam")
    assert change.metric == "interactions"
    assert set(shares(change, last)) == {
        Share("acme", "interactions", "", -1),
        Share("acme", "interactions", "like", 2),
        Share("acme", "interactions", "join", 1),
        Share("acme", "interactions", "view", -4),
    }


def test_a_day_that_was_measured_in_another_time_zone_is_not_in_the_total_yet() -> None:
    change = changes("acme", DAY, {None: Numbers(interactions={"like": 3})}, {}, {})[0]
    last = Measured(3.0, {"like": 3}, 1, "UTC")
    assert Share("acme", "interactions", "", 3) in shares(change, last)


@pytest.mark.parametrize(
    ("source", "window"),
    [("forum", DAY), (None, week_window(date(2026, 3, 28), "Europe/Amsterdam"))],
)
def test_neither_weeks_nor_single_sources_are_added_to_totals(
    source: str | None, window: Window
) -> None:
    for change in changes("acme", window, {source: Numbers(posts_by_people=1)}, {}, {}):
        assert shares(change, None) == []
