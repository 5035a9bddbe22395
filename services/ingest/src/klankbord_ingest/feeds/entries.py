"""The entries of a feed as submissions: whose words they are, where they stand, since when."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from pydantic import ValidationError

from klankbord_ingest.feeds.document import FeedDocument, FeedEntry
from klankbord_ingest.native_id import kept_native_id, made_native_id
from klankbord_ingest.submission import MAX_HTML, FieldError, PostSubmission, field_errors
from klankbord_schemas.types import MAX_LINE, MAX_TAGS


def submissions(
    document: FeedDocument, url: str, heard: datetime
) -> tuple[list[PostSubmission], list[FieldError]]:
    """The posts of a feed, and why others of its entries are none.

    Args:
        document: the feed.
        url: what relative links are relative to: see `base_of`.
        heard: when it was fetched: an entry without a date is taken to be written then.
    """
    posts: dict[str, PostSubmission] = {}
    refused: list[FieldError] = []
    for index, entry in enumerate(document.entries):
        try:
            post = _submission(entry, url, heard)
        except ValidationError as error:
            refused += field_errors(error, index)
            continue
        if post.native_id in posts:
            why = f"is {post.native_id!r}, as that of an entry before it; give each its own"
            refused.append(FieldError(index, "nativeId", why, "same_id"))
        else:
            posts[post.native_id] = post
    return list(posts.values()), refused


def _submission(entry: FeedEntry, url: str, heard: datetime) -> PostSubmission:
    link = absolute(entry.link, url) if entry.link else None
    published = entry.published or entry.updated or heard
    # Many feeds repeat `published` as `updated`. That says nothing, and a later change of the
    # words must not be taken for the version of that moment.
    edited = entry.updated if entry.updated and entry.updated > published else None
    submission: dict[str, Any] = {
        "nativeId": native_id(entry, url),
        "operation": "update" if edited else "create",
        "published": published,
        "updated": edited,
        "attributedTo": _actor(entry.author),
        "inReplyTo": kept_native_id(entry.in_reply_to) if entry.in_reply_to else None,
        "url": link,
        "name": entry.title[:MAX_LINE] if entry.title else None,
        "content": entry.content,
        "contentHtml": entry.html if entry.html and len(entry.html) <= MAX_HTML else None,
        "language": entry.language,
        "tag": [tag[:MAX_LINE] for tag in entry.tags[:MAX_TAGS]],
        "objectType": "Article" if entry.title else "Note",
    }
    try:
        return PostSubmission.model_validate(submission)
    except ValidationError as error:
        if {detail["loc"] for detail in error.errors()} != {("language",)}:
            raise
        # A feed's language is a courtesy, and often no tag at all ("english").
        return PostSubmission.model_validate(submission | {"language": None})


def native_id(entry: FeedEntry, url: str) -> str:
    """What an entry is called: by its feed, else by where it can be read, else by its words."""
    link = absolute(entry.link, url) if entry.link else None
    given = entry.id or link
    if given is None:
        return made_native_id(entry.title or "", entry.content)
    # `/posts/7` says nothing outside the feed's own host
    whole = absolute(given, url) if given.startswith("/") else None
    return kept_native_id(whole or given)


def base_of(url: str, headers: Mapping[str, str]) -> str:
    """What relative links are relative to: the address, or what the server says it gave instead."""
    try:
        base = urljoin(url, headers.get("content-location", ""))
    except ValueError:
        return url
    return base if base.startswith(("http://", "https://")) else url


def absolute(link: str, base: str) -> str | None:
    """The whole address of a link, unless it is none at all."""
    try:
        address = urljoin(base, unwrapped(link))
    except ValueError:
        return None
    return address if len(address) <= MAX_LINE else None


def unwrapped(link: str) -> str:
    """The address behind a link of Google Alerts, which leads through Google.

    Raises:
        ValueError: it is no address at all.
    """
    parts = urlsplit(link)
    if parts.path != "/url" or not (parts.hostname or "").startswith("www.google."):
        return link
    query = parse_qs(parts.query)
    target = (query.get("url") or query.get("q") or [link])[0]
    return target if target.startswith(("http://", "https://")) else link


def _actor(author: str | None) -> dict[str, str] | None:
    if author is None:
        return None
    return {"id": kept_native_id(author), "name": author[:MAX_LINE]}
