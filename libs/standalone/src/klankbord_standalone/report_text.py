"""The report in a terminal of 80 columns; nothing is said by colour alone."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from klankbord_standalone.report import Department, FlagReason, Report, Week, local_day
from klankbord_standalone.words import (
    LANGUAGE_NAMES,
    compared,
    counted,
    intents_listed,
    lasting,
    listed,
    local,
    printable,
    shortly,
)

BAR = 18
"""The longest bar, in characters."""
EIGHTHS = " ▏▎▍▌▋▊▉█"


def render_text(report: Report, out: Console) -> None:
    """Print the report."""
    out.print()
    out.print(_text(report.name, style="bold"))
    out.print(_text(report.sentence))
    if not report.is_settled:
        out.print(_text("Some of what was heard is still being counted."))
    _growth(report, out)
    _activity(report, out)
    _cases(report, out)
    _flags(report, out)
    _languages(report, out)
    _sources(report, out)


def _growth(report: Report, out: Console) -> None:
    if not report.weeks:
        return
    _heading("Week by week", out)
    highest = max(1, *(week.posts for week in report.weeks))
    _table(
        ["Week of", "Posts", "", "People", "New", "Replies", "Interactions"],
        [_week(week, highest) for week in report.weeks],
        out,
        numbers={1, 3, 4, 5, 6},
    )


def _week(week: Week, highest: int) -> list[str]:
    counts = (week.contributors, week.new_contributors, week.replies, week.interactions)
    return [
        f"{shortly(week.first_day)}{'' if week.is_over else ' so far'}",
        f"{week.posts:,}",
        bar(week.posts, highest),
        *(f"{count:,}" for count in counts),
    ]


def bar(number: int, highest: int, longest: int = BAR) -> str:
    """A bar as long as its share of the highest, to an eighth of a character."""
    eighths = round(longest * 8 * number / highest) if highest else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _activity(report: Report, out: Console) -> None:
    figure, week, before = report.key_figure, report.last_week, report.week_before
    if figure is not None:
        _heading("Activity", out)
        previous = figure.previous
        change = f", {compared(figure.value, previous)} the week before" if previous else ""
        out.print(_text(f"{figure.value:,} points last week{change}"))
        out.print(_text(f"= {figure.worked_out}"))
    if week is not None and week.response_seconds is not None:
        was = before.response_seconds if before else None
        change = f" ({lasting(was)} the week before)" if was is not None else ""
        opened = week.answered + week.unanswered
        _heading("First answers", out)
        out.print(
            _text(
                f"Half of those who were answered waited no longer than "
                f"{lasting(week.response_seconds)}{change}; "
                f"{week.answered:,} of {counted(opened, 'conversation')} were answered."
            )
        )


def _cases(report: Report, out: Console) -> None:
    _heading(f"What went to whom: {counted(report.totals.open_cases, 'open case')}", out)
    if not report.departments:
        return
    most = max(department.open_cases for department in report.departments)
    _table(
        ["Department", "Open", "", "Past due", "What they are"],
        [_department(department, most) for department in report.departments],
        out,
        numbers={1, 3},
    )
    out.print(_text("\nThe most urgent:"))
    _table(
        ["Priority", "Due", "What", "For", "Language", "Said"],
        [
            [
                case.priority,
                local(case.due_at, report.time_zone, "%H:%M"),
                case.intent,
                case.department,
                LANGUAGE_NAMES.get(case.language, case.language),
                f"{case.source}, {shortly(local_day(case.published, report.time_zone))}",
            ]
            for case in report.most_urgent
        ],
        out,
    )


def _department(department: Department, most: int) -> list[str]:
    return [
        department.name,
        f"{department.open_cases:,}",
        bar(department.open_cases, most, BAR // 2),
        f"{department.past_due:,}",
        intents_listed(department.by_intent),
    ]


def _flags(report: Report, out: Console) -> None:
    flagged = report.totals.flagged_posts
    _heading(f"What was flagged, and why: {counted(flagged, 'post')}", out)
    _flag_table(report.live_flags, out)
    if report.shadow_flags:
        out.print(_text("\nOnly watched; shadow rules do not act:"))
        _flag_table(report.shadow_flags, out)


def _flag_table(flags: Sequence[FlagReason], out: Console) -> None:
    if flags:
        _table(
            ["Posts", "Label", "Severity", "Why (and the rule that says so)"],
            [
                [
                    f"{flag.posts:,}",
                    flag.label,
                    flag.severity,
                    f"{flag.explanation} ({flag.rule})",
                ]
                for flag in flags
            ],
            out,
            numbers={0},
        )


def _languages(report: Report, out: Console) -> None:
    if report.languages_of_cases:
        _heading("Languages of the open cases", out)
        names = {
            LANGUAGE_NAMES.get(tag, tag): cases for tag, cases in report.languages_of_cases.items()
        }
        out.print(_text(listed(names)))


def _sources(report: Report, out: Console) -> None:
    _heading("Sources", out)
    for source in report.sources:
        line = f"{source.name}: {counted(source.posts, 'post')}, {source.posts_in_week:,} last week"
        if source.is_healthy is False:
            line += f"; not heard: {source.reason or 'no reason known'}"
        out.print(_text(line))


def _heading(text: str, out: Console) -> None:
    out.print()
    out.print(_text(text, style="bold"))


def _text(words: str, style: str = "") -> Text:
    """Words that are words, whatever they look like to rich or to the terminal."""
    return Text(printable(words), style)


def _table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    out: Console,
    numbers: frozenset[int] | set[int] = frozenset(),
) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, header_style="dim")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place in numbers else "left")
    for row in rows:
        table.add_row(*map(_text, row))
    out.print(table)
