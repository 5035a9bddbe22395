"""The metrics: what each counts, in which unit, and how its value follows from absolute numbers.

A metric's `absolute` holds counts and, for the response time, the median itself; `value` needs
nothing else. So whoever has a measurement can work it out again by hand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from klankbord_schemas import Measurement, Window

Absolute = Mapping[str, float]

MOST_NAMES = 50
"""How many absolute numbers a measurement may hold (`Measurement.absolute`)."""


@dataclass(frozen=True)
class Numbers:
    """What was counted in one window, over one source or over the whole community.

    A post that was deleted is not counted, nor is whoever wrote nothing but deleted posts.
    """

    posts_by_people: int = 0
    posts_automated: int = 0
    replies_by_people: int = 0
    replies_automated: int = 0
    contributors: int = 0
    new_contributors: int = 0
    flagged_posts: int = 0
    answered: int = 0
    response_seconds: float | None = None
    """The median; none where nothing was answered."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """Flagged posts by label; a post may carry several."""
    open_cases: Mapping[str, int] = field(default_factory=dict)
    """Open cases by department."""
    interactions: Mapping[str, int] = field(default_factory=dict)
    """What people did, by kind."""

    @property
    def openings(self) -> int:
        """Posts by people that open a thread."""
        return self.posts_by_people - self.replies_by_people

    @property
    def reactions(self) -> int:
        """What takes a member a click and says something to another: likes, shares, follows."""
        return sum(self.interactions.get(kind, 0) for kind in ("like", "share", "follow"))


NOTHING = Numbers()


@dataclass(frozen=True)
class Metric:
    """One metric."""

    slug: str
    unit: str
    formula: str
    """How the value follows from the absolute numbers, for a reader."""
    absolute: Callable[[Numbers], Absolute]
    """The absolute numbers that it is made of."""
    value: Callable[[Absolute], float | None]
    """Its value, from those and nothing else; none where there was nothing to measure."""
    adds_up: bool = False
    """Whether the days of a community add up to its total."""


def _sum(absolute: Absolute) -> float:
    return sum(absolute.values())


def _activity(absolute: Absolute) -> float:
    return (
        10 * absolute["contributors"]
        + 5 * absolute["replies"]
        + 3 * absolute["openings"]
        + absolute["reactions"]
    )


def _response(numbers: Numbers) -> Absolute:
    counts = {
        "answered": float(numbers.answered),
        "unanswered": float(numbers.openings - numbers.answered),
    }
    if numbers.response_seconds is None:
        return counts
    return counts | {"median": numbers.response_seconds}


def _named(counts: Mapping[str, int]) -> Absolute:
    """The counts by name; of more than a measurement may hold, the smallest are one: `other`."""
    ranked = sorted(counts.items(), key=lambda count: (-count[1], count[0]))
    if len(ranked) <= MOST_NAMES:
        return dict(sorted(counts.items()))
    named = dict(ranked[: MOST_NAMES - 1])
    rest = sum(number for _, number in ranked[MOST_NAMES - 1 :])
    return named | {"other": named.get("other", 0) + rest}


METRICS: tuple[Metric, ...] = (
    Metric(
        "posts",
        "posts",
        "by-people + automated; posts that were deleted do not count",
        lambda n: {"by-people": n.posts_by_people, "automated": n.posts_automated},
        _sum,
        adds_up=True,
    ),
    Metric(
        "replies",
        "posts",
        "by-people + automated; posts in a thread that another post opened",
        lambda n: {"by-people": n.replies_by_people, "automated": n.replies_automated},
        _sum,
        adds_up=True,
    ),
    Metric(
        "contributors",
        "people",
        "contributors; different people who wrote a post, bots excluded",
        lambda n: {"contributors": n.contributors},
        _sum,
    ),
    Metric(
        "new-contributors",
        "people",
        "new-contributors; people whose first post in the community this was, bots excluded",
        lambda n: {"new-contributors": n.new_contributors},
        _sum,
        adds_up=True,
    ),
    Metric(
        "interactions",
        "interactions",
        "the sum of all kinds, bots excluded",
        lambda n: _named(n.interactions),
        _sum,
        adds_up=True,
    ),
    Metric(
        "time-to-first-response",
        "seconds",
        "median, from a post that opens a thread to the first reply by another person, bots "
        "excluded, over the answered ones of this window",
        _response,
        lambda absolute: absolute.get("median"),
    ),
    Metric(
        "flagged-posts",
        "posts",
        "flagged-posts; posts of this window whose latest version carries a live label",
        lambda n: {"flagged-posts": n.flagged_posts},
        _sum,
        adds_up=True,
    ),
    Metric(
        "labels",
        "labels",
        "the sum of all live labels on the posts of this window; a post may carry several",
        lambda n: _named(n.labels),
        _sum,
        adds_up=True,
    ),
    Metric(
        "open-cases",
        "cases",
        "the sum of all departments: posts of this window that were routed and not withdrawn",
        lambda n: _named(n.open_cases),
        _sum,
        adds_up=True,
    ),
    Metric(
        "activity",
        "points",
        "10 x contributors + 5 x replies + 3 x openings + reactions; replies and openings by "
        "people, reactions are likes, shares and follows",
        lambda n: {
            "contributors": n.contributors,
            "replies": n.replies_by_people,
            "openings": n.openings,
            "reactions": n.reactions,
        },
        _activity,
    ),
)
"""The catalogue."""

ADDING_UP = frozenset(metric.slug for metric in METRICS if metric.adds_up)


class Measured(NamedTuple):
    """What a metric was when it was measured last."""

    value: float | None
    absolute: Absolute
    revision: int
    time_zone: str


class Series(NamedTuple):
    """One metric over one source of a community, or over the whole of it (None)."""

    source: str | None
    metric: str


def changes(
    community: str,
    window: Window,
    counted: Mapping[str | None, Numbers],
    measured: Mapping[Series, Measured],
    previous: Mapping[Series, float | None],
) -> list[Measurement]:
    """The measurements of a window that differ from what was measured last, one revision on.

    A window in which a metric is zero, and always was, has no measurement of it.

    Args:
        community: whose window it is.
        window: what was counted.
        counted: the numbers by source; None is the whole community.
        measured: what was measured last of this window.
        previous: the values of the window before.
    """
    found: list[Measurement] = []
    sources = set(counted) | {series.source for series in measured}
    for source in sorted(sources, key=lambda source: source or ""):
        numbers = counted.get(source, NOTHING)
        for metric in METRICS:
            series = Series(source, metric.slug)
            last = measured.get(series)
            absolute = metric.absolute(numbers)
            value = metric.value(absolute)
            if not (_differs(last, value, absolute, window) if last else any(absolute.values())):
                continue
            found.append(
                Measurement(
                    community=community,
                    metric=metric.slug,
                    window=window,
                    source=source,
                    value=value,
                    unit=metric.unit,
                    absolute=dict(absolute),
                    formula=metric.formula,
                    previous=previous.get(series),
                    revision=last.revision + 1 if last else 1,
                )
            )
    return found


def _differs(last: Measured, value: float | None, absolute: Absolute, window: Window) -> bool:
    return (last.value, last.absolute, last.time_zone) != (value, absolute, window.time_zone)


class Share(NamedTuple):
    """What a change adds to a community's total of a metric, or to one part of it."""

    community: str
    metric: str
    part: str
    """The name of an absolute number; empty for the total of the values."""
    number: int


def shares(change: Measurement, last: Measured | None) -> list[Share]:
    """What a change adds to the community's all-time totals, negative where it takes away.

    Only days of the whole community count, and only metrics whose days add up. What was last
    measured in another time zone was taken out of the totals when the zone changed.
    """
    if change.source or change.window.grain != "day" or change.metric not in ADDING_UP:
        return []
    now = {**change.absolute, "": change.value or 0}
    then: dict[str, float] = {}
    if last and last.time_zone == change.window.time_zone:
        then = {**last.absolute, "": last.value or 0}
    differences = {part: now.get(part, 0) - then.get(part, 0) for part in {**now, **then}}
    return [
        Share(change.community, change.metric, part, int(number))
        for part, number in differences.items()
        if number
    ]
