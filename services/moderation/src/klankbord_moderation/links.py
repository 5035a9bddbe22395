"""The links in a text, written so that the same place is the same word."""

import re
from dataclasses import dataclass

from klankbord_runtime.plain_text import Span

LINK = re.compile(r"(?:https?://|(?<![\w.@/-])www\.)[^\s<>\"'()\[\]{}|\\^`]+", re.IGNORECASE)
SCHEME = re.compile(r"https?://", re.IGNORECASE)
CLOSING = ".,;:!?*_~’”»…"
"""What ends a sentence, not an address."""
MAX_LINKS = 100
"""The most links that are read in one text."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link and where it stands."""

    domain: str
    """The host in small letters, without `www.`."""
    url: str
    """The address without scheme, `www.`, fragment and closing slash."""
    span: Span


def links_in(text: str) -> list[Link]:
    """The web links that stand in a text, at most `MAX_LINKS`."""
    if "://" not in text and "ww." not in text.lower():
        return []
    links: list[Link] = []
    for found in LINK.finditer(text):
        written = found[0].rstrip(CLOSING)
        authority, *path = re.split(r"(?=[/?#])", SCHEME.sub("", written), maxsplit=1)
        host = authority.rpartition("@")[2].partition(":")[0].lower()
        domain = host.removeprefix("www.").rstrip(".")
        if domain and len(links) < MAX_LINKS:
            url = domain + "".join(path).partition("#")[0].rstrip("/")
            links.append(Link(domain, url, (found.start(), found.start() + len(written))))
    return links
