"""Reads the report from the views that each service publishes. It stores nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import asyncpg

from klankbord_runtime.db import Connection, Database, load_queries
from klankbord_schemas.feedback import Priority
from klankbord_standalone.explained import ExplainedError
from klankbord_standalone.report import (
    WEEK,
    Case,
    Department,
    FlagReason,
    KeyFigure,
    Report,
    Source,
    Totals,
    Week,
    local_day,
    monday_of,
)

MOST_WEEKS = 12
MOST_URGENT = 8

Row: TypeAlias = Mapping[str, Any]
"""A row of a view."""

PRIORITIES: tuple[Priority, ...] = ("critical", "high", "medium", "low")

ONE_MOMENT = "set transaction isolation level repeatable read, read only"
"""Every part of a report is of the same moment, also while posts come in."""


class NoSuchCommunityError(ExplainedError):
    """The report was asked of a community that was never heard of."""


async def read_report(reader_url: str, community: str | None, now: datetime) -> Report:
    """Read how a community is doing.

    Args:
        reader_url: the database, as the role `klankbord_reader`.
        community: its slug; none where there is only one.
        now: the moment that weeks and due times are seen from.

    Raises:
        NoSuchCommunityError: it was never heard of, or there are several and none was named.
    """
    database = Database(reader_url, "public", pool_size=1)
    await database.connect()
    try:
        async with database.transaction() as connection:
            await connection.execute(ONE_MOMENT)
            return await _Reader(connection, now).report(community)
    except asyncpg.UndefinedTableError:
        raise NoSuchCommunityError(
            "nothing was heard here yet: start the services with `klankbord up`"
        ) from None
    finally:
        await database.close()


class _Reader:
    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._sql = load_queries("klankbord_standalone")

    async def report(self, slug: str | None) -> Report:
        sql, now = self._sql, self._now
        known = _chosen(await self._fetch(sql.fetch_communities), slug)
        community, time_zone = known["community"], known["time_zone"]
        rows = await self._fetch(sql.fetch_weeks, community, MOST_WEEKS + 1)
        weeks = _weeks(rows, now, time_zone)
        last = next((week for week in reversed(weeks) if week.is_over), None)
        since = _midnight(last.first_day if last else now.date(), time_zone)
        until = _midnight(last.first_day + WEEK if last else now.date(), time_zone)
        flags = await self._fetch(sql.fetch_flags, community, since, until)
        urgent = await self._fetch(sql.fetch_most_urgent_cases, community, MOST_URGENT)
        languages = await self._fetch(sql.fetch_languages_of_cases, community)
        return Report(
            community=community,
            name=known["name"],
            time_zone=time_zone,
            now=now,
            is_settled=known["is_settled"],
            totals=Totals(**{name: known[name] for name in Totals.__dataclass_fields__}),
            weeks=weeks,
            key_figure=_key_figure(rows, last, time_zone),
            flags=tuple(FlagReason(**row) for row in flags),
            departments=_departments(await self._fetch(sql.fetch_open_cases, community, now)),
            most_urgent=tuple(Case(**row) for row in urgent),
            languages_of_cases={row["language"]: row["cases"] for row in languages},
            sources=_sources(
                await self._fetch(sql.fetch_sources, community, since),
                await self._fetch(sql.fetch_source_health),
            ),
        )

    async def _fetch(self, sql: str, *arguments: object) -> list[Row]:
        return [dict(row) for row in await self._connection.fetch(sql, *arguments)]


def _chosen(rows: Sequence[Row], slug: str | None) -> Row:
    known = {row["community"]: row for row in rows}
    names = ", ".join(known)
    if slug is None and len(rows) == 1:
        return rows[0]
    if not rows:
        raise NoSuchCommunityError("nothing was heard of any community yet; send a post first")
    if slug is None:
        raise NoSuchCommunityError(f"there are several communities; name one of {names}")
    if slug not in known:
        raise NoSuchCommunityError(f"there is no community {slug!r}; name one of {names}")
    return known[slug]


def _weeks(rows: Sequence[Row], now: datetime, time_zone: str) -> tuple[Week, ...]:
    """The measured weeks without a gap, up to the last whole one, and the running one."""
    measured: dict[date, dict[str, Row]] = {}
    for row in rows:
        first_day = local_day(row["window_start"], time_zone)
        measured.setdefault(first_day, {})[row["metric"]] = row
    if not measured:
        return ()
    running = monday_of(now, time_zone)
    newest = max(measured)
    is_history = newest < running - MOST_WEEKS * WEEK
    end = newest if is_history or newest == running else running - WEEK
    first = max(min(measured), end - MOST_WEEKS * WEEK)
    days = [first + number * WEEK for number in range((end - first) // WEEK + 1)]
    return tuple(_week(day, measured.get(day, {}), is_over=day < running) for day in days)


def _week(first_day: date, metrics: Mapping[str, Row], *, is_over: bool) -> Week:
    def value(metric: str) -> int:
        row = metrics.get(metric)
        return int(row["value"] or 0) if row else 0

    def part(metric: str, name: str) -> int:
        row = metrics.get(metric)
        return int(row["absolute"].get(name, 0)) if row else 0

    response = metrics.get("time-to-first-response")
    return Week(
        first_day=first_day,
        is_over=is_over,
        posts=value("posts"),
        replies=value("replies"),
        contributors=value("contributors"),
        new_contributors=value("new-contributors"),
        interactions=value("interactions"),
        flagged_posts=value("flagged-posts"),
        activity=value("activity"),
        response_seconds=response["value"] if response else None,
        answered=part("time-to-first-response", "answered"),
        unanswered=part("time-to-first-response", "unanswered"),
    )


def _key_figure(rows: Sequence[Row], week: Week | None, time_zone: str) -> KeyFigure | None:
    by_day = {
        local_day(row["window_start"], time_zone): row
        for row in rows
        if row["metric"] == "activity"
    }
    if week is None or (row := by_day.get(week.first_day)) is None:
        return None
    previous = by_day.get(week.first_day - WEEK)
    return KeyFigure(
        value=int(row["value"]),
        previous=int(previous["value"]) if previous else None,
        formula=row["formula"],
        inputs={name: int(number) for name, number in row["absolute"].items()},
    )


def _departments(rows: Sequence[Row]) -> tuple[Department, ...]:
    intents: dict[str, Counter[str]] = {}
    priorities: dict[str, Counter[Priority]] = {}
    past_due: Counter[str] = Counter()
    for row in rows:
        name, cases = row["department"], row["cases"]
        intents.setdefault(name, Counter())[row["intent"]] += cases
        priorities.setdefault(name, Counter())[row["priority"]] += cases
        past_due[name] += row["past_due"]
    departments = [
        Department(
            name=name,
            open_cases=by_intent.total(),
            past_due=past_due[name],
            by_intent=dict(by_intent.most_common()),
            by_priority={one: priorities[name][one] for one in PRIORITIES if priorities[name][one]},
        )
        for name, by_intent in intents.items()
    ]
    return tuple(sorted(departments, key=lambda one: (-one.open_cases, one.name)))


def _sources(measured: Sequence[Row], health: Sequence[Row]) -> tuple[Source, ...]:
    looked_at = {row["source"]: row for row in health}
    posts = {row["source"]: row for row in measured}
    return tuple(
        Source(
            name=name,
            posts=posts[name]["posts"] if name in posts else 0,
            posts_in_week=posts[name]["posts_in_week"] if name in posts else 0,
            is_healthy=looked_at[name]["healthy"] if name in looked_at else None,
            reason=looked_at[name]["reason"] if name in looked_at else None,
            last_success=looked_at[name]["last_success"] if name in looked_at else None,
        )
        for name in dict.fromkeys((*posts, *looked_at))
    )


def _midnight(day: date, time_zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone))
