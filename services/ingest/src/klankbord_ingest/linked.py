"""Web addresses in what people write, for platforms that do not list them."""

import re
from collections.abc import Iterable, Iterator

from klankbord_ingest.markup import unescaped
from klankbord_schemas.types import MAX_LINE, MAX_LINKS

ADDRESS = re.compile(r"https?://[^\s<>\"'\]`|\\]{1,2000}", re.IGNORECASE)
REFERENCE = re.compile(r"<a\s[^<>]{0,500}?href=[\"'](https?://[^\"'<>\s]{1,2000})", re.IGNORECASE)
AFTER_IT = ".,;:!?*_~"
"""What ends a sentence or an emphasis, and no address."""


def links_in_text(text: str) -> list[str]:
    """The addresses in plain text or Markdown, each once, in their order."""
    return _each_once(map(_whole, ADDRESS.findall(text)))


def links_in_html(markup: str) -> list[str]:
    """The addresses to which HTML links, each once, in their order."""
    return _each_once(unescaped(found) for found in REFERENCE.findall(markup))


def _whole(found: str) -> str:
    """The address without what follows it: `(see https://example.org/a_(b)).` holds a bracket."""
    opened = 0
    for at, letter in enumerate(found):
        opened += (letter == "(") - (letter == ")")
        if opened < 0:
            found = found[:at]
            break
    return found.rstrip(AFTER_IT)


def _each_once(links: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(usable(links)))[:MAX_LINKS]


def usable(links: Iterable[str]) -> Iterator[str]:
    """Those of them that have a host, and that an event has room for."""
    for link in links:
        host = link.partition("://")[2]
        if host and len(link) <= MAX_LINE:
            yield link
