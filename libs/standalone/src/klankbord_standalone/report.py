"""What a community manager wants to know.

Growth in absolute numbers, the key figure with its inputs, how soon members were answered, what
was flagged and why, and what went to whom.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from klankbord_schemas.feedback import Priority
from klankbord_schemas.post import Severity
from klankbord_standalone.words import compared, counted, spelled

WEEK = timedelta(weeks=1)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Totals:
    """How the community stands, since the beginning."""

    posts: int
    replies: int
    contributors: int
    interactions: int
    flagged_posts: int
    open_cases: int
    flagged_posts_by_label: Mapping[str, int]


@dataclass(frozen=True)
class Week:
    """A calendar week, Monday to Sunday, where the community lives."""

    first_day: date
    is_over: bool
    """Whether it lies wholly in the past."""
    posts: int = 0
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


def monday_of(moment: datetime, time_zone: str) -> date:
    """The Monday of the week that the moment is in, where the community lives."""
    day = local_day(moment, time_zone)
    return day - day.weekday() * DAY


def local_day(moment: datetime, time_zone: str) -> date:
    """The day that the moment is in, where the community lives."""
    return moment.astimezone(ZoneInfo(time_zone)).date()
