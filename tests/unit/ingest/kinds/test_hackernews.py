"""Hacker News: what a search finds, and what becomes of it while it may be changed."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from answering import Answering, Asked

from klankbord_ingest.kind import FetchError, PostSubmission, gathered
from klankbord_ingest.kinds.hackernews import HackerNews, hit_said, item_said
from klankbord_ingest.submission import PostSubmission as Post

NEWS = HackerNews.model_validate(
    {"kind": "hackernews", "name": "hn", "community": "demo", "query": "klankbord"}
)
REAL = Path(__file__).resolve().parents[5] / "shared/real/payloads/hackernews"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
START = int(NOW.timestamp()) - 3600


def story(number: int, at: int = START, **changed: Any) -> dict[str, Any]:
    return {
        "objectID": str(number),
        "author": "ada",
        "created_at_i": at,
        "title": "Ask HN: Who uses Klankbord &amp; why?",
        "url": None,
        "story_text": "First.<p>Second.",
        "_tags": ["story", "author_ada", f"story_{number}", "ask_hn"],
    } | changed


def comment(number: int, at: int = START, **changed: Any) -> dict[str, Any]:
    return {
        "objectID": str(number),
        "author": "bob",
        "created_at_i": at,
        "comment_text": "We do. It&#x27;s fine.",
        "parent_id": 11,
        "story_id": 10,
        "story_title": "Ask HN",
        "_tags": ["comment", "author_bob", "story_10"],
    } | changed


class News:
    """The search and the items of Hacker News."""

    def __init__(self, *hits: dict[str, Any]) -> None:
        self.hits = list(hits)
        self.items: dict[str, Any] = {}
        self.updates: list[int] = []
        self.answering = Answering(self._answer)

    def _answer(self, asked: Asked) -> Any:
        if asked.url.endswith("/updates.json"):
            return {"items": self.updates, "profiles": []}
        if "/item/" in asked.url:
            return self.items[asked.url.rpartition("/")[2].removesuffix(".json")]
        assert asked.query["query"] == "klankbord"
        found = self.hits
        for bound in filter(None, asked.query.get("numericFilters", "").split(",")):
            limit = int(bound.split("=")[1])
            found = [
                hit
                for hit in found
                if (hit["created_at_i"] >= limit if ">" in bound else hit["created_at_i"] <= limit)
            ]
        return {"hits": sorted(found, key=lambda hit: -hit["created_at_i"])[:50]}

    async def round(self, cursor: Any, now: datetime = NOW) -> tuple[list[str], Any]:
        told: list[str] = []
        more = True
        while more:
            page = await NEWS.fetch(self.answering.web(), cursor, now)
            assert not page.refused
            posts = [said for said in page.submissions if isinstance(said, PostSubmission)]
            told += [f"{said.operation} {said.native_id}" for said in posts]
            cursor, more = json.loads(json.dumps(page.cursor)), page.more
        return told, cursor


def test_a_story_and_a_comment() -> None:
    said = Post.model_validate(hit_said(story(10)))
    assert (said.native_id, said.context, said.in_reply_to) == ("10", "10", None)
    assert (said.name, said.object_type) == ("Ask HN: Who uses Klankbord & why?", "Question")
    assert said.text == "First.\nSecond."
    assert said.url == "https://news.ycombinator.com/item?id=10"
    said = Post.model_validate(hit_said(comment(12)))
    assert (said.native_id, said.context, said.in_reply_to, said.name) == ("12", "10", "11", None)
    assert said.text == "We do. It's fine."
    linked = Post.model_validate(hit_said(story(13, url="https://example.org/", story_text=None)))
    assert (linked.link, linked.text) == (["https://example.org/"], "")


def test_an_item_is_the_same_post_as_its_hit() -> None:
    item = {
        "id": 12,
        "type": "comment",
        "by": "bob",
        "time": START,
        "parent": 11,
        "text": "We do. It&#x27;s fine.",
    }
    again = Post.model_validate(item_said("12", item, 10))
    assert again == Post.model_validate(hit_said(comment(12))).model_copy(
        update={"operation": "update"}
    )
    for gone in ({"id": 12, "deleted": True, "type": "comment"}, {"id": 12, "dead": True}):
        assert Post.model_validate(item_said("12", gone, 10)).operation == "delete"


async def test_what_is_found_is_told_once_and_watched_for_changes() -> None:
    news = News(story(10), comment(12))
    told, cursor = await news.round({})
    assert told == ["create 12", "create 10"]
    news.hits.append(comment(14, START + 900))
    news.updates = [12, 99]
    news.items["12"] = {"id": 12, "deleted": True, "type": "comment"}
    told, cursor = await news.round(cursor)
    assert told == ["create 14", "delete 12"]
    # after two hours each is read a last time
    news.updates = []
    news.items |= {
        "10": {"id": 10, "type": "story", "by": "ada", "time": START, "title": "New title"},
        "14": {"id": 14, "type": "comment", "by": "bob", "time": START, "parent": 11, "text": "x"},
    }
    told, cursor = await news.round(cursor, datetime(2026, 11, 22, 14, tzinfo=UTC))
    assert "update 10" in told
    news.hits.clear()
    later = datetime(2026, 11, 22, 18, tzinfo=UTC)
    told, cursor = await news.round(cursor, later)
    told, cursor = await news.round(cursor, later)
    assert told == []
    assert cursor["watched"] == {}


async def test_a_long_silence_is_made_up_for() -> None:
    news = News(story(1, START - 10_000))
    _, cursor = await news.round({})
    news.hits += [comment(n, START - 9000 + n) for n in range(2, 400)]
    news.items = {str(n): None for n in range(2, 400)}
    told, _ = await news.round(cursor)
    assert {f"create {n}" for n in range(2, 400)} <= set(told)


async def test_history_is_told_back_to_where_it_is_asked_for() -> None:
    news = News(*(comment(n, START - 60 * n) for n in range(1, 350)))
    told: list[str] = []
    cursor: Any = {}
    more = True
    since = datetime.fromtimestamp(START - 60 * 300, UTC)
    while more:
        page = await NEWS.backfill(news.answering.web(), cursor, since)
        told += [said.native_id for said in page.submissions if isinstance(said, PostSubmission)]
        cursor, more = page.cursor, page.more
    assert set(told) == {str(n) for n in range(1, 301)}


async def test_a_bad_hit_is_refused_alone_and_a_bad_answer_said() -> None:
    news = News(story(10), comment(12, author=None))
    page = await NEWS.fetch(news.answering.web(), {}, NOW)
    assert (len(page.submissions), len(page.refused)) == (1, 1)
    broken = Answering(lambda asked: {"hits": [story(10), {"objectID": "3"}, 7]}).web()
    page = await NEWS.fetch(broken, {"since": START, "due": []}, NOW.replace(year=2030))
    assert (len(page.submissions), len(page.refused)) == (1, 2)
    with pytest.raises(FetchError):
        await NEWS.fetch(Answering(lambda asked: []).web(), {}, NOW)


@pytest.mark.skipif(not REAL.exists(), reason="has no real payloads here")
def test_the_items_of_the_official_documentation_are_read() -> None:
    shown = re.findall(r"```javascript\n(.*?)```", (REAL / "README.md").read_text(), re.DOTALL)
    items = [json.loads(one) for one in shown if one.lstrip().startswith("{")]
    items = [one for one in items if "type" in one]
    page = gathered(items, lambda one: [item_said(str(one["id"]), one, None)])
    assert not page.refused
    assert page.passed_over == {"option": 1}
    names = {said.name for said in page.submissions if isinstance(said, PostSubmission)}
    assert "My YC app: Dropbox - Throw away your USB drive" in names
    assert len(page.submissions) == 5
