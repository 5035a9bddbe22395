"""Bytes to a feed document: the fast reader first, the tolerant one where the fast one cannot.

fastfeedparser is some fifty times faster than feedparser and reads JSON Feed; feedparser reads
what is broken, old or unusual (shape.py says what that is). Both are run on hostile bytes, so
`parse` belongs in the worker process (worker.py), which is ended when it takes too long or too
much.
"""

import calendar
import io
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import fastfeedparser
import feedparser

from klankbord_ingest.feeds.document import FeedDocument, FeedEntry, UnreadableFeedError
from klankbord_ingest.feeds.shape import is_plain
from klankbord_ingest.markup import TooDeepError, crude_text, plain_text, sanitised

MAX_BYTES = 2 * 1024 * 1024
MAX_ENTRIES = 5_000

_ENTITIES = re.compile(rb"<!ENTITY|<!DOCTYPE[^>]*\[", re.IGNORECASE)
_HTML = re.compile(rb"^\s*(<!doctype html|<html)", re.IGNORECASE)
# In a title: only the tolerant reader knows whether `<b>` is markup there, or two letters.
_MARKUP = re.compile(r"<|&#?\w+;")
# The fast reader takes a guid such as "12345" for a date.
_DATE_LIKE_ID = re.compile(r"[\d\s:.,/TZ+-]{1,40}")
_RSS_TTL = re.compile(rb"<ttl>\s*(\d{1,6})\s*</ttl>", re.IGNORECASE)
_RSS_LANGUAGE = re.compile(rb"<language>\s*([A-Za-z0-9_-]{2,35})\s*</language>", re.IGNORECASE)
# RSS writes `mail@example.org (Name)`, and some write it the other way round.
_MAIL_AND_NAME = re.compile(r"\S+@\S+\s+\((?P<name>[^()]+)\)")
_NAME_AND_MAIL = re.compile(r"(?P<name>[^()<>]+?)\s+[(<]\S+@\S+[)>]")


def parse(body: bytes) -> FeedDocument:
    """Read a feed of any dialect.

    Raises:
        UnreadableFeedError: it is too large or too long, declares entities, or is no feed.
    """
    if len(body) > MAX_BYTES:
        raise UnreadableFeedError("too_large", f"the feed is larger than {MAX_BYTES:,} bytes")
    # Without the NULs, UTF-16 and UTF-32 read as ASCII here.
    if _ENTITIES.search(body.replace(b"\0", b"")):
        raise UnreadableFeedError(
            "entities_refused",
            "the feed declares XML entities (a DOCTYPE with declarations in it), with which a few "
            "lines can fill the memory; publish it without them",
        )
    entries = _read_fast(body)
    if entries is None:
        entries = _read_tolerant(body)
    if len(entries) > MAX_ENTRIES:
        why = (
            f"the feed holds {len(entries):,} entries; publish the newest {MAX_ENTRIES:,} or fewer"
        )
        raise UnreadableFeedError("too_many_entries", why)
    ttl = _RSS_TTL.search(body)
    return FeedDocument(ttl_minutes=int(ttl[1]) if ttl else None, entries=tuple(entries))


def _read_fast(body: bytes) -> list[FeedEntry] | None:
    """Entries by fastfeedparser; None where it cannot be relied on."""
    is_json = body.lstrip().startswith(b"{")
    if not is_json and not is_plain(body):
        return None
    try:
        # Bytes: a str that begins with http:// would be fetched.
        document = fastfeedparser.parse(body)
    except (ValueError, AttributeError, TypeError, KeyError):
        return None
    found = document["entries"]
    if not is_json and (not found or any(map(_is_doubtful, found))):
        return None
    language = _text(document["feed"].get("language")) or _rss_language(body)
    return [_fast_entry(entry, language) for entry in found]


def _is_doubtful(entry: Mapping[str, Any]) -> bool:
    """Whether the fast reader may have misread its date or its title."""
    name, title = _text(entry.get("id")), _text(entry.get("title"))
    has_date_like_id = name is not None and _DATE_LIKE_ID.fullmatch(name) is not None
    return has_date_like_id or (title is not None and _MARKUP.search(title) is not None)


def _rss_language(body: bytes) -> str | None:
    """The channel's `language`, which the fast reader leaves out."""
    found = _RSS_LANGUAGE.search(body)
    return found[1].decode("ascii") if found else None


def _fast_entry(entry: Mapping[str, Any], feed_language: str | None) -> FeedEntry:
    contents: list[dict[str, Any]] = entry.get("content") or [{}]
    content = contents[0]
    value = _text(content.get("value")) or _text(entry.get("description"))
    return FeedEntry(
        id=_text(entry.get("id")),
        link=_readable_link(entry),
        title=_line(entry.get("title")),
        **_body(value, content.get("type")),
        author=_author(entry.get("author")),
        published=_iso_moment(entry.get("published")),
        updated=_iso_moment(entry.get("updated")),
        tags=_tags(entry.get("tags")),
        language=_text(content.get("language")) or feed_language,
    )


def _readable_link(entry: Mapping[str, Any]) -> str | None:
    """Where a person can read it: no link to an enclosure, or to what only goes with it."""
    link, links = _text(entry.get("link")), entry.get("links") or ()
    readable = [
        _text(one.get("href")) for one in links if one.get("rel") in {None, "", "alternate"}
    ]
    return link if link in readable or not links else next(iter(readable), None)


def _read_tolerant(body: bytes) -> list[FeedEntry]:
    """Entries by feedparser.

    Raises:
        UnreadableFeedError: feedparser finds no feed in it either.
    """
    # A stream: feedparser opens bytes as the name of a local file first.
    document = feedparser.parse(
        io.BytesIO(body), sanitize_html=False, resolve_relative_uris=False, response_headers={}
    )
    if not document.get("version") and not document["entries"]:
        if _HTML.match(body):
            why = "this is a web page, no feed; give the address of its RSS or Atom feed"
        elif body.lstrip().startswith(b"{"):
            why = "this JSON is no JSON Feed: it has no list of `items` that are objects"
        else:
            why = f"this is no RSS, Atom, RDF or JSON feed ({_fault(document)})"
        raise UnreadableFeedError("no_feed", why)
    language = _text(document["feed"].get("language"))
    return [_tolerant_entry(entry, language) for entry in document["entries"]]


def _tolerant_entry(entry: Mapping[str, Any], feed_language: str | None) -> FeedEntry:
    contents = [*entry.get("content", ()), entry.get("summary_detail") or {}]
    content: Mapping[str, Any] = next(
        (content for content in contents if _text(content.get("value"))), {}
    )
    link = _readable_link(entry)
    if link is None and entry.get("guidislink"):  # an id, which is an address or not
        link = _text(entry.get("link"))
        link = link if link and "://" in link else None
    return FeedEntry(
        id=_text(entry.get("id")),
        link=link,
        title=_title(entry.get("title"), entry.get("title_detail") or {}),
        **_body(_text(content.get("value")), content.get("type")),
        author=_first_author(entry),
        published=_struct_moment(entry, "published_parsed")
        or _struct_moment(entry, "created_parsed")
        or _struct_moment(entry, "updated_parsed"),
        updated=_struct_moment(entry, "updated_parsed"),
        tags=_tags(entry.get("tags")),
        in_reply_to=_in_reply_to(entry),
        language=_text(content.get("language")) or feed_language,
    )


def _in_reply_to(entry: Mapping[str, Any]) -> str | None:
    # The key begins with whatever prefix the feed gave to the namespace.
    for key, value in entry.items():
        if key.endswith("in-reply-to") and isinstance(value, Mapping):
            return _text(value.get("ref")) or _text(value.get("href"))
    return None


def _body(value: str | None, content_type: object) -> dict[str, Any]:
    """Plain text and, unless it came as such, sanitised HTML: done here, where time is limited."""
    if value is None or content_type in {"text", "text/plain"}:
        return {"content": value or ""}
    try:
        return {"content": plain_text(value), "html": sanitised(value)}
    except TooDeepError:  # one entry must not silence the others of its feed
        return {"content": crude_text(value)}


def _title(value: object, detail: Mapping[str, Any]) -> str | None:
    """A title as plain text; feedparser says, or guesses, whether it is text or HTML."""
    title = _text(value)
    if title is None or detail.get("type") == "text/plain":
        return _line(title)
    try:
        return _line(plain_text(title))
    except TooDeepError:
        return _line(crude_text(title))


def _line(value: object) -> str | None:
    """Text in one line."""
    return " ".join((_text(value) or "").split()) or None


def _first_author(entry: Mapping[str, Any]) -> str | None:
    """The first that is named: feedparser's `author` is the last."""
    named = (author.get("name") for author in entry.get("authors") or () if author)
    return _author(next((name for name in named if name), entry.get("author")))


def _author(value: object) -> str | None:
    """A name without an address, as both readers must give the same."""
    author = _line(value)
    named = author and (_MAIL_AND_NAME.fullmatch(author) or _NAME_AND_MAIL.fullmatch(author))
    return named["name"].strip() if named else author


def _tags(tags: object) -> tuple[str, ...]:
    if not isinstance(tags, Iterable):
        return ()
    terms = (_text(tag.get("term")) for tag in tags if isinstance(tag, Mapping))
    return tuple(dict.fromkeys(term for term in terms if term))


def _text(value: object) -> str | None:
    """Text without the blanks around it; JSON Feeds with numbers for ids exist."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    # Lone surrogates (from broken encodings) cannot be written as UTF-8.
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "").strip() or None


def _iso_moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _struct_moment(entry: Mapping[str, Any], key: str) -> datetime | None:
    moment = entry.get(key) if key in entry else None
    if not isinstance(moment, time.struct_time):
        return None
    try:
        return datetime.fromtimestamp(calendar.timegm(moment), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _fault(document: Mapping[str, Any]) -> str:
    fault = document.get("bozo_exception")
    return str(fault)[:200] if fault else "it holds no element of one"
