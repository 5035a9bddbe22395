"""Hacker News: stories and comments in which words occur.

Found with Algolia's search (https://hn.algolia.com/api), which knows no edits and no deletes; so
what was found is read again from https://github.com/HackerNews/API while it may still be changed.

Native ids: an item is its number, of whatever type (search: `objectID`, the API: `id`), an author
is the user name, and the thread (`context`) is the story's number.

Hacker News tells neither revisions nor times of edits: what is read again is a version when it says
something else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, HttpUrl

from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    FetchError,
    Page,
    PassedOver,
    Pull,
    Web,
    gathered,
)
from klankbord_ingest.linked import links_in_html
from klankbord_ingest.markup import unescaped
from klankbord_ingest.platform_json import moment_at, whole_number
from klankbord_runtime.yamlfile import Duration
from klankbord_schemas.types import Line

SITE = "https://news.ycombinator.com"
PAGE_SIZE = 50
"""How many hits are asked for at once, so that long ones are no too large an answer."""
OVERLAP_SECONDS = 600
"""How much is asked for again in each round: the search learns of an item a little late."""
SETTLED = timedelta(hours=2, minutes=15)
"""For two hours an author may change or delete what they wrote; then it is read a last time."""
MOST_WATCHED = 500
AT_ONCE = 20
"""How many items are read again in one step."""


class HackerNews(Pull, Backfill):
    """Stories and comments on Hacker News that a search finds."""

    kind: Literal["hackernews"]
    query: Annotated[Line, Field(min_length=1)]
    """What is searched for: words, or a phrase in double quotes."""
    every: Duration = timedelta(minutes=10)
    search_url: HttpUrl = HttpUrl("https://hn.algolia.com/api/v1")
    """Where the search is asked; another one only for a cache of your own."""
    items_url: HttpUrl = HttpUrl("https://hacker-news.firebaseio.com/v0")
    """Where items are read; another one only for a cache of your own."""

    @property
    def own_platform(self) -> str:
        """There is one Hacker News."""
        return "news.ycombinator.com"

    @property
    def place(self) -> str:
        """Another search begins anew."""
        return self.query

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """What was found since, then what of it was changed."""
        watched: dict[str, Any] = dict(cursor.get("watched") or {})  # type: ignore[arg-type]
        if due := list(cursor.get("due") or ()):  # type: ignore[arg-type]
            return await self._read_again(web, cursor, now, watched, due)
        since, upper = cursor.get("since"), cursor.get("upper")
        hits = await self._found(web, since, upper)
        news = [
            hit for hit in hits if not (isinstance(hit, dict) and hit.get("objectID") in watched)
        ]
        page = gathered(reversed(news), lambda hit: [hit_said(hit)])
        moments = [moment for hit in hits if (moment := _created(hit)) is not None]
        for hit in hits:
            moment = _created(hit)
            if moment is not None and now - moment_at(moment) < SETTLED:
                watched.setdefault(str(hit.get("objectID")), [moment, hit.get("story_id")])
        watched = dict(sorted(watched.items(), key=lambda one: -one[1][0])[:MOST_WATCHED])
        top = max([*moments, whole_number(cursor.get("top"))])
        beneath = _beneath(min(moments, default=0), upper)
        if isinstance(since, int) and len(hits) == PAGE_SIZE and beneath >= since:
            following: dict[str, Any] = {"since": since, "upper": beneath, "top": top}
            return replace(page, cursor={**following, "watched": watched}, more=True)
        begin = (
            max(top - OVERLAP_SECONDS, whole_number(since))
            or int(now.timestamp()) - OVERLAP_SECONDS
        )
        changed = await self._changed(web) if watched else frozenset()
        due = [
            number
            for number, (moment, _) in watched.items()
            if number in changed or now - moment_at(moment) >= SETTLED
        ]
        settled: dict[str, Any] = {"since": begin, "watched": watched, "due": due}
        return replace(page, cursor=settled, more=bool(due))

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """History, the newest first: the search lists it no other way."""
        begin = int(since.timestamp()) if since else 0
        upper = cursor.get("upper")
        hits = await self._found(web, begin, upper)
        moments = [moment for hit in hits if (moment := _created(hit)) is not None]
        is_full = len(hits) == PAGE_SIZE and bool(moments)
        following = {"upper": _beneath(min(moments), upper)} if is_full else {}
        return gathered(reversed(hits), lambda hit: [hit_said(hit)], following, more=is_full)

    async def _found(self, web: Web, since: object, upper: object) -> list[Any]:
        """At most fifty hits in that span of seconds, the newest first."""
        span = [f"created_at_i>={since}"] if isinstance(since, int) else []
        span += [f"created_at_i<={upper}"] if isinstance(upper, int) else []
        address = f"{str(self.search_url).rstrip('/')}/search_by_date"
        params: dict[str, str | int] = {
            "query": self.query,
            "tags": "(story,comment,poll)",
            "numericFilters": ",".join(span),
            "hitsPerPage": PAGE_SIZE,
        }
        document = await web.get_json(address, params)
        hits = document.get("hits") if isinstance(document, dict) else None
        if not isinstance(hits, list):
            raise FetchError("bad_answer", f"{address} tells no hits")
        return hits

    async def _changed(self, web: Web) -> frozenset[str]:
        """Which items were changed in the last minutes."""
        document = await web.get_json(f"{str(self.items_url).rstrip('/')}/updates.json")
        items = document.get("items") if isinstance(document, dict) else None
        return frozenset(map(str, items or ()))

    async def _read_again(
        self, web: Web, cursor: Cursor, now: datetime, watched: dict[str, Any], due: list[Any]
    ) -> Page:
        """What the next of these items say by now."""
        now_due, later = due[:AT_ONCE], due[AT_ONCE:]
        items = [
            (
                number,
                await web.get_json(f"{str(self.items_url).rstrip('/')}/item/{number}.json"),
            )
            for number in now_due
        ]
        read = gathered(items, lambda one: [item_said(one[0], one[1], watched[one[0]][1])])
        kept = {
            number: row
            for number, row in watched.items()
            if number not in now_due or now - moment_at(row[0]) < SETTLED
        }
        following = {"since": cursor.get("since"), "watched": kept, "due": later}
        return replace(read, cursor=following, more=bool(later))


def hit_said(hit: dict[str, Any]) -> Mapping[str, Any]:
    """A story or comment as the search tells it."""
    number, story = hit["objectID"], hit.get("story_id")
    tags = frozenset(hit.get("_tags") or ())
    is_comment = "comment" in tags
    return _said(
        number,
        hit["author"],
        hit["created_at_i"],
        title=None if is_comment else hit["title"],
        text=hit.get("comment_text") if is_comment else hit.get("story_text"),
        parent=hit.get("parent_id") if is_comment else None,
        story=story if is_comment and story else number,
        link=None if is_comment else hit.get("url"),
    )


def item_said(number: str, item: dict[str, Any] | None, story: Any) -> Mapping[str, Any]:
    """An item as the API tells it by now."""
    if item is None:
        raise PassedOver("unknown")
    if item.get("deleted") or item.get("dead"):
        return {"nativeId": str(number), "operation": "delete"}
    if item["type"] == "pollopt":
        raise PassedOver("option")  # one of the answers of a poll
    is_comment = item["type"] == "comment"
    said = _said(
        number,
        item["by"],
        item["time"],
        title=None if is_comment else item["title"],
        text=item.get("text"),
        parent=item.get("parent") if is_comment else None,
        story=story if is_comment and story else number,
        link=None if is_comment else item.get("url"),
    )
    return {**said, "operation": "update"}


def _said(
    number: Any,
    author: str,
    seconds: int,
    *,
    title: str | None,
    text: str | None,
    parent: Any,
    story: Any,
    link: str | None,
) -> Mapping[str, Any]:
    name = None if title is None else unescaped(title)
    return {
        "nativeId": str(number),
        "operation": "create",
        "published": moment_at(seconds),
        "attributedTo": {"id": author, "preferredUsername": author},
        "objectType": "Question" if name and name.startswith("Ask HN") else "Note",
        "inReplyTo": None if parent is None else str(parent),
        "context": str(story),
        "url": f"{SITE}/item?id={number}",
        "name": name,
        "contentHtml": _paragraphs(text) if text else None,
        "link": [*([link] if link else []), *links_in_html(text or "")],
    }


def _paragraphs(text: str) -> str:
    """Hacker News writes `<p>` between paragraphs, and closes none."""
    return "".join(f"<p>{part}</p>" for part in _each(text.split("<p>")))


def _each(parts: Iterable[str]) -> Iterable[str]:
    return (part.removesuffix("</p>") for part in parts if part.strip())


def _created(hit: Any) -> int | None:
    moment = hit.get("created_at_i") if isinstance(hit, dict) else None
    return moment if isinstance(moment, int) else None


def _beneath(lowest: int, upper: object) -> int:
    """Where the next page ends: at the second at which this one did, or before it."""
    return lowest if lowest != upper else lowest - 1
