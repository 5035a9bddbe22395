"""Whether somebody asks, or a program: crawlers, link previews, prefetching browsers.

The patterns are those of `crawler-user-agents` (MIT), 1,500 of them. Nearly all are plain words,
which are looked for together in one pass (Aho-Corasick); the few others are one expression. A
browser is cleared in some 25 µs, where one expression of all patterns takes 430.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from ahocorasick_rs import AhoCorasick

OTHERS = (
    "Cardyb",  # Bluesky's link previews
    "http.rb/",  # Mastodon's requests
    "Akkoma",
    "Misskey/",
    "Pleroma",
    "Microsoft Office",  # opens an address before the browser does
    "ms-office",
    "Zulip URL Preview",
    "Pinterest/0.",
)
"""Words of programs that open addresses, as these call themselves; the list above lacks them."""

PURPOSES = ("sec-purpose", "purpose", "x-purpose", "x-moz")
"""Headers by which a browser says that it fetches before anybody asked.

https://fetch.spec.whatwg.org/#sec-purpose-header; the others are those of older browsers.
"""
AHEAD = ("prefetch", "prerender", "preview")

MAX_AGENT = 1000
"""How many characters of a User-Agent are looked at: no browser sends more."""

_EXPRESSION = re.compile(r"(?<!\\)[\^$.\[\]()*+?{}|]|\\[a-zA-Z]")
"""What makes a pattern more than a word."""


def is_program(user_agent: str) -> bool:
    """Whether a User-Agent is that of a crawler, a link preview or a library; so is none at all."""
    agent = user_agent[:MAX_AGENT]
    return not agent.strip() or _known()(agent)


def is_ahead(headers: Mapping[str, str]) -> bool:
    """Whether a browser fetches this before anybody asked for it: a prefetch, a prerender.

    Args:
        headers: by lower-case name.
    """
    told = " ".join(headers.get(name, "") for name in PURPOSES).lower()
    return bool(told.strip()) and any(word in told for word in AHEAD)


def warm() -> None:
    """Read the patterns now: it takes some 30 ms, which no member needs to wait for."""
    _known()


def _list() -> Traversable:
    return files("crawleruseragents") / "crawler-user-agents.json"


@cache
def _known() -> Callable[[str], bool]:
    patterns = [entry["pattern"] for entry in json.loads(_list().read_bytes())]
    expressions = [pattern for pattern in patterns if _EXPRESSION.search(pattern)]
    words = [re.sub(r"\\(.)", r"\1", one) for one in patterns if not _EXPRESSION.search(one)]
    plain = AhoCorasick([*words, *OTHERS])
    others = re.compile("|".join(f"(?:{pattern})" for pattern in expressions))

    def is_known(agent: str) -> bool:
        return bool(plain.find_matches_as_indexes(agent)) or others.search(agent) is not None

    return is_known
