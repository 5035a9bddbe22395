"""Discourse: posts, edits, deletes and recoveries, by webhook and by asking; who may send."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from answering import Answering, Asked, Kept, posted
from pydantic import ValidationError

from klankbord_ingest.kind import (
    DepartureSubmission,
    FetchError,
    InteractionSubmission,
    Page,
    PostSubmission,
    UnsignedError,
)
from klankbord_ingest.kinds.discourse import Discourse, without_quotes
from klankbord_ingest.source import Source
from klankbord_ingest.sources import source_of
from klankbord_schemas.community import Community

FORUM = Discourse.model_validate(
    {"kind": "discourse", "name": "forum", "community": "demo", "url": "https://forum.example.org/"}
)
SOURCE: Source = source_of(
    FORUM, Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))
)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
REAL = Path(__file__).resolve().parents[5] / "shared/real/payloads/discourse"


def post(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "id": 100 + number,
        "user_id": 7,
        "username": "ada",
        "name": "Ada L.",
        "avatar_template": "/user_avatar/forum.example.org/ada/{size}/2_1.png",
        "created_at": "2026-11-20T10:00:00.100Z",
        "updated_at": "2026-11-20T10:00:00.100Z",
        "cooked": "<p>Hello <b>there</b></p>",
        "raw": "Hello **there**",
        "post_number": number,
        "post_type": 1,
        "reply_to_post_number": None,
        "topic_id": 17,
        "topic_slug": "hello",
        "topic_title": "Hello all",
        "topic_archetype": "regular",
        "category_slug": "support",
        "version": 1,
        "hidden": False,
        "user_deleted": False,
    } | changed


def heard(document: Any, event: str = "") -> Page:
    return FORUM.read(posted(document, X_Discourse_Event=event), SOURCE, NOW)


def told(said: dict[str, Any], event: str = "post_created") -> PostSubmission:
    (submission,) = heard({"post": said}, event).submissions
    assert isinstance(submission, PostSubmission)
    return submission


def test_a_new_topic_is_a_post_with_a_title() -> None:
    said = told(post())
    assert (said.native_id, said.context, said.in_reply_to) == ("17/1", "17", None)
    assert (said.operation, said.sequence, said.updated) == ("create", None, None)
    assert said.name == "Hello all"
    assert (said.text, said.content_html) == ("Hello **there**", "<p>Hello <b>there</b></p>")
    assert said.url == "https://forum.example.org/t/hello/17/1"
    assert said.tag == ["support"]
    assert told(post(raw="[quote]https://a.example[/quote] https://b.example")).link == [
        "https://b.example"
    ]
    author = said.attributed_to
    assert author
    assert (author.id, author.preferred_username, author.name) == ("7", "ada", "Ada L.")
    assert author.icon == "https://forum.example.org/user_avatar/forum.example.org/ada/96/2_1.png"
    assert not author.is_automated
    assert FORUM.own_platform == "forum.example.org"


def test_a_reply_answers_the_post_it_names_else_the_topic() -> None:
    assert told(post(4, reply_to_post_number=3)).in_reply_to == "17/3"
    assert told(post(4)).in_reply_to == "17/1"
    assert told(post(4)).name is None


def test_an_edit_states_when_it_was_made() -> None:
    later = "2026-11-20T10:30:00Z"
    for changed in ({"version": 2, "updated_at": later}, {"updated_at": later}):
        said = told(post(**changed), "post_edited")
        assert said.operation == "update"
        assert said.updated == datetime.fromisoformat(later)
        # asked for, it is the same version
        assert told(post(**changed), "") == said


def test_a_create_that_was_saved_twice_is_no_edit() -> None:
    assert told(post(updated_at="2026-11-20T10:00:00.450Z")).updated is None


def test_a_delete_has_no_words() -> None:
    gone = told(post(deleted_at="2026-11-21T08:00:00Z"), "post_destroyed")
    assert (gone.native_id, gone.operation, gone.text) == ("17/1", "delete", "")
    assert gone.updated == datetime(2026, 11, 21, 8, tzinfo=UTC)
    # older versions tell it as it was before
    assert told(post(), "post_destroyed").operation == "delete"
    # its author took it back: the text that stands there is Discourse's
    assert told(post(user_deleted=True, raw="(post deleted by author)"), "").operation == "delete"


def test_a_recovered_post_is_there_again() -> None:
    back = told(post(), "post_recovered")
    assert (back.operation, back.updated, back.text) == ("create", NOW, "Hello **there**")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"topic_archetype": "private_message"}, "private"),
        ({"post_type": 2}, "moderator_action"),
        ({"post_type": 3, "action_code": "closed.enabled"}, "small_action"),
        ({"post_type": 4}, "whisper"),
        ({"hidden": True}, "hidden"),
    ],
)
def test_what_is_not_said_to_all_is_passed_over(changed: dict[str, Any], reason: str) -> None:
    page = heard({"post": post(**changed)}, "post_created")
    assert (list(page.submissions), page.passed_over) == ([], {reason: 1})


def test_other_events_are_passed_over() -> None:
    assert heard({"ping": "OK"}).passed_over == {"ping": 1}
    assert heard({"topic": {"id": 17}}, "topic_edited").passed_over == {"topic": 1}
    assert heard({"user": {"id": 7}}, "user_logged_in").passed_over == {"account": 1}
    assert heard({"reviewable": {"id": 7}}, "reviewable_created").passed_over == {"no_post": 1}
    private = {"id": 17, "archetype": "private_message", "highest_post_number": 3}
    assert heard({"topic": private}, "topic_destroyed").passed_over == {"private": 1}


def test_a_deleted_topic_takes_its_posts_with_it() -> None:
    topic = {"id": 17, "archetype": "regular", "highest_post_number": 3}
    page = heard({"topic": topic}, "topic_destroyed")
    gone = [said for said in page.submissions if isinstance(said, PostSubmission)]
    assert [(said.native_id, said.operation) for said in gone] == [
        ("17/1", "delete"),
        ("17/2", "delete"),
        ("17/3", "delete"),
    ]


def test_a_like_is_one_however_often_it_is_told() -> None:
    like = {"post": post(2), "user": {"id": 9, "username": "bob", "name": ""}}
    (said,) = heard({"like": like}, "post_liked").submissions
    assert isinstance(said, InteractionSubmission)
    assert (said.kind, said.native_id, said.object) == ("like", "like/17/2/9", "17/2")
    assert said.attributed_to
    assert said.attributed_to.id == "9"


def test_accounts_come_and_go() -> None:
    user = {"id": 9, "username": "bob", "created_at": "2026-11-01T00:00:00Z"}
    (joined,) = heard({"user": user}, "user_created").submissions
    assert isinstance(joined, InteractionSubmission)
    assert (joined.kind, joined.native_id) == ("join", "user/9")
    (left,) = heard({"user": user}, "user_destroyed").submissions
    assert isinstance(left, DepartureSubmission)
    assert left.attributed_to.id == "9"


def test_its_own_accounts_are_bots() -> None:
    said = told(post(user_id=-1, username="system"))
    assert said.is_automated
    assert said.attributed_to
    assert said.attributed_to.is_automated
    assert told(post(is_auto_generated=True)).is_automated


@pytest.mark.parametrize(
    "body", [[], "x", {"post": []}, {"post": {"id": 3}}, {"post": post(created_at="yesterday")}]
)
def test_what_is_no_payload_of_discourse_is_refused(body: Any) -> None:
    page = heard(body, "post_created")
    assert not page.submissions
    assert len(page.refused) == 1


def test_what_a_post_quotes_is_not_its_own() -> None:
    raw = (
        '[quote="bob, post:1, topic:17"]\nYou [quote]fool[/quote] you\n[/quote]\n\nNo, [quote] me.'
    )
    assert without_quotes(raw) == "No, [quote] me."
    deep = "[quote]" * 10_000 + "x" + "[/quote]" * 10_000
    assert without_quotes(deep) == ""


# https://github.com/discourse/discourse, spec/jobs/emit_web_hook_event_spec.rb
OFFICIAL_KEY = b"my_lovely_secret_for_web_hook"
OFFICIAL_BODY = b'{"ping":"OK"}'
OFFICIAL = "sha256=162f107f6b5022353274eb1a7197885cfd35744d8d08e5bcea025d309386b7d6"


def verified(body: bytes, keys: list[bytes], **headers: str) -> str | None:
    return FORUM.verify(posted(body, **headers), {"signature": keys, "token": []}, NOW)


def test_the_official_signature_is_right_with_either_key_of_a_rotation() -> None:
    given = {"X_Discourse_Event_Signature": OFFICIAL, "X_Discourse_Event_Id": "41"}
    assert verified(OFFICIAL_BODY, [OFFICIAL_KEY], **given) == "41"
    assert verified(OFFICIAL_BODY, [b"a newer one, of course", OFFICIAL_KEY], **given) == "41"


@pytest.mark.parametrize(
    ("body", "keys", "headers"),
    [
        (OFFICIAL_BODY + b" ", [OFFICIAL_KEY], {"X_Discourse_Event_Signature": OFFICIAL}),
        (OFFICIAL_BODY, [b"another secret"], {"X_Discourse_Event_Signature": OFFICIAL}),
        (OFFICIAL_BODY, [], {"X_Discourse_Event_Signature": OFFICIAL}),
        (OFFICIAL_BODY, [OFFICIAL_KEY], {}),
        (OFFICIAL_BODY, [OFFICIAL_KEY], {"X_Discourse_Event_Signature": OFFICIAL[7:]}),
        (OFFICIAL_BODY, [OFFICIAL_KEY], {"X_Discourse_Event_Signature": "sha256=\u00e9"}),
        (
            OFFICIAL_BODY,
            [OFFICIAL_KEY],
            {"X_Discourse_Event_Signature": OFFICIAL, "X-Discourse-Event-Signature": OFFICIAL},
        ),
    ],
)
def test_what_it_did_not_sign_is_refused(
    body: bytes, keys: list[bytes], headers: dict[str, str]
) -> None:
    with pytest.raises(UnsignedError):
        verified(body, keys, **headers)


def at(minutes: int) -> str:
    return f"2026-11-20T10:{minutes:02}:00Z"


def test_what_is_told_in_two_ways_is_one_post_through_its_whole_life() -> None:
    kept = Kept()

    def hear(said: dict[str, Any], event: str = "", now: datetime = NOW) -> int:
        page = FORUM.read(posted({"post": said}, X_Discourse_Event=event), SOURCE, now)
        return kept.hear(page.submissions, now)

    assert hear(post(), "post_created") == 1
    # a preview of a link was put into the HTML since; nobody edited it
    assert hear(post(cooked="<p>Hello</p><aside class='onebox'>A title</aside>")) == 0
    assert hear(post()) == 0
    # within the first minutes an edit counts no revision
    ninja = post(raw="Hello, all", updated_at=at(2))
    assert hear(ninja) == 1
    assert hear(ninja, "post_edited") == 0
    later = post(raw="Hello, everybody", updated_at=at(30), version=2)
    assert hear(later, "post_edited") == 1
    assert hear(ninja, "post_edited") == 0  # sent again, late
    assert hear(later) == 0
    assert kept.standing == {"17/1": "Hello, everybody"}
    # deleted by staff, which moves no `updated_at`, and recovered
    gone = later | {"deleted_at": at(40)}
    assert hear(gone, "post_destroyed") == 1
    assert hear(gone, "post_destroyed") == 0
    assert kept.standing == {}
    back = NOW.replace(minute=5)
    assert hear(later, "post_recovered", back) == 1
    assert hear(later) == 0
    assert hear(gone, "post_destroyed", NOW.replace(minute=6)) == 0  # sent again, late
    assert kept.standing == {"17/1": "Hello, everybody"}
    # taken back by its author, which is an edit and a delete, and recovered by them
    stub = later | {"raw": "(post deleted by author)", "updated_at": at(50), "version": 3}
    hear(stub, "post_edited")
    assert hear(stub | {"user_deleted": True}, "post_destroyed", NOW.replace(minute=10)) >= 0
    hear(post(deleted_at="2026-11-22T13:00:00Z"), "post_destroyed", NOW.replace(hour=13))
    assert kept.standing == {}


async def test_a_post_that_only_asking_saw_go_comes_back_by_asking() -> None:
    forum, kept = Forum(post(1), post(2)), Kept()
    cursor: Any = {}
    for listed in ([1, 2], [2], [2], [1, 2], [1, 2]):
        forum.posts = {100 + number: post(number) for number in listed}
        more = True
        while more:
            page = await FORUM.fetch(forum.answering.web(), cursor, datetime.now(UTC))
            kept.hear(page.submissions, datetime.now(UTC))
            cursor, more = json.loads(json.dumps(page.cursor)), page.more
        assert set(kept.standing) == {f"17/{number}" for number in listed}


class Forum:
    """`/posts.json` of a forum, fifty at a time, the newest first."""

    def __init__(self, *posts: dict[str, Any]) -> None:
        self.posts = {said["id"]: said for said in posts}
        self.answering = Answering(self._answer)

    def _answer(self, asked: Asked) -> Any:
        assert asked.url == "https://forum.example.org/posts.json"
        before = int(asked.query.get("before", 10**9))
        newest = sorted((number for number in self.posts if number < before), reverse=True)
        return {"latest_posts": [self.posts[number] for number in newest[:50]]}

    def say(self, *posts: dict[str, Any]) -> None:
        self.posts |= {said["id"]: said for said in posts}

    async def round(self, cursor: Any) -> tuple[list[str], Any]:
        """What one round of asking tells, as `operation native-id`, and its cursor."""
        told: list[str] = []
        more = True
        while more:
            page = await FORUM.fetch(self.answering.web(), cursor, NOW)
            posts = [said for said in page.submissions if isinstance(said, PostSubmission)]
            told += [f"{said.operation} {said.native_id}" for said in posts]
            cursor, more = json.loads(json.dumps(page.cursor)), page.more
        return told, cursor


async def test_asking_tells_what_is_new_edited_gone_moved_and_back() -> None:
    forum = Forum(*(post(number) for number in range(1, 4)))
    told, cursor = await forum.round({})
    assert told == ["create 17/1", "create 17/2", "create 17/3"]
    assert await forum.round(cursor) == ([], cursor)
    assert len(forum.answering.asked) == 2

    edited = post(2, updated_at="2026-11-21T10:00:00Z", version=2)
    forum.say(post(4), edited)
    del forum.posts[103]
    told, cursor = await forum.round(cursor)
    assert told == ["delete 17/3", "update 17/2", "create 17/4"]

    forum.say(post(3), post(4, topic_id=18, post_number=1))
    told, cursor = await forum.round(cursor)
    assert told == ["delete 17/4", "create 17/3", "create 18/1"]
    assert (await forum.round(cursor))[0] == []


async def test_asking_finds_all_that_came_in_a_long_silence() -> None:
    forum = Forum(*(post(number) for number in range(1, 11)))
    _, cursor = await forum.round({})
    forum.say(*(post(number) for number in range(11, 400)))
    told, cursor = await forum.round(cursor)
    assert sorted(told) == sorted(f"create 17/{number}" for number in range(11, 400))
    assert len(json.dumps(cursor)) < 64_000
    assert (await forum.round(cursor))[0] == []


async def test_asking_goes_on_where_it_stopped_in_the_middle() -> None:
    forum = Forum(post(1))
    _, cursor = await forum.round({})
    forum.say(*(post(number) for number in range(2, 200)))
    first = await FORUM.fetch(forum.answering.web(), cursor, NOW)
    assert first.more
    forum.say(post(200))
    told, cursor = await forum.round(first.cursor)
    told_later, _ = await forum.round(cursor)
    heard_of = {said.native_id for said in first.submissions if isinstance(said, PostSubmission)}
    heard_of |= {said.split()[1] for said in told + told_later}
    assert heard_of == {f"17/{number}" for number in range(2, 201)}


async def test_a_bad_post_in_a_good_page_is_refused_alone() -> None:
    forum = Forum(post(1), post(2, created_at=None), post(3))
    page = await FORUM.fetch(forum.answering.web(), {}, NOW)
    assert len(page.submissions) == 2
    assert len(page.refused) == 1


async def test_an_empty_answer_deletes_nothing() -> None:
    forum = Forum(post(1), post(2))
    _, cursor = await forum.round({})
    forum.posts.clear()
    told, cursor = await forum.round(cursor)
    assert told == []
    forum.say(post(1), post(2))
    assert (await forum.round(cursor))[0] == []


async def test_the_key_is_sent_and_only_with_a_name_where_one_is_given() -> None:
    forum = Forum(post(1))
    await FORUM.fetch(forum.answering.web(token="secret-key"), {}, NOW)
    assert forum.answering.asked[-1].headers["Api-Key"] == "secret-key"
    assert "Api-Username" not in forum.answering.asked[-1].headers
    named = FORUM.model_copy(update={"api_username": "klankbord"})
    await named.fetch(forum.answering.web(token="secret-key"), {}, NOW)
    assert forum.answering.asked[-1].headers["Api-Username"] == "klankbord"


async def test_what_is_no_forum_is_said_so() -> None:
    with pytest.raises(FetchError, match="a Discourse forum"):
        await FORUM.fetch(Answering(lambda asked: {"hello": 1}).web(), {}, NOW)


async def test_history_is_told_to_its_beginning_with_the_same_ids() -> None:
    forum = Forum(*(post(number) for number in range(1, 121)))
    told: list[str] = []
    cursor: Any = {}
    more = True
    while more:
        page = await FORUM.backfill(forum.answering.web(), cursor, None)
        told += [said.native_id for said in page.submissions if isinstance(said, PostSubmission)]
        cursor, more = page.cursor, page.more
    assert sorted(told) == sorted(f"17/{number}" for number in range(1, 121))


async def test_history_ends_where_it_is_asked_to() -> None:
    old = [
        post(number, created_at="2020-01-01T00:00:00Z", updated_at="2020-01-01T00:00:00Z")
        for number in range(1, 101)
    ]
    forum = Forum(*old, post(101), post(102))
    page = await FORUM.backfill(forum.answering.web(), {}, datetime(2026, 1, 1, tzinfo=UTC))
    assert len(page.submissions) == 2
    assert page.passed_over == {"older": 48}
    assert page.more
    page = await FORUM.backfill(
        forum.answering.web(), page.cursor or {}, datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert not page.more


@pytest.mark.skipif(not REAL.exists(), reason="has no real payloads here")
def test_the_posts_of_the_official_examples_are_read() -> None:
    folder = REAL / "api-docs/responses"
    updated = json.loads((folder / "posts/update_post_response.json").read_text())["post"]
    created = json.loads((folder / "topics/new_topic_response.json").read_text())
    topic = json.loads((folder / "topics/topic_response.json").read_text())
    shown = topic["post_stream"]["posts"][0]
    assert told(updated, "post_edited").native_id == "12/11"
    assert told(updated, "").operation == "update"
    assert told(created).operation == "create"
    assert told(shown).text.startswith("(Replace this first paragraph")


def test_a_secret_is_needed_only_for_webhooks() -> None:
    given = {"kind": "discourse", "name": "forum", "community": "demo", "url": "https://f.example"}
    both = Discourse.model_validate(given)
    assert both.needs(both.secrets["signature"])
    assert not both.needs(both.secrets["token"])
    asked = Discourse.model_validate({**given, "webhook": False})
    assert asked.uses("pull")
    assert not asked.uses("push")
    assert not asked.needs(asked.secrets["signature"])
    with pytest.raises(ValidationError, match="never heard"):
        Discourse.model_validate({**given, "webhook": False, "ask": False})
