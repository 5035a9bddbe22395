"""The report as one page: no script, nothing from elsewhere, to mail to whoever asks."""

from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, SubElement, tostring

from klankbord_standalone.html import Cell, classed, element, foreign, table
from klankbord_standalone.report import Case, Department, FlagReason, Report, Source, Week
from klankbord_standalone.words import (
    LANGUAGE_NAMES,
    compared,
    counted,
    intents_listed,
    lasting,
    listed,
    local,
    shortly,
    span,
    spelled,
)

LINKED = ("https", "http")


class Shape(NamedTuple):
    """How large a chart is drawn, in the size of its letters; the page shows the one that fits."""

    name: str
    width: int
    height: int


SHAPES = (Shape("wide", 960, 240), Shape("narrow", 340, 220))
ABOVE_BARS, BELOW_BARS = 28, 26
BETWEEN_BARS = 0.28
"""The share of a bar's place that is left free."""
NARROWEST_LABEL = 52
"""Where bars stand closer, every second one has its date."""


def render_html(report: Report) -> str:
    """The report as an HTML page of its own."""
    page = element("html", {"lang": "en"}, _head(report), _body(report))
    return f"<!DOCTYPE html>\n{tostring(page, encoding='unicode', method='html')}\n"


def _head(report: Report) -> Element:
    style = element("style")
    style.text = files(__package__).joinpath("report_html.css").read_text("utf-8")
    return element(
        "head",
        {},
        element("meta", {"charset": "utf-8"}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "referrer", "content": "no-referrer"}),
        element(
            "meta",
            {
                "http-equiv": "Content-Security-Policy",
                "content": "default-src 'none'; style-src 'unsafe-inline'",
            },
        ),
        element("title", {}, f"{report.name}: how the community is doing"),
        style,
    )


def _body(report: Report) -> Element:
    return element(
        "body",
        {},
        element(
            "div",
            {"class": "page"},
            _header(report),
            element(
                "main",
                {},
                _growth(report),
                classed("div", "pair", _key_figure(report), _answers(report)),
                _departments(report),
                _moderation(report),
                classed("div", "pair", _languages(report), _sources(report)),
            ),
            _footer(report),
        ),
    )


def _section(title: str, why: str, *children: Element | None, name: str = "") -> Element:
    identity = title.lower().replace(" ", "-")
    return element(
        "section",
        {"aria-labelledby": identity, **({"class": name} if name else {})},
        element("h2", {"id": identity}, title),
        classed("p", "why", why),
        *children,
    )


# ── How it goes ──────────────────────────────────────────────────────────────────────────────────


def _header(report: Report) -> Element:
    week = report.last_week
    when = f" · {span(week.first_day, week.last_day)}" if week else ""
    return element(
        "header",
        {},
        classed("p", "eyebrow", element("b", {}, foreign(report.name)), when),
        element("h1", {}, report.sentence),
        classed("p", "lead", _lead(report)),
        _figures(report) if week else None,
    )


def _lead(report: Report) -> str:
    sentences = []
    week = report.last_week
    if week and week.response_seconds is not None:
        soon = lasting(week.response_seconds)
        sentences.append(f"Half of those who were answered had to wait no longer than {soon}.")
    flagged = sum(flag.posts_in_week for flag in report.live_flags)
    if week:
        sentences.append(
            f"{counted(week.flagged_posts, 'post').capitalize()} of that week "
            f"{'is' if week.flagged_posts == 1 else 'are'} flagged."
            if flagged
            else "Nothing of that week is flagged."
        )
    cases = counted(report.totals.open_cases, "case")
    sentences.append(f"The departments have {cases} open.")
    if not report.is_settled:
        sentences.append("Some of what was heard is still being counted.")
    return " ".join(sentences)


def _figures(report: Report) -> Element:
    week, before = report.last_week, report.week_before
    assert week is not None
    whole = [one for one in report.weeks if one.is_over]
    figures = element("dl", {"class": "figures"})
    for label, name in (
        ("Posts", "posts"),
        ("People who wrote", "contributors"),
        ("For the first time", "new_contributors"),
        ("Interactions", "interactions"),
    ):
        values = [getattr(one, name) for one in whole]
        change = f"{compared(values[-1], values[-2])} the week before" if before else "first week"
        figures.append(
            element(
                "div",
                {},
                element("dt", {}, label),
                classed("dd", "value", f"{values[-1]:,}"),
                classed("dd", "change", change),
                classed("dd", "trend", _spark(values, label)),
            )
        )
    return figures


def _spark(values: Sequence[int], label: str) -> Element:
    highest = max(*values, 1) if values else 1
    step = 100 / max(len(values) - 1, 1)
    points = [f"{step * x:.1f},{30 - 28 * y / highest:.1f}" for x, y in enumerate(values)]
    said = f"{label} by week: {', '.join(f'{value:,}' for value in values)}"
    drawing = element(
        "svg",
        {
            "class": "spark", "viewBox": "-1 0 102 32", "preserveAspectRatio": "none",
            "role": "img", "aria-label": said,
        },
    )  # fmt: skip
    SubElement(drawing, "path", {"d": f"M{' L'.join(points)}"})
    return drawing


# ── Growth ───────────────────────────────────────────────────────────────────────────────────────


def _growth(report: Report) -> Element:
    if not report.weeks:
        return _section("Growth", "Nothing was measured yet.")
    totals = report.totals
    return _section(
        "Growth",
        f"{counted(totals.posts, 'post')} by {counted(totals.contributors, 'person', 'people')} "
        f"since the beginning, {totals.replies:,} of them replies, and "
        f"{counted(totals.interactions, 'interaction')}.",
        *(_bars(report.weeks, shape) for shape in SHAPES),
        table(
            "Week by week, the newest first.",
            ["Week", "Posts", "Replies", "People", "New", "Interactions", "Flagged", "Activity"],
            [_week_row(week) for week in reversed(report.weeks)],
            numbers=7,
        ),
        name="long",
    )


def _week_row(week: Week) -> list[Cell]:
    numbers = (
        week.posts, week.replies, week.contributors, week.new_contributors,
        week.interactions, week.flagged_posts, week.activity,
    )  # fmt: skip
    so_far = "" if week.is_over else " so far"
    return [("nowrap", f"{shortly(week.first_day)}{so_far}"), *(("n", f"{n:,}") for n in numbers)]


def _bars(weeks: Sequence[Week], shape: Shape) -> Element:
    """Posts by week as bars, each with its number and its Monday."""
    highest = max(1, *(week.posts for week in weeks))
    slot = shape.width / len(weeks)
    floor = shape.height - BELOW_BARS
    said = ", ".join(f"{spelled(week.first_day)}: {week.posts:,}" for week in weeks)
    drawing = element(
        "svg",
        {
            "class": f"chart {shape.name}",
            "viewBox": f"0 0 {shape.width} {shape.height}",
            "role": "img",
            "aria-label": f"Posts in the week of {said}",
        },
    )
    newest = max((place for place, week in enumerate(weeks) if week.is_over), default=-1)
    for place, week in enumerate(weeks):
        height = (floor - ABOVE_BARS) * week.posts / highest
        state = " last" if place == newest else "" if week.is_over else " running"
        bar = {
            "class": f"bar{state}",
            "x": f"{slot * (place + BETWEEN_BARS / 2):.1f}",
            "y": f"{floor - height:.1f}",
            "width": f"{slot * (1 - BETWEEN_BARS):.1f}",
            "height": f"{height:.1f}",
            "rx": "3",
        }
        SubElement(drawing, "rect", bar)
        middle = {"x": f"{slot * (place + 0.5):.1f}", "text-anchor": "middle"}
        number = {"class": "number", "y": f"{floor - height - 8:.1f}"}
        SubElement(drawing, "text", middle | number).text = f"{week.posts:,}"
        if slot >= NARROWEST_LABEL or (newest - place) % 2 == 0:
            label = {"y": str(shape.height - 6)}
            SubElement(drawing, "text", middle | label).text = shortly(week.first_day)
    rule = {"x1": "0", "x2": str(shape.width), "y1": str(floor), "y2": str(floor)}
    SubElement(drawing, "line", {"class": "rule", **rule})
    return drawing


# ── The key figure, and how soon members are answered ────────────────────────────────────────────


def _key_figure(report: Report) -> Element:
    figure = report.key_figure
    if figure is None:
        return _section("Activity", "The key figure: there is nothing to make it of yet.")
    change = (
        f"{compared(figure.value, figure.previous)} the week before"
        if figure.previous is not None
        else "the first week that was measured"
    )
    return _section(
        "Activity",
        "The key figure: one number for how much is going on, with everything it is made of.",
        classed("p", "big", f"{figure.value:,}"),
        classed("p", "soft", f"points, {change}"),
        classed("p", "sum", figure.worked_out),
        classed("p", "soft small", f"{figure.remark[:1].upper()}{figure.remark[1:]}.")
        if figure.remark
        else None,
    )


def _answers(report: Report) -> Element:
    title, week = "First answers", report.last_week
    if week is None or week.response_seconds is None:
        return _section(title, "Nobody was answered in the last whole week.")
    before = report.week_before
    was = before.response_seconds if before else None
    change = f"; {lasting(was)} the week before" if was is not None else ""
    opened = week.answered + week.unanswered
    return _section(
        title,
        "How long a member waits until another person answers. Bots do not count.",
        classed("p", "big", lasting(week.response_seconds)),
        classed("p", "soft", f"half of them had theirs sooner{change}"),
        classed(
            "p",
            "sum",
            f"{week.answered:,} of {counted(opened, 'conversation')} were answered, "
            f"{week.unanswered:,} {'was' if week.unanswered == 1 else 'were'} not.",
        ),
        _share(week.answered, opened),
    )


def _share(part: int, whole: int) -> Element:
    width = 100 * part / whole if whole else 0
    return element(
        "span",
        {"class": "share", "aria-hidden": "true"},
        element("i", {"style": f"width:{width:.1f}%"}),
    )


# ── What went to whom ────────────────────────────────────────────────────────────────────────────


def _departments(report: Report) -> Element:
    title = "What members say, and to whom it went"
    if not report.departments:
        return _section(title, "No department has an open case.")
    most = max(department.open_cases for department in report.departments)
    return _section(
        title,
        f"{counted(report.totals.open_cases, 'open case').capitalize()}: posts that were carried "
        "to a department and not withdrawn since. A case stays open until its post is changed, "
        "deleted or flagged.",
        table(
            "Open cases by department.",
            ["Department", "Open", "Past due", "What they are", "How urgent"],
            [_department_row(department, most) for department in report.departments],
            numbers=2,
            cards=True,
        ),
        element("h3", {}, "The most urgent"),
        table(
            "By priority, the latest due first. What was said stands where it was said.",
            ["Priority", "Due", "What", "For", "Language", "Where"],
            [_case_row(case, report) for case in report.most_urgent],
            cards=True,
        ),
        name="long",
    )


def _department_row(department: Department, most: int) -> list[Cell]:
    name = element("span", {}, department.name.capitalize(), _share(department.open_cases, most))
    return [
        ("", name),
        ("n", f"{department.open_cases:,}"),
        ("n", f"{department.past_due:,}"),
        ("wide", intents_listed(department.by_intent)),
        ("wide", listed(department.by_priority)),
    ]


def _case_row(case: Case, report: Report) -> list[Cell]:
    left = (case.due_at - report.now).total_seconds()
    when = f"in {lasting(left)}" if left > 0 else f"{lasting(-left)} ago"
    due = local(case.due_at, report.time_zone, "%H:%M")
    return [
        ("", classed("span", f"tag {case.priority}", case.priority)),
        ("", element("span", {}, f"{due}, ", classed("span", "nowrap", when))),
        ("", case.intent),
        ("", case.department),
        ("", LANGUAGE_NAMES.get(case.language, case.language)),
        ("", _place(case, report.time_zone)),
    ]


def _place(case: Case, time_zone: str) -> Element:
    said = f"{case.source}, {local(case.published, time_zone, '%H:%M')}"
    if case.url is None or urlsplit(case.url).scheme not in LINKED:
        return element("span", {}, said)
    of = f"{case.priority} {case.intent} in {said}"
    return element("a", {"href": case.url, "rel": "noreferrer", "aria-label": of}, said)


# ── What was flagged ─────────────────────────────────────────────────────────────────────────────


def _moderation(report: Report) -> Element:
    title = "What was flagged, and why"
    if not report.flags:
        return _section(title, "Nothing. No rule of the policy found anything.")
    labels = dict(Counter(report.totals.flagged_posts_by_label).most_common())
    in_all = counted(report.totals.flagged_posts, "post")
    of_which = f": {listed(labels)}" if labels else ""
    shadow = report.shadow_flags
    return _section(
        title,
        f"{in_all} {'stands' if report.totals.flagged_posts == 1 else 'stand'} flagged{of_which}. "
        "A post may carry several labels.",
        _flag_table("By the rule that spoke.", report.live_flags),
        element("h3", {}, "Only watched") if shadow else None,
        _flag_table("Shadow rules do not act. They show what they would do.", shadow),
        name="long",
    )


def _flag_table(caption: str, flags: Sequence[FlagReason]) -> Element | None:
    if not flags:
        return None
    return table(
        caption,
        ["Label", "Posts", "Last week", "Severity", "Why", "Rule"],
        [
            [
                ("nowrap", flag.label),
                ("n", f"{flag.posts:,}"),
                ("n", f"{flag.posts_in_week:,}"),
                ("", classed("span", f"tag {flag.severity}", flag.severity)),
                ("wide", foreign(flag.explanation)),
                ("soft", flag.rule),
            ]
            for flag in flags
        ],
        numbers=2,
        cards=True,
    )


# ── Languages and sources ────────────────────────────────────────────────────────────────────────


def _languages(report: Report) -> Element:
    title = "Languages"
    if not report.languages_of_cases:
        return _section(title, "No case is open in any language.")
    everything = sum(report.languages_of_cases.values())
    rows: list[list[Cell]] = [
        [
            ("", element("span", {}, LANGUAGE_NAMES.get(tag, tag), _share(cases, everything))),
            ("n", f"{cases:,}"),
        ]
        for tag, cases in report.languages_of_cases.items()
    ]
    return _section(
        title,
        "What the open cases are written in: who has to be able to answer.",
        table("Open cases by language.", ["Language", "Cases"], rows, numbers=1),
    )


def _sources(report: Report) -> Element:
    title = "Sources"
    if not report.sources:
        return _section(title, "No source has said anything yet.")
    rows: list[list[Cell]] = [
        [
            ("", source.name),
            ("n", f"{source.posts:,}"),
            ("n", f"{source.posts_in_week:,}"),
            (
                "wide warn" if source.is_healthy is False else "wide",
                foreign(_health(source, report)),
            ),
        ]
        for source in report.sources
    ]
    return _section(
        title,
        "Where the community talks, and whether we can hear it.",
        table("Posts by source.", ["Source", "Posts", "Last week", "Health"], rows, numbers=2),
    )


def _health(source: Source, report: Report) -> str:
    if source.is_healthy is None:
        return "sends by itself"
    if source.is_healthy:
        return "heard"
    since = (
        f", last heard {local(source.last_success, report.time_zone)}"
        if source.last_success
        else ", never heard"
    )
    return f"{source.reason or 'not heard'}{since}"


def _footer(report: Report) -> Element:
    return element(
        "footer",
        {},
        element(
            "p",
            {},
            f"Made by Klankbord on {local(report.now, report.time_zone)}, {report.time_zone}. "
            "Weeks run from Monday to Sunday there. Posts that were deleted do not count; the "
            "posts of bots count as posts, and bots as nobody. Members are counted by pseudonym: "
            "this page holds no names and none of their words.",
        ),
    )
