"""What a community manager wants to know, read from the views that each service publishes.

Growth in absolute numbers, the key figure with its inputs, how soon members were answered, what
was flagged and why, and what went to whom. Nothing here is stored; nothing else is read.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

from klankbord_runtime.db import Connection, Database, load_queries
from klankbord_schemas.feedback import Priority
from klankbord_schemas.post import Severity

MOST_WEEKS = 12
MOST_URGENT = 8
EXACT_DAYS = 4
"""From so many days on, nobody asks for the hours."""

Row: TypeAlias = Mapping[str, Any]
"""A row of a view."""

PRIORITIES: tuple[Priority, ...] = ("critical", "high", "medium", "low")

ONE_MOMENT = "set transaction isolation level repeatable read, read only"
"""Every part of a report is of the same moment, also while posts come in."""

WEEK = timedelta(weeks=1)
DAY = timedelta(days=1)


class NoSuchCommunityError(LookupError):
    """The report was asked of a community that was never heard of."""


@dataclass(frozen=True)
class Totals:
    """How the community stands, since the beginning."""

    posts: int
    replies: int
    contributors: int
    interactions: int
    flagged_posts: int
    open_cases: int
    interactions_by_kind: Mapping[str, int]
    flagged_posts_by_label: Mapping[str, int]
    open_cases_by_department: Mapping[str, int]


@dataclass(frozen=True)
class Week:
    """A calendar week, Monday to Sunday, where the community lives."""

    first_day: date
    is_over: bool
    """Whether it lies wholly in the past."""
    posts: int = 0
    posts_by_bots: int = 0
    replies: int = 0
    contributors: int = 0
    new_contributors: int = 0
    interactions: int = 0
    flagged_posts: int = 0
    activity: int = 0
    """The key figure."""
    response_seconds: float | None = None
    """Median time to the first response; none where nothing was answered."""
    answered: int = 0
    unanswered: int = 0

    @property
    def last_day(self) -> date:
        """Its Sunday."""
        return self.first_day + 6 * DAY


@dataclass(frozen=True)
class KeyFigure:
    """One number for how much is going on, and how it comes about."""

    value: int
    previous: int | None
    """The week before."""
    formula: str
    inputs: Mapping[str, int]

    @property
    def worked_out(self) -> str:
        """The formula with the week's numbers in it: `10 x 98 contributors + …`."""
        formula, *_ = self.formula.split(";")
        names = sorted(self.inputs, key=len, reverse=True)
        spoken = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names) or r"(?!)")
        return spoken.sub(lambda found: f"{self.inputs[found[0]]:,} {found[0]}", formula).replace(
            " x ", " × "
        )

    @property
    def remark(self) -> str:
        """What the formula says of its inputs."""
        _, _, remark = self.formula.partition(";")
        return remark.strip()


@dataclass(frozen=True)
class FlagReason:
    """A rule that spoke, and why."""

    label: str
    rule: str
    severity: Severity
    mode: Literal["live", "shadow"]
    explanation: str
    posts: int
    """Posts that stand and carry its label."""
    posts_in_week: int


@dataclass(frozen=True)
class Department:
    """What a department has open."""

    name: str
    open_cases: int
    past_due: int
    by_intent: Mapping[str, int]
    by_priority: Mapping[str, int]


@dataclass(frozen=True)
class Case:
    """One open case. What was said stands where it was said: the views hold no text."""

    department: str
    intent: str
    priority: Priority
    due_at: datetime
    published: datetime
    source: str
    language: str
    url: str | None


@dataclass(frozen=True)
class Source:
    """A place where the community talks."""

    name: str
    posts: int
    posts_in_week: int
    is_healthy: bool | None
    """None where nobody has to look: a webhook is heard when it speaks."""
    reason: str | None
    last_success: datetime | None


@dataclass(frozen=True)
class Report:
    """How a community is doing."""

    community: str
    name: str
    time_zone: str
    now: datetime
    is_settled: bool
    """Whether everything that was heard is in these numbers."""
    totals: Totals
    weeks: tuple[Week, ...]
    """The last weeks, in order; the running one, if anything was said in it, comes last."""
    key_figure: KeyFigure | None
    """Of the last whole week; none where it was silent."""
    flags: tuple[FlagReason, ...]
    departments: tuple[Department, ...]
    """The one with the most open cases first."""
    most_urgent: tuple[Case, ...]
    languages_of_cases: Mapping[str, int]
    sources: tuple[Source, ...]

    @property
    def last_week(self) -> Week | None:
        """The last whole week."""
        return next((week for week in reversed(self.weeks) if week.is_over), None)

    @property
    def week_before(self) -> Week | None:
        """The whole week before that."""
        whole = [week for week in self.weeks if week.is_over]
        return whole[-2] if len(whole) > 1 else None

    @property
    def is_history(self) -> bool:
        """Whether the last whole week that it knows is not the one that just ended."""
        week = self.last_week
        return week is not None and week.first_day < monday_of(self.now, self.time_zone) - WEEK

    @property
    def live_flags(self) -> tuple[FlagReason, ...]:
        """What was flagged."""
        return tuple(flag for flag in self.flags if flag.mode == "live")

    @property
    def shadow_flags(self) -> tuple[FlagReason, ...]:
        """What rules that do not act would have flagged."""
        return tuple(flag for flag in self.flags if flag.mode == "shadow")

    @property
    def past_due(self) -> int:
        """Open cases whose answer was due before now."""
        return sum(department.past_due for department in self.departments)

    @property
    def sentence(self) -> str:
        """How it goes, in one sentence."""
        week, before = self.last_week, self.week_before
        if week is None:
            return "There is no whole week of posts yet: come back on Monday."
        when = f"in the week of {spelled(week.first_day)}" if self.is_history else "last week"
        if not week.posts:
            return f"Nobody wrote {when}."
        said = f"{counted(week.posts, 'post')} {when}"
        if before is not None:
            said += f", {compared(week.posts, before.posts)} the week before"
        people = f"{counted(week.contributors, 'person', 'people')} wrote"
        new = f", {week.new_contributors:,} of them for the first time"
        return f"{said}: {people}{new if week.new_contributors else ''}."


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
        posts_by_bots=part("posts", "automated"),
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


def monday_of(moment: datetime, time_zone: str) -> date:
    """The Monday of the week that the moment is in, where the community lives."""
    day = local_day(moment, time_zone)
    return day - day.weekday() * DAY


def local_day(moment: datetime, time_zone: str) -> date:
    """The day that the moment is in, where the community lives."""
    return moment.astimezone(ZoneInfo(time_zone)).date()


def _midnight(day: date, time_zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone))


def spelled(day: date) -> str:
    """A day as one says it: `9 November 2026`."""
    return f"{day.day} {day:%B %Y}"


def span(week: Week) -> str:
    """The days of a week: `9–15 November 2026`, `28 September – 4 October 2026`."""
    first, last = week.first_day, week.last_day
    if first.month == last.month:
        return f"{first.day}–{spelled(last)}"
    year = f" {first.year}" if first.year != last.year else ""
    return f"{first.day} {first:%B}{year} – {spelled(last)}"


def shortly(day: date) -> str:
    """A day for a narrow column: `9 Nov`."""
    return f"{day.day} {day:%b}"


def local(moment: datetime, time_zone: str, rest: str = "%Y %H:%M") -> str:
    """A moment where the community lives: `9 Nov 2026 14:05`, or the day and another rest."""
    there = moment.astimezone(ZoneInfo(time_zone))
    return f"{shortly(there.date())} {there.strftime(rest)}"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 post`, `412 posts`, `2 people`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def compared(number: int, before: int) -> str:
    """`38 more than`, `5 fewer than`, `as many as`."""
    if number == before:
        return "as many as"
    return f"{abs(number - before):,} {'more' if number > before else 'fewer'} than"


def lasting(seconds: float) -> str:
    """A length of time, as exact as one needs it: `45 s`, `1 h 20 min`, `2 d 3 h`, `9 d`."""
    if seconds < 60:
        return f"{int(seconds)} s"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days >= EXACT_DAYS:
        return f"{days} d"
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"
