"""HTML that strangers wrote: made harmless, and read as plain text."""

import html
import re
from collections import Counter

import nh3

MAX_NESTING = 200
"""How deep it may nest: the time that nh3 takes grows with the square of the depth."""
MAX_ELEMENTS = 100_000
"""How many elements it may become, at worst: nh3 takes some 250 bytes for each."""

TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
HOLD_NOTHING = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"]
)
CLOSED_BY_THE_NEXT = frozenset(["p", "tr", "td", "th", "option"])
ITEMS = {"li": "list", "dt": "definitions", "dd": "definitions"}
# What stays open past the end of a paragraph is opened anew in each one that follows
# (https://html.spec.whatwg.org/multipage/parsing.html#reconstruct-the-active-formatting-elements),
# so that 100 kB can become four million elements. At most three of a kind are, and one link; but
# those with other attributes are of another kind, so they get none.
FORMATTING = r"<(b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)"
OPENED_ANEW = re.compile(FORMATTING + r"(?![^\t\n\f\r />])", re.IGNORECASE)
ITS_ATTRIBUTES = re.compile(FORMATTING + r"(?=[\t\n\f\r /])", re.IGNORECASE)
AT_ONCE = 3
BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li|ul|ol|h[1-6]|blockquote|pre|tr|table)>", re.IGNORECASE)
ANY_TAG = re.compile(r"<[^<>]*>")
# Python's own reader of references breaks over a number of 5,000 digits.
REFERENCE = re.compile(r"&(?:[A-Za-z]{2,8}|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});")
SPACES = re.compile(r"[^\S\n]+")
EMPTY_LINES = re.compile(r"\n{3,}")


class TooDeepError(ValueError):
    """HTML has more tags open at once than is read. Its text says what to do."""


def sanitised(markup: str) -> str:
    """The same HTML without what acts: scripts, styles, handlers, frames, odd addresses.

    Raises:
        TooDeepError: it nests deeper than is read, or its tags stay open for too long.
    """
    return nh3.clean(_bounded(markup))


def plain_text(markup: str) -> str:
    """What a reader sees of this HTML: text alone, one line per paragraph, list item or break.

    Raises:
        TooDeepError: it nests deeper than is read, or its tags stay open for too long.
    """
    lines = BREAK.sub(lambda found: found.group() + "\n", _bounded(markup))
    text = html.unescape(nh3.clean(lines, tags=set()))
    trimmed = "\n".join(SPACES.sub(" ", line).strip() for line in text.splitlines())
    return EMPTY_LINES.sub("\n\n", trimmed).strip()


def crude_text(markup: str) -> str:
    """Its text as best one can tell without reading it as HTML: for what is read no other way."""
    return EMPTY_LINES.sub("\n\n", unescaped(ANY_TAG.sub(" ", markup))).strip()


def unescaped(text: str) -> str:
    """The text with its character references replaced, but for those that are no characters."""
    return REFERENCE.sub(lambda found: html.unescape(found[0]), text)


def _bounded(markup: str) -> str:
    """The same HTML, of which it is known how much memory reading it can take at most."""
    _check_nesting(markup)
    open_at_once = 1 + AT_ONCE * len({name.lower() for name in OPENED_ANEW.findall(markup)})
    if markup.count("<") * open_at_once > MAX_ELEMENTS:
        raise TooDeepError(
            "has too many tags for reading it safely; shorten it, or send plain text"
        )
    # the attributes go to an element that is not opened anew
    return ITS_ATTRIBUTES.sub(r"<\1><x", markup)


def _check_nesting(markup: str) -> None:
    """Count the tags that are open at once; those that never close count as open."""
    depth = 0
    opened: Counter[str] = Counter()
    item: str | None = None
    for closing, written in TAG.findall(markup):
        name = written.lower()
        if name in ITEMS:
            # an item ends the one before it, unless that is of the other kind of list
            depth += not closing and item not in (None, ITEMS[name])
            item = None if closing else ITEMS[name]
        elif name in HOLD_NOTHING | CLOSED_BY_THE_NEXT:
            continue
        elif not closing:
            depth += 1
            opened[name] += 1
        elif opened[name]:  # else it closes nothing
            depth -= 1
            opened[name] -= 1
        if depth > MAX_NESTING:
            raise TooDeepError(
                f"nests deeper than {MAX_NESTING} tags; close them, or send plain text"
            )
