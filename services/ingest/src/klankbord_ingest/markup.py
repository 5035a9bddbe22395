"""HTML that strangers wrote: made harmless, and read as plain text."""

import html
import re

import nh3

BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li|ul|ol|h[1-6]|blockquote|pre|tr|table)>", re.IGNORECASE)
SPACES = re.compile(r"[^\S\n]+")
EMPTY_LINES = re.compile(r"\n{3,}")


def sanitised(markup: str) -> str:
    """The same HTML without what acts: scripts, styles, handlers, frames, odd addresses."""
    return nh3.clean(markup)


def plain_text(markup: str) -> str:
    """What a reader sees of this HTML: text alone, one line per paragraph, list item or break."""
    lines = BREAK.sub(lambda found: found.group() + "\n", markup)
    text = html.unescape(nh3.clean(lines, tags=set()))
    trimmed = "\n".join(SPACES.sub(" ", line).strip() for line in text.splitlines())
    return EMPTY_LINES.sub("\n\n", trimmed).strip()
