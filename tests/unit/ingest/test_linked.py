"""Addresses in text, Markdown and HTML."""

import time

import pytest

from klankbord_ingest.linked import links_in_html, links_in_text


@pytest.mark.parametrize(
    ("text", "links"),
    [
        (
            "see https://example.org/a, and http://example.com.",
            ["https://example.org/a", "http://example.com"],
        ),
        ("[here](https://example.org/x?a=1&b=2)", ["https://example.org/x?a=1&b=2"]),
        ("(https://example.org/a_(b))", ["https://example.org/a_(b)"]),
        ("**https://example.org** <https://example.org>", ["https://example.org"]),
        ("![photo](upload://abc.png) https:// ftp://example.org", []),
        ("https://example.org/" + "a" * 3000, []),
    ],
)
def test_addresses_in_text(text: str, links: list[str]) -> None:
    assert links_in_text(text) == links


def test_addresses_in_html() -> None:
    markup = (
        '<p><a class="x" href="https://example.org/?a=1&amp;b=2">x</a> <a href="/u/ada">@ada</a>'
    )
    assert links_in_html(markup) == ["https://example.org/?a=1&b=2"]


def test_at_most_a_hundred_are_kept_and_it_takes_no_time() -> None:
    assert len(links_in_text(" ".join(f"https://example.org/{n}" for n in range(500)))) == 100
    began = time.process_time()
    for hostile in ("<a " * 30_000, "http://" * 14_000, "https://(" * 11_000, "<a href=" * 12_000):
        links_in_text(hostile)
        links_in_html(hostile)
    assert time.process_time() - began < 3
