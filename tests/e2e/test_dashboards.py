"""Every query of every dashboard, asked of what the demo's community left behind."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import panels
import pytest
import pytest_asyncio
from prometheus import needs_prometheus
from watched import Watched, watched_demo
from world import eventually

from klankbord_standalone.demo import COMMUNITY
from klankbord_standalone.report import Report
from klankbord_standalone.report_reader import read_report

pytestmark = [pytest.mark.system, needs_prometheus]


@pytest_asyncio.fixture(scope="module")
async def watched() -> AsyncIterator[Watched]:
    """One demo for all tests here."""
    async with watched_demo() as demo:
        yield demo


@pytest_asyncio.fixture(scope="module")
async def report(watched: Watched) -> Report:
    return await read_report(watched.reader_url, COMMUNITY, datetime.now(UTC))


@pytest.mark.parametrize("dashboard", panels.DASHBOARDS)
async def test_every_query_has_an_answer(dashboard: str, watched: Watched) -> None:
    """A number or a text: also what should be empty on a healthy system says that it is 0."""
    empty = [str(asked) for asked in panels.asked_by(dashboard) if not await _says(watched, asked)]
    assert not empty, f"nothing is found by {empty}"


async def _says(watched: Watched, asked: panels.Asked) -> bool:
    if asked.is_sql:
        rows = await watched.rows(asked)
        return any(
            value is not None for row in rows for name, value in row.items() if name != "time"
        )
    return any(series.numbers for series in await watched.series(asked))


async def test_the_community_dashboard_says_what_the_report_says(
    watched: Watched, report: Report
) -> None:
    last = (await _rows(watched, "community", "The last whole week"))[-1]
    week, key_figure = report.last_week, report.key_figure
    assert week is not None
    assert key_figure is not None
    assert {name: number for name, number in last.items() if name != "time"} == {
        "Posts": week.posts,
        "People": week.contributors,
        "For the first time": week.new_contributors,
        "Interactions": week.interactions,
        "Key figure": key_figure.value,
    }
    (waiting,) = await _rows(watched, "community", "Waiting for an answer")
    assert (waiting["Open"], waiting["Overdue"]) == (report.totals.open_cases, report.past_due)
    reasons = await _rows(watched, "community", "Why it was flagged")
    assert {(row["Label"], row["Because"]): row["Posts"] for row in reasons} == {
        (flag.label, flag.explanation): flag.posts for flag in report.live_flags
    }


async def test_the_parts_of_the_key_figure_add_up_to_it(watched: Watched, report: Report) -> None:
    """The dashboard has its terms with their weights: they are those of the formula."""
    parts = await _rows(watched, "community", "Key figure by week, and what makes it")
    shown = {row.pop("time").date(): sum(row.values()) for row in parts}
    activity = [week.activity for week in report.weeks if week.activity]
    assert [number for number in shown.values() if number] == activity


async def test_prometheus_and_the_report_count_alike(watched: Watched, report: Report) -> None:
    (asked, *_) = _asked("community", "Since the beginning")

    async def is_counted() -> bool:  # a gauge follows the tables every few seconds
        (posts,) = await watched.series(asked)
        return posts.numbers == [report.totals.posts]

    await eventually(is_counted, seconds=60)
    by_department = {
        one.labels["department"]: one.numbers[-1]
        for asked in _asked("routing", "Open cases by department")
        for one in await watched.series(asked)
    }
    assert by_department == {one.name: one.open_cases for one in report.departments}


def _asked(dashboard: str, title: str) -> list[panels.Asked]:
    found = [asked for asked in panels.asked_by(dashboard) if asked.title == title]
    assert found, f"{dashboard} has no panel {title!r}"
    return found


async def _rows(watched: Watched, dashboard: str, title: str) -> list[dict[str, Any]]:
    (asked,) = _asked(dashboard, title)
    return await watched.rows(asked)
