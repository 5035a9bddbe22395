"""HTML that strangers wrote: made harmless, and read as plain text."""

import html
import re

import nh3

MAX_NESTING = 200
"""How deep it may nest: the time that nh3 takes grows with the square of the depth."""

TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
HOLD_NOTHING = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"]
)
CLOSED_BY_THE_NEXT = frozenset(["p", "li", "dt", "dd", "tr", "td", "th", "option"])
BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li|ul|ol|h[1-6]|blockquote|pre|tr|table)>", re.IGNORECASE)
SPACES = re.compile(r"[^\S\n]+")
EMPTY_LINES = re.compile(r"\n{3,}")


class TooDeepError(ValueError):
    """HTML nests deeper than is read. Its text says how deep it may."""

    def __init__(self) -> None:
        super().__init__(f"nests deeper than {MAX_NESTING} tags; close them, or send plain text")


def sanitised(markup: str) -> str:
    """The same HTML without what acts: scripts, styles, handlers, frames, odd addresses.

    Raises:
        TooDeepError: it nests deeper than is read.
    """
    _check_nesting(markup)
    return nh3.clean(markup)


def plain_text(markup: str) -> str:
    """What a reader sees of this HTML: text alone, one line per paragraph, list item or break.

    Raises:
        TooDeepError: it nests deeper than is read.
    """
    _check_nesting(markup)
    lines = BREAK.sub(lambda found: found.group() + "\n", markup)
    text = html.unescape(nh3.clean(lines, tags=set()))
    trimmed = "\n".join(SPACES.sub(" ", line).strip() for line in text.splitlines())
    return EMPTY_LINES.sub("\n\n", trimmed).strip()


def _check_nesting(markup: str) -> None:
    """Count the tags that are open at once; those that never close count as open."""
    depth = 0
    for closing, name in TAG.findall(markup):
        if name.lower() in HOLD_NOTHING | CLOSED_BY_THE_NEXT:
            continue
        depth = max(depth - 1, 0) if closing else depth + 1
        if depth > MAX_NESTING:
            raise TooDeepError
