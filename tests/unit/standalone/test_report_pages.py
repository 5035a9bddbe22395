"""The report as a page and in a terminal: whatever posts, sources and policies say stays text."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from importlib.resources import files
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from klankbord_standalone.report import (
    Case,
    Department,
    FlagReason,
    KeyFigure,
    Report,
    Source,
    Totals,
    Week,
)
from klankbord_standalone.report_html import render_html
from klankbord_standalone.report_text import bar, render_text

SCRIPT = "<script>alert('x')</script><img src=https://evil.example/p.png onerror=alert(1)>"
RIGHT_TO_LEFT = "\u202eمرحبا بالعالم, reversed"
LONG = "https://very.long.example/" + "x" * 500
HOSTILE = f"{SCRIPT} {RIGHT_TO_LEFT} {LONG} [bold]markup[/bold] \x07"
NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
CHROMIUM = Path("/usr/bin/chromium")


def week(number: int) -> Week:
    return Week(
        first_day=date(2026, 8, 31) + timedelta(weeks=number),
        is_over=number < 11,
        posts=1_000 * number,
        contributors=100 * number,
        new_contributors=number,
        interactions=7,
        activity=5_000,
        response_seconds=2_000.0,
        answered=5,
        unanswered=1,
    )


def report(words: str = "ordinary", url: str | None = "https://forum.example/t/1") -> Report:
    case = Case("product", words, "critical", NOW, NOW, words, "nl", url)
    return Report(
        community="kwint",
        name=words,
        time_zone="Europe/Amsterdam",
        now=NOW,
        is_settled=False,
        totals=Totals(9, 8, 7, 6, 5, 4, {"spam": 5}),
        weeks=tuple(week(number) for number in range(12)),
        key_figure=KeyFigure(70, 60, "10 x contributors", {"contributors": 7}),
        flags=(
            FlagReason("spam", "rule", "high", "live", words, 5, 1),
            FlagReason("doxxing", "rule", "low", "shadow", words, 1, 0),
        ),
        departments=(Department("product", 4, 1, {words: 4}, {"critical": 4}),),
        most_urgent=(case,),
        languages_of_cases={"nl": 3, words: 1},
        sources=(Source(words, 9, 1, is_healthy=False, reason=words, last_success=NOW),),
    )


EMPTY = replace(
    report(),
    totals=Totals(0, 0, 0, 0, 0, 0, {}),
    weeks=(),
    key_figure=None,
    flags=(),
    departments=(),
    most_urgent=(),
    languages_of_cases={},
    sources=(),
)


class Page(HTMLParser):
    """Every element with its attributes, and the text outside style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._in_style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_style else data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_hostile_words_stay_words() -> None:
    page = Page(render_html(report(HOSTILE, url="javascript:alert(1)")))
    assert not {"script", "img", "iframe", "object", "link"} & {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name[:2] == "on"]
    assert SCRIPT in page.text
    assert "\x07" not in page.text
    assert page.named("a") == []


def test_a_post_is_linked_where_it_has_a_web_address() -> None:
    (link,) = Page(render_html(report())).named("a")
    assert link["href"] == "https://forum.example/t/1"
    assert link["rel"] == "noreferrer"


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = render_html(report())
    parsed = Page(page)
    assert not [a for _, a in parsed.elements if "src" in a or "srcset" in a]
    assert "@import" not in page
    assert "url(" not in page
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in parsed.named("meta"))


@pytest.mark.parametrize("shown", [report(), report(HOSTILE), EMPTY])
def test_the_page_can_be_read_without_seeing_it(shown: Report) -> None:
    page = Page(render_html(shown))
    assert page.named("html") == [{"lang": "en"}]
    tags = [tag for tag, _ in page.elements]
    assert [tags.count(tag) for tag in ("main", "header", "footer", "h1", "title")] == [1] * 5
    assert tags.count("caption") == tags.count("table")
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.named("svg"))
    names = [attributes.get("id") for attributes in page.named("h2")]
    assert [section["aria-labelledby"] for section in page.named("section")] == names
    assert len(set(names)) == len(names)
    assert all(heading["scope"] in {"col", "row"} for heading in page.named("th"))


def test_headings_never_skip_a_level() -> None:
    levels = [int(tag[1]) for tag, _ in Page(render_html(report())).elements if tag in HEADINGS]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


HEADINGS = {"h1", "h2", "h3"}


def test_the_same_report_gives_the_same_page() -> None:
    assert render_html(report()) == render_html(report())


def test_every_colour_of_text_has_enough_contrast() -> None:
    css = files("klankbord_standalone").joinpath("report_html.css").read_text("utf-8")
    light, dark, paper = (dict(colours(block)) for block in re.findall(r":root \{([^}]*)\}", css))
    for scheme in (light, dark, light | paper):
        for ground in ("paper", "ground"):
            for text in ("ink", "soft", "accent", "warn"):
                assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)


def colours(block: str) -> Iterator[tuple[str, str]]:
    for name, digits in re.findall(r"--([\w-]+): #([0-9a-f]{3,6});", block):
        yield name, digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("shown", [report(), report(HOSTILE), EMPTY])
def test_the_terminal_shows_it_in_eighty_columns_without_colour(shown: Report) -> None:
    lines = printed(shown, width=80).splitlines()
    assert shown.sentence.split()[0] in " ".join(lines)
    assert max(map(cell_len, lines)) <= 80


def test_the_terminal_takes_markup_for_text() -> None:
    assert "[bold]loud[/bold]" in printed(report("[bold]loud[/bold]"), width=2_000)


def test_no_word_steers_the_terminal() -> None:
    shown = printed(report("\x1b[2Jcleared\x07\x9b31m"), width=2_000)
    assert "cleared" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)


def printed(shown: Report, width: int) -> str:
    output = StringIO()
    render_text(shown, Console(file=output, width=width, no_color=True))
    return output.getvalue()


def test_a_bar_is_as_long_as_its_share() -> None:
    assert bar(10, 10, longest=8) == "████████"
    assert bar(5, 10, longest=8) == "████"
    assert bar(1, 16, longest=8) == "▌"
    assert bar(0, 10) == ""
    assert bar(0, 0) == ""


@pytest.mark.system
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("words", ["ordinary", HOSTILE])
async def test_a_browser_shows_it_on_a_phone(tmp_path: Path, scheme: Any, words: str) -> None:
    if not CHROMIUM.exists():
        pytest.skip("no chromium here; `make setup-system` installs it")
    from playwright.async_api import async_playwright

    path = tmp_path / "report.html"
    path.write_text(render_html(report(words)), encoding="utf-8")
    console: list[str] = []
    requested: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = await browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        await page.goto(path.as_uri())
        page_width = await page.evaluate("document.documentElement.scrollWidth")
        await browser.close()
    assert page_width == 390
    assert console == []
    assert requested == [path.as_uri()]
