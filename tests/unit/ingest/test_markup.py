"""HTML of strangers: read in bounded time and memory, whatever its tags do."""

import os
import time

import pytest
from trust.tally import Memory

from klankbord_ingest.markup import TooDeepError, plain_text, sanitised

LONGEST = 100_000


def repeated(unit: str, head: str = "") -> str:
    return (head + unit * (LONGEST // len(unit)))[:LONGEST]


ATTRIBUTED = "<p>" + "".join(f"<font a{number}=1>" for number in range(190))
TITLED = "<p>" + "".join(f"<B\ttitle={number}>" for number in range(190))


@pytest.mark.parametrize("head", [ATTRIBUTED, TITLED])
def test_what_stays_open_is_not_opened_anew_in_each_paragraph(head: str) -> None:
    """These made four million elements of 100 kB, and a gigabyte."""
    memory = Memory(os.getpid())
    html = sanitised(repeated("<p>x", head))
    assert html.count("<b>") <= 190 + 3 * html.count("<p>")
    assert memory.grown() < 64


def test_many_kinds_that_stay_open_over_many_paragraphs_are_refused() -> None:
    with pytest.raises(TooDeepError, match="send plain text"):
        sanitised(repeated("<p>x", "<p><b><i><u><s><em>"))


@pytest.mark.parametrize(
    "unit", ["<div></h1>", "<dd><li>", "<u></dl>", "<rp></a>", "<ul><li></ol>", "<b><!-- --></i>"]
)
def test_closing_what_is_not_open_hides_no_depth(unit: str) -> None:
    with pytest.raises(TooDeepError, match="nests deeper"):
        sanitised(repeated(unit))


@pytest.mark.parametrize(
    "unit", ["<p>x", "<li>x", "<dt>x<dd>y", "<b>x</b> ", "<br>", "</p>", "<ul><li>x</li></ul>"]
)
def test_long_and_flat_html_is_read_soon(unit: str) -> None:
    begun = time.process_time()
    assert plain_text(repeated(unit)).count("x") == repeated(unit).count("x")
    assert time.process_time() - begun < 5


def test_what_formatting_says_is_kept() -> None:
    assert sanitised('<b class="x">a</b> <font color="red">b</font> <i/>c') == "<b>a</b> b <i>c</i>"
    assert plain_text('<blockquote class="q">a</blockquote><span id="s">b</span>') == "a\nb"
