"""Slack: what its events say, who may send them, and how history is asked for."""

import hmac
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asked import Asked, Question, request, source

from klankbord_ingest.imports.slack import read_slack
from klankbord_ingest.kind import FetchError, Page, RefusedError, UnsignedError
from klankbord_ingest.kinds.slack import Slack
from klankbord_ingest.submission import (
    DepartureSubmission,
    InteractionSubmission,
    PostSubmission,
)
from klankbord_ingest.web import LaterError, RefusedTokenError

NOW = datetime(2025, 11, 22, 12, tzinfo=UTC)
TS = "1763805600.000100"
EDITED = "1763805700.000000"
KEY = b"8f742231b10e8888abcd99yyyzzz85a5"
REAL = Path(__file__).parents[5] / "shared" / "real" / "payloads" / "slack"


def entry(**fields: Any) -> Slack:
    return Slack(
        name="slack", community="demo", kind="slack", team="T1", **{"workspace": "acme"} | fields
    )


def signed(body: bytes, moment: datetime = NOW, key: bytes = KEY) -> Any:
    stamp = str(int(moment.timestamp()))
    digest = hmac.digest(key, b"v0:%s:%s" % (stamp.encode(), body), "sha256").hex()
    return request(body, x_slack_request_timestamp=stamp, x_slack_signature=f"v0={digest}")


def callback(event: dict[str, Any], **outer: Any) -> dict[str, Any]:
    return {
        "type": "event_callback",
        "team_id": "T1",
        "event_id": "Ev1",
        "event_time": 1763805600,
        "event": event,
    } | outer


def heard(event: dict[str, Any], slack: Slack | None = None, **outer: Any) -> Page:
    kind = slack or entry()
    body = json.dumps(callback(event, **outer)).encode()
    return kind.read(request(body), source(kind), NOW)


def message(**fields: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "channel": "C1",
        "channel_type": "channel",
        "user": "U1",
        "text": "Hello",
        "ts": TS,
        "event_ts": TS,
    } | fields


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    given = {"type": "message", "user": "U1", "ts": TS}
    return message(
        subtype="message_changed",
        hidden=True,
        ts="1763805701.000000",
        event_ts="1763805701.000000",
        message=given | after,
        previous_message=given | before,
    )


def only(page: Page) -> Any:
    assert not page.refused
    (said,) = page.submissions
    return said


# Who may send


def test_the_signature_of_slacks_documentation_is_right() -> None:
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
        b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
        b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
        b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    asked = request(
        body,
        x_slack_request_timestamp="1531420618",
        x_slack_signature="v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    )
    at = datetime.fromtimestamp(1531420618, UTC)
    assert entry().verify(asked, {"signature": [KEY], "token": []}, at) is None


def test_a_delivery_is_named_by_its_event_whichever_key_signed_it() -> None:
    body = json.dumps(callback(message())).encode()
    keys = {"signature": [b"the-new-key-of-the-app", KEY]}
    assert entry().verify(signed(body), keys, NOW) == "Ev1"
    again = entry().verify(signed(body, NOW + timedelta(seconds=60)), keys, NOW)
    assert again == "Ev1"


BODY = json.dumps(callback(message())).encode()


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(signed(BODY, key=b"another"), id="another key"),
        pytest.param(signed(BODY, NOW - timedelta(seconds=301)), id="stale"),
        pytest.param(signed(BODY, NOW + timedelta(seconds=301)), id="early"),
        pytest.param(request(BODY), id="unsigned"),
        pytest.param(
            request(BODY, x_slack_request_timestamp="now", x_slack_signature="v0="), id="no time"
        ),
        pytest.param(
            request(BODY, x_slack_request_timestamp="1763812800", x_slack_signature="v0=ü"),
            id="no ASCII",
        ),
    ],
)
def test_what_slack_did_not_send_now_is_refused(asked: Any) -> None:
    with pytest.raises(UnsignedError):
        entry().verify(asked, {"signature": [KEY]}, NOW)


def test_a_changed_body_a_doubled_header_and_a_source_without_secret_are_refused() -> None:
    slack, right = entry(), signed(BODY)
    tampered = request(BODY.replace(b"Hello", b"Hallo"))
    doubled = [*right.headers, *right.headers]
    for headers, body, keys in (
        (right.headers, tampered.body, [KEY]),
        (doubled, BODY, [KEY]),
        (right.headers, BODY, []),
    ):
        asked = type(right)("POST", "", {}, headers, body)
        with pytest.raises(UnsignedError):
            slack.verify(asked, {"signature": keys}, NOW)


def test_the_challenge_is_given_back() -> None:
    body = b'{"type": "url_verification", "challenge": "3eZbrw1a", "token": "x"}'
    slack = entry()
    assert slack.verify(signed(body), {"signature": [KEY]}, NOW) is None
    reply = slack.answer(signed(body), {"signature": [KEY]}, NOW)
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"3eZbrw1a")
    assert slack.answer(signed(BODY), {"signature": [KEY]}, NOW) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"'])
def test_what_is_no_event_is_refused_as_a_whole(body: bytes) -> None:
    slack = entry()
    assert slack.answer(request(body), {}, NOW) is None
    with pytest.raises(RefusedError):
        slack.read(request(body), source(slack), NOW)


# What events say


def test_a_message_is_a_post_of_its_workspace() -> None:
    slack = entry(channels={"C1": "general"})
    text = "<@U2> see <https://example.org/a?b=1&amp;c=2|this> &lt;now&gt; <#C2|help>"
    post = only(heard(message(text=text), slack))
    assert isinstance(post, PostSubmission)
    assert slack.own_platform == "slack:T1"
    assert (post.native_id, post.operation, post.tag) == (f"C1:{TS}", "create", ["general"])
    assert post.content == "@U2 see this (https://example.org/a?b=1&c=2) <now> #help"
    assert (post.mention, post.link) == (["U2"], ["https://example.org/a?b=1&c=2"])
    assert post.published == datetime(2025, 11, 22, 10, 0, 0, 100, tzinfo=UTC)
    assert post.url == "https://acme.slack.com/archives/C1/p1763805600000100"
    assert post.attributed_to is not None
    assert post.attributed_to.id == "U1"
    assert (post.context, post.in_reply_to, post.updated) == (None, None, None)


@pytest.mark.parametrize("subtype", [None, "thread_broadcast"])
def test_an_answer_names_its_thread(subtype: str | None) -> None:
    answer = only(heard(message(subtype=subtype, thread_ts="1763800000.000000")))
    opening = only(heard(message(thread_ts=TS)))
    assert answer.context == answer.in_reply_to == "C1:1763800000.000000"
    assert (opening.context, opening.in_reply_to) == (f"C1:{TS}", None)
    assert answer.url.endswith("p1763805600000100?thread_ts=1763800000.000000&cid=C1")


def test_an_edit_is_a_later_version_of_the_same_post() -> None:
    edit = {"text": "Hello all", "edited": {"user": "U1", "ts": EDITED}}
    post = only(heard(changed({"text": "Hello"}, edit)))
    assert (post.native_id, post.operation, post.content) == (f"C1:{TS}", "update", "Hello all")
    assert post.updated == datetime(2025, 11, 22, 10, 1, 40, tzinfo=UTC)
    assert post.published == datetime(2025, 11, 22, 10, 0, 0, 100, tzinfo=UTC)


def test_an_app_that_changes_its_message_says_when() -> None:
    post = only(
        heard(changed({"text": "1 of 2", "bot_id": "B1"}, {"text": "2 of 2", "bot_id": "B1"}))
    )
    assert (post.operation, post.is_automated) == ("update", True)
    assert post.updated == datetime(2025, 11, 22, 10, 1, 41, tzinfo=UTC)


def test_a_page_that_slack_shows_below_a_link_changes_nothing() -> None:
    page = {"from_url": "https://example.org", "title": "Example", "text": "Their words"}
    shown = heard(changed({"text": "See"}, {"text": "See", "attachments": [page]}))
    assert (shown.submissions, shown.passed_over) == ([], {"unchanged": 1})


@pytest.mark.parametrize(
    "event",
    [
        message(
            subtype="message_deleted",
            deleted_ts=TS,
            ts="1763805800.000000",
            previous_message={"type": "message", "user": "U1", "text": "Hello", "ts": TS},
        ),
        changed({"text": "Hello"}, {"subtype": "tombstone", "user": "USLACKBOT", "text": "Gone"}),
    ],
)
def test_a_deleted_message_is_a_delete_by_its_author_even_when_answers_keep_its_place(
    event: dict[str, Any],
) -> None:
    post = only(heard(event))
    assert (post.native_id, post.operation, post.content) == (f"C1:{TS}", "delete", "")
    assert post.attributed_to is not None
    assert post.attributed_to.id == "U1"


def test_a_bot_is_marked_and_named() -> None:
    profile = {"id": "B1", "name": "Deploys", "icons": {"image_72": "https://example.org/b.png"}}
    of_an_app = only(heard(message(user="U9", bot_id="B1", bot_profile=profile)))
    classic = only(heard(message(subtype="bot_message", user=None, bot_id="B2", username="CI")))
    assert of_an_app.is_automated
    assert classic.is_automated
    assert (of_an_app.attributed_to.id, of_an_app.attributed_to.name) == ("U9", "Deploys")
    assert (classic.attributed_to.id, classic.attributed_to.type) == ("B2", "Service")
    assert (classic.attributed_to.name, of_an_app.attributed_to.icon) == (
        "CI",
        "https://example.org/b.png",
    )


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (message(channel="D1", channel_type="im"), "private"),
        (message(channel="C9", channel_type="mpim"), "private"),
        (message(channel="C9", channel_type="group"), "private"),
        (message(channel="G9"), "private"),
        (message(subtype="channel_topic"), "no_post"),
        (message(subtype="message_replied"), "no_post"),
        (message(text=""), "empty"),
        ({"type": "app_mention", "text": "x"}, "doubled"),
        ({"type": "channel_rename"}, "no_post"),
        ({"type": "reaction_removed"}, "withdrawn"),
        (
            message(
                subtype="message_deleted",
                deleted_ts=TS,
                previous_message={"subtype": "channel_topic", "ts": TS},
            ),
            "no_post",
        ),
    ],
)
def test_what_is_not_said_in_public_is_passed_over(event: dict[str, Any], reason: str) -> None:
    page = heard(event)
    assert (page.submissions, page.refused, page.passed_over) == ([], [], {reason: 1})


def test_a_private_channel_is_heard_where_the_operator_lists_it() -> None:
    slack = entry(channels={"C9": "insiders"})
    assert only(heard(message(channel="C9", channel_type="group"), slack)).tag == ["insiders"]
    assert heard(message(), slack).passed_over == {"other_channel": 1}
    assert heard(message(channel="C9", channel_type="mpim"), slack).passed_over == {"private": 1}


def test_only_the_own_workspace_is_heard_and_a_shared_channel_is_of_it() -> None:
    assert heard(message(), team_id="T9").passed_over == {"other_workspace": 1}
    shared = heard(message(), team_id="T9", authorizations=[{"team_id": "T1", "is_bot": True}])
    assert len(shared.submissions) == 1


def test_a_reaction_is_a_like_with_its_emoji_and_one_whenever_it_is_heard() -> None:
    reaction = {
        "type": "reaction_added",
        "user": "U2",
        "reaction": "wave::skin-tone-3",
        "item": {"type": "message", "channel": "C1", "ts": TS},
        "event_ts": EDITED,
    }
    like = only(heard(reaction))
    assert isinstance(like, InteractionSubmission)
    assert (like.kind, like.object, like.content) == ("like", f"C1:{TS}", ":wave:")
    assert like.native_id == f"C1:{TS}:U2:wave"
    assert like.published == datetime(2025, 11, 22, 10, 1, 40, tzinfo=UTC)
    file = reaction | {"item": {"type": "file", "file": "F1"}}
    assert heard(file).passed_over == {"no_post": 1}


JOINED = {
    "message": message(subtype="channel_join"),
    "event": {
        "type": "member_joined_channel",
        "user": "U1",
        "channel": "C1",
        "channel_type": "C",
        "event_ts": TS,
    },
    "workspace": {
        "type": "team_join",
        "user": {"id": "U1", "name": "jo", "profile": {"real_name": "Jo Jansen"}},
        "event_ts": TS,
    },
}


@pytest.mark.parametrize("counted", JOINED)
def test_a_join_is_counted_once_by_the_word_that_was_chosen(counted: Any) -> None:
    slack = entry(joins=counted)
    for word, event in JOINED.items():
        page = heard(event, slack)
        if word == counted:
            join = only(page)
            assert (join.kind, join.attributed_to.id) == ("join", "U1")
        else:
            assert page.passed_over == {"doubled": 1}


def test_who_goes_leaves() -> None:
    assert only(heard(message(subtype="channel_leave"))).kind == "leave"
    left = JOINED["event"] | {"type": "member_left_channel"}
    assert only(heard(left, entry(joins="event"))).kind == "leave"


@pytest.mark.parametrize(
    "event",
    [
        message(ts="yesterday"),
        message(ts=None),
        {"type": "message", "channel": "C1", "text": "x"},
        {"type": "reaction_added", "item": {"type": "message"}},
        message(subtype="message_changed"),
        message(subtype="message_deleted"),
        {"type": "message", "channel": 7, "ts": TS},
        {},
        [],
    ],
)
def test_a_malformed_event_is_refused_with_a_reason(event: Any) -> None:
    page = heard(event)
    assert page.submissions == []
    assert len(page.refused) == 1
    assert page.refused[0].why


def test_a_notice_that_slack_sent_too_much_says_so() -> None:
    body = b'{"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1518467820}'
    slack = entry()
    assert slack.read(request(body), source(slack), NOW).passed_over == {"rate_limited": 1}


def test_a_message_is_the_same_post_by_event_by_history_and_by_export(tmp_path: Path) -> None:
    said = {
        "type": "message",
        "user": "U1",
        "text": "Look: <https://example.org> &amp; <#C2|help>",
        "ts": TS,
        "thread_ts": "1763800000.000000",
        "edited": {"user": "U1", "ts": EDITED},
    }
    file = tmp_path / "export.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("users.json", json.dumps([{"id": "U1", "team_id": "T1", "name": "jo"}]))
        archive.writestr("channels.json", json.dumps([{"id": "C1", "name": "general"}]))
        archive.writestr("general/2025-11-22.json", json.dumps([said]))
    (row,) = read_slack(file)
    slack = entry(channels={"C1": "general"})
    by_event = only(heard(changed({"text": "x"}, said), slack))
    by_history = PostSubmission.model_validate(slack.said(said, "C1", "general"))
    same = {
        "native_id", "operation", "published", "updated", "content", "tag", "mention", "link",
        "context", "in_reply_to", "is_automated",
    }  # fmt: skip
    exported = row.content
    assert isinstance(exported, PostSubmission)
    assert exported.platform == slack.own_platform
    expected = exported.model_dump(include=same)
    assert by_event.model_dump(include=same) == by_history.model_dump(include=same) == expected
    assert by_event.attributed_to.id == exported.attributed_to.id  # type: ignore[union-attr]


# What is asked for


class Workspace:
    """Plays Slack's Web API: a channel of messages, in pages of two, and their threads."""

    def __init__(
        self, *messages: dict[str, Any], threads: dict[str, list[Any]] | None = None
    ) -> None:
        self.messages = list(messages)
        self.threads = threads or {}
        self.refusals: dict[str, str] = {}

    def __call__(self, question: Question) -> Any:
        method = question.url.rpartition("/")[2]
        if method in self.refusals:
            return {"ok": False, "error": self.refusals[method], "needed": "channels:history"}
        params = question.params
        match method:
            case "conversations.list":
                listed = [("C1", True), ("C2", False)]
                channels = [
                    {"id": one, "name": f"n-{one}", "is_member": member} for one, member in listed
                ]
                return {"ok": True, "channels": channels, "response_metadata": {"next_cursor": ""}}
            case "users.info":
                user = {"id": params["user"], "name": "jo", "profile": {"real_name": "Jo Jansen"}}
                return {"ok": True, "user": user}
            case "conversations.history":
                return self._paged(self.messages[::-1], params)
            case "conversations.replies":
                return self._paged(self.threads[params["ts"]], params)
        raise AssertionError(method)

    @staticmethod
    def _paged(messages: list[Any], params: Any) -> dict[str, Any]:
        since = [one for one in messages if one["ts"] > params["oldest"]]
        start = int(params["cursor"] or 0)
        following = str(start + 2) if len(since) > start + 2 else ""
        return {
            "ok": True,
            "messages": since[start : start + 2],
            "has_more": bool(following),
            "response_metadata": {"next_cursor": following},
        }


def told(number: int, **fields: Any) -> dict[str, Any]:
    """The message of that number, one an hour."""
    ts = f"{1763800000 + 3600 * number}.000000"
    return {"type": "message", "user": "U1", "text": f"No. {number}", "ts": ts} | fields


async def all_of(slack: Slack, web: Asked, cursor: Any) -> tuple[list[Page], Any]:
    """Every page of a round."""
    pages = []
    while True:
        page = await slack.fetch(web, cursor, NOW)
        pages.append(page)
        cursor = json.loads(json.dumps(page.cursor))
        if not page.more:
            return pages, cursor


def contents(pages: list[Page]) -> list[str]:
    return [
        one.content or ""
        for page in pages
        for one in page.submissions
        if not isinstance(one, DepartureSubmission)
    ]


async def test_asking_begins_with_the_newest_page_and_goes_on_from_there() -> None:
    workspace = Workspace(*(told(number) for number in range(5)))
    web = Asked(workspace, token="xoxb-1234-5678")
    slack = entry(window=timedelta(minutes=1))
    pages, cursor = await all_of(slack, web, {})
    assert contents(pages) == ["No. 3", "No. 4"]
    (first, *_) = pages
    assert first.submissions[0].attributed_to.name == "Jo Jansen"  # type: ignore[union-attr]
    assert first.submissions[0].tag == ["n-C1"]  # type: ignore[union-attr]
    assert web.questions[0].headers == {"Authorization": "Bearer xoxb-1234-5678"}
    workspace.messages += [told(number) for number in range(5, 10)]
    pages, cursor = await all_of(slack, web, cursor)
    assert sorted(contents(pages)) == [f"No. {number}" for number in range(4, 10)]
    assert cursor == {"newest": {"C1": told(9)["ts"]}}


async def test_a_quiet_channel_costs_one_question_where_channels_are_listed() -> None:
    web = Asked(Workspace(told(1)), token="xoxb-1234-5678")
    slack = entry(channels={"C1": "general"})
    _, cursor = await all_of(slack, web, {})
    asked = len(web.questions)
    await all_of(slack, web, cursor)
    assert len(web.questions) == asked + 1


async def test_a_round_that_broke_off_goes_on_with_the_same_channel_and_page() -> None:
    workspace = Workspace(*(told(number) for number in range(9)))
    web = Asked(workspace, token="xoxb-1234-5678")
    slack = entry(channels={"C1": "general"})
    start = {"newest": {"C1": told(0)["ts"]}}
    first = await slack.fetch(web, start, NOW)
    workspace.refusals = {"conversations.history": "ratelimited"}
    with pytest.raises(LaterError):
        await slack.fetch(web, first.cursor or {}, NOW)
    workspace.refusals = {}
    pages, cursor = await all_of(slack, web, first.cursor)
    assert set(contents([first, *pages])) >= {f"No. {number}" for number in range(1, 9)}
    assert cursor["newest"] == {"C1": told(8)["ts"]}


async def test_answers_are_asked_for_where_a_thread_has_grown() -> None:
    root = told(1)["ts"]
    replies = [told(number, thread_ts=root) for number in (2, 3, 4)]
    opening = told(1, thread_ts=root, reply_count=3, latest_reply=replies[-1]["ts"])
    workspace = Workspace(told(0), opening, threads={root: [opening, *replies]})
    web = Asked(workspace, token="xoxb-1234-5678")
    slack = entry(channels={"C1": "general"})
    pages, cursor = await all_of(slack, web, {"newest": {"C1": root}})
    said = [one for page in pages for one in page.submissions if isinstance(one, PostSubmission)]
    assert [one.content for one in said if one.in_reply_to] == ["No. 2", "No. 3", "No. 4"]
    assert "round" not in cursor


async def test_an_edit_within_the_window_is_heard() -> None:
    workspace = Workspace(told(1), told(2))
    web = Asked(workspace, token="xoxb-1234-5678")
    slack = entry(channels={"C1": "general"})
    _, cursor = await all_of(slack, web, {})
    workspace.messages[0] |= {"text": "No. one", "edited": {"user": "U1", "ts": told(5)["ts"]}}
    pages, _ = await all_of(slack, web, cursor)
    assert [one.content for one in pages[0].submissions if one.operation == "update"] == ["No. one"]  # type: ignore[union-attr]


async def test_a_channel_that_cannot_be_read_hinders_no_other() -> None:
    workspace = Workspace(told(1))

    def answer(question: Question) -> Any:
        if question.params.get("channel") == "C0":
            return {"ok": False, "error": "not_in_channel"}
        return workspace(question)

    slack = entry(channels={"C0": "closed", "C1": "general"})
    pages, _ = await all_of(slack, Asked(answer, token="xoxb-1234-5678"), {})
    assert contents(pages) == ["No. 1"]
    ((wrong,), _) = (page.refused for page in pages)
    assert "C0" in wrong.field
    assert "/invite" in wrong.why


async def test_a_page_that_slack_forgot_is_asked_for_anew() -> None:
    workspace = Workspace(*(told(number) for number in range(4)))

    def answer(question: Question) -> Any:
        if question.params.get("cursor") == "forgotten":
            return {"ok": False, "error": "invalid_cursor"}
        return workspace(question)

    cursor = {
        "newest": {"C1": told(0)["ts"]},
        "round": {
            "left": [["C1", None]],
            "page": "forgotten",
            "top": "",
            "threads": [],
            "is_last": False,
        },
    }
    pages, cursor = await all_of(entry(), Asked(answer, token="xoxb-1234-5678"), cursor)
    assert set(contents(pages)) >= {"No. 1", "No. 2", "No. 3"}


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ("invalid_auth", RefusedTokenError, "reinstall the app"),
        ("missing_scope", RefusedTokenError, "channels:history"),
        ("internal_error", LaterError, "internal_error"),
        ("some_new_error", FetchError, "some_new_error"),
    ],
)
async def test_a_refusal_says_what_to_do(error: str, kind: type[FetchError], words: str) -> None:
    workspace = Workspace(told(1))
    workspace.refusals = {"conversations.history": error}
    with pytest.raises(kind, match=words):
        await entry(channels={"C1": "x"}).fetch(Asked(workspace, token="xoxb-1-2-3-4-5"), {}, NOW)


async def test_names_are_done_without_where_slack_does_not_tell_them() -> None:
    workspace = Workspace(told(1))
    workspace.refusals = {"users.info": "missing_scope"}
    pages, _ = await all_of(entry(), Asked(workspace, token="xoxb-1-2-3-4-5"), {})
    assert contents(pages) == ["No. 1"]


async def test_without_a_token_nothing_is_asked() -> None:
    web = Asked(lambda question: AssertionError(question))
    page = await entry().fetch(web, {}, NOW)
    assert (page.submissions, page.wish) == ((), timedelta(days=1))
    with pytest.raises(FetchError, match="token"):
        await entry().backfill(web, {}, None)


async def test_history_is_every_message_and_every_answer_since_a_moment() -> None:
    root = told(3)["ts"]
    replies = [told(number, thread_ts=root) for number in (6, 7, 8)]
    opening = told(3, thread_ts=root, reply_count=3, latest_reply=replies[-1]["ts"])
    workspace = Workspace(
        *(told(number) for number in range(3)),
        opening,
        told(4),
        threads={root: [opening, *replies]},
    )
    web = Asked(workspace, token="xoxb-1234-5678")
    since = datetime.fromtimestamp(1763800000 + 3600, UTC) - timedelta(seconds=1)
    found: list[str] = []
    cursor: Any = {}
    while True:
        page = await entry().backfill(web, cursor, since)
        found += contents([page])
        cursor = json.loads(json.dumps(page.cursor))
        if not page.more:
            break
    assert sorted(found) == [f"No. {number}" for number in (1, 2, 3, 4, 6, 7, 8)]


# What others recorded


@pytest.mark.skipif(not REAL.exists(), reason="../shared/real is not here")
def test_every_recorded_payload_is_read() -> None:
    counts = {"files": 0, "said": 0, "refused": 0, "passed_over": 0}
    slack = entry()
    for file in REAL.rglob("*.json"):
        document = json.loads(file.read_bytes())
        if isinstance(document, dict) and document.get("team_id"):
            document["team_id"] = "T1"
        elif isinstance(document, dict) and "event" in document:
            document |= {"team_id": "T1", "type": document.get("type") or "event_callback"}
        body = json.dumps(document).encode()
        assert slack.answer(request(body), {}, NOW) is None or "challenge" in document
        page = slack.read(request(body), source(slack), NOW)
        counts["files"] += 1
        counts["said"] += len(page.submissions)
        counts["refused"] += len(page.refused)
        counts["passed_over"] += sum(page.passed_over.values())
    assert counts["said"] >= 5
    assert counts["files"] == counts["said"] + counts["refused"] + counts["passed_over"]
