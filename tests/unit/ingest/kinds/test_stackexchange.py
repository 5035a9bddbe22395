"""Stack Exchange: questions with what is said under them, and how long it is left alone."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from answering import Answer, Answering, Asked
from pydantic import ValidationError

from klankbord_ingest.kind import FetchError, PostSubmission
from klankbord_ingest.kinds.stackexchange import StackExchange, question_said
from klankbord_ingest.submission import PostSubmission as Post
from klankbord_ingest.web import LaterError

SITE = StackExchange.model_validate(
    {"kind": "stackexchange", "name": "so", "community": "demo", "tags": ["acme", "python"]}
)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
START = int(NOW.timestamp()) - 3600
OWNER = {"user_id": 7, "display_name": "Ada &amp; co", "profile_image": "https://x/7"}


def question(number: int = 10, at: int = START, **changed: Any) -> dict[str, Any]:
    return {
        "question_id": number,
        "title": "Why is &quot;acme&quot; slow?",
        "body": "<p>It <em>is</em>.</p>",
        "tags": ["acme", "python"],
        "link": f"https://stackoverflow.com/questions/{number}/why",
        "owner": OWNER,
        "creation_date": at,
        "last_activity_date": at,
    } | changed


def answer(number: int = 11, **changed: Any) -> dict[str, Any]:
    return {
        "answer_id": number,
        "body": "<p>Because.</p>",
        "owner": {"display_name": "gone", "user_type": "does_not_exist"},
        "creation_date": START + 60,
    } | changed


def comment(number: int = 5, **changed: Any) -> dict[str, Any]:
    return {
        "comment_id": number,
        "body": "Which version?",
        "owner": {"user_id": -1, "display_name": "Community"},
        "creation_date": START + 30,
        "edited": False,
    } | changed


def told(said: dict[str, Any]) -> list[Post]:
    return [Post.model_validate(one) for one in question_said(said)]


def test_a_question_its_comment_its_answer_and_theirs() -> None:
    asked, remark, answered, thanks = told(
        question(
            comments=[comment()],
            answers=[answer(last_edit_date=START + 90, comments=[comment(6, edited=True)])],
        )
    )
    assert (asked.native_id, asked.context, asked.object_type) == ("10", "10", "Question")
    assert (asked.name, asked.text) == ('Why is "acme" slow?', "It is.")
    assert asked.tag == ["acme", "python"]
    assert asked.attributed_to
    assert (asked.attributed_to.id, asked.attributed_to.preferred_username) == ("7", "Ada & co")
    assert (remark.native_id, remark.in_reply_to, remark.context) == ("comment/5", "10", "10")
    assert remark.is_automated
    assert (answered.native_id, answered.in_reply_to) == ("11", "10")
    assert (answered.operation, answered.updated) == (
        "update",
        datetime.fromtimestamp(START + 90, UTC),
    )
    assert answered.attributed_to is None
    assert (thanks.native_id, thanks.in_reply_to, thanks.operation) == ("comment/6", "11", "update")
    assert thanks.updated is None


def test_it_has_to_ask_for_something() -> None:
    with pytest.raises(ValidationError, match="asks for everything"):
        StackExchange.model_validate({"kind": "stackexchange", "name": "so", "community": "demo"})


class Site:
    """The API of one site, two questions at a time."""

    def __init__(self, *questions: dict[str, Any]) -> None:
        self.questions = list(questions)
        self.extra: dict[str, Any] = {}
        self.answering = Answering(self._answer)

    def _answer(self, asked: Asked) -> Any:
        if asked.url.endswith("/filters/create"):
            assert "answer.body" in asked.query["include"]
            return {"items": [{"filter": "!abc"}], "quota_remaining": 299}
        assert asked.query["filter"] == "!abc"
        assert asked.query["tagged"] == "acme;python"
        least = int(asked.query.get("min", 0))
        found = sorted(
            (one for one in self.questions if one["last_activity_date"] >= least),
            key=lambda one: int(one["last_activity_date"]),
            reverse=asked.query["order"] == "desc",
        )
        first = 2 * (int(asked.query["page"]) - 1)
        shown = found[first : first + 2]
        more = first + 2 < len(found)
        return {"items": shown, "has_more": more, "quota_remaining": 290, **self.extra}

    async def round(self, cursor: Any) -> tuple[list[str], Any]:
        told: list[str] = []
        more = True
        while more:
            page = await SITE.fetch(self.answering.web(), cursor, NOW)
            assert not page.refused
            posts = [said for said in page.submissions if isinstance(said, PostSubmission)]
            told += [f"{said.operation} {said.native_id}" for said in posts]
            cursor, more = json.loads(json.dumps(page.cursor)), page.more
        return told, cursor


async def test_rounds_tell_what_is_there_then_what_was_active_since() -> None:
    site = Site(*(question(n, START + n) for n in range(1, 4)))
    told, cursor = await site.round({})
    assert told == ["create 2", "create 3"]  # the newest page
    site.questions += [question(n, START + 600 + n) for n in range(20, 27)]
    site.questions[0] = question(1, START, last_activity_date=START + 900, answers=[answer()])
    told, cursor = await site.round(cursor)
    assert set(told) >= {f"create {n}" for n in range(20, 27)} | {"create 1", "create 11"}
    assert sum(asked.url.endswith("/filters/create") for asked in site.answering.asked) == 1
    web = site.answering.web(key="app-key-12345")
    await SITE.fetch(web, cursor, NOW)
    assert site.answering.asked[-1].query["key"] == "app-key-12345"
    assert web.rate_left == 290


async def test_a_backoff_is_waited_for() -> None:
    site = Site(*(question(n, START + n) for n in range(1, 9)))
    _, cursor = await site.round({})
    site.extra = {"backoff": 30}
    page = await SITE.fetch(site.answering.web(), {**cursor, "since": START}, NOW)
    assert page.wish == timedelta(seconds=30)
    assert page.more
    asked = len(site.answering.asked)
    with pytest.raises(LaterError) as caught:
        await SITE.fetch(site.answering.web(), page.cursor or {}, NOW + timedelta(seconds=29))
    assert caught.value.wish
    assert len(site.answering.asked) == asked
    await SITE.fetch(site.answering.web(), page.cursor or {}, NOW + timedelta(seconds=31))
    assert len(site.answering.asked) == asked + 1


async def test_history_begins_where_it_is_asked_to() -> None:
    old = question(1, START - 9000, last_activity_date=START + 10, answers=[answer(2)])
    site = Site(old, *(question(n, START + n) for n in range(3, 8)))
    told: list[str] = []
    cursor: Any = {}
    more = True
    while more:
        page = await SITE.backfill(site.answering.web(), cursor, datetime.fromtimestamp(START, UTC))
        told += [said.native_id for said in page.submissions if isinstance(said, PostSubmission)]
        cursor, more = page.cursor, page.more
    assert set(told) == {"2", "3", "4", "5", "6", "7"}


async def test_a_bad_question_is_refused_alone_and_a_bad_answer_said() -> None:
    site = Site(question(1), question(2, owner="nobody"))
    page = await SITE.fetch(site.answering.web(), {}, NOW)
    assert (len(page.submissions), len(page.refused)) == (1, 1)
    error = {"error_id": 502, "error_name": "throttle_violation", "error_message": "too many"}
    broken = Answering(lambda asked: Answer(error, 400)).web()
    with pytest.raises(FetchError, match="too many"):
        await SITE.fetch(broken, {}, NOW)
    with pytest.raises(FetchError):
        await SITE.fetch(Answering(lambda asked: []).web(), {}, NOW)
