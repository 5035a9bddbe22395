"""A document's own `Expect:` line beside what Klankbord reads in it.

What is compared, and how:

- title: Klankbord keeps plain text, feedparser sanitised HTML; so both are read as text, the
  expected one as HTML unless feedparser takes the title for plain text. Blanks count as one.
- link: as an absolute address, relative to where feedparser's tests serve the document.
- id: letter by letter.
- author: the name; of `name (address)` the name.
- published, updated: the moment. An entry with one moment has it in either field.
"""

import calendar
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import feedparser
from scripts.replay.expectations import Claim, Expectation

from klankbord_ingest.feeds.document import FeedDocument, FeedEntry
from klankbord_ingest.feeds.entries import absolute, base_of, native_id
from klankbord_ingest.markup import plain_text

HOME = "http://127.0.0.1:8097/"
"""Where feedparser's own tests serve the corpus: some lines name it."""


@dataclass(frozen=True)
class Difference:
    """A field that is not what the document says of it."""

    claim: Claim
    given: object
    """What Klankbord reads there."""


def differences(
    expectation: Expectation, body: bytes, document: FeedDocument
) -> Iterable[Difference]:
    """Where a document is not read as it says of itself."""
    for claim in expectation.claims:
        if claim.entry >= len(document.entries):
            yield Difference(claim, "there is no such entry")
            continue
        entry = document.entries[claim.entry]
        base = base_of(HOME, expectation.headers)
        expected = _expected(claim, body)
        given = _given(claim.field, entry, base)
        if expected not in given:
            yield Difference(claim, given)


def _given(field: str, entry: FeedEntry, base: str) -> tuple[object, ...]:
    """What Klankbord has of a field; of moments, every one that may be meant."""
    match field:
        case "title":
            return (entry.title or "",)
        case "link":
            return (absolute(entry.link, base) if entry.link else None,)
        case "published":
            return tuple(_second(moment) for moment in (entry.published or entry.updated,))
        case "updated":
            return tuple(_second(moment) for moment in (entry.updated or entry.published,))
        case "id":
            return (native_id(entry, base),)
        case _:
            return (getattr(entry, field),)


def _second(moment: datetime | None) -> datetime | None:
    return moment.replace(microsecond=0) if moment else None


def _expected(claim: Claim, body: bytes) -> object:
    match claim.field:
        case "title":
            return _title(claim, body)
        case "published" | "updated":
            return _moment(claim.value)
        case "author":
            return str(claim.value).partition(" (")[0]
        case _:
            return claim.value


def _title(claim: Claim, body: bytes) -> str:
    read = feedparser.parse(io.BytesIO(body), sanitize_html=False, resolve_relative_uris=False)
    detail = read["entries"][claim.entry].get("title_detail") or {}
    is_text = detail.get("type") == "text/plain"
    return " ".join((claim.value if is_text else plain_text(claim.value)).split())


def _moment(value: object) -> datetime | None:
    if isinstance(value, tuple):
        return datetime.fromtimestamp(calendar.timegm(value), UTC)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        moment = parsedate_to_datetime(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
