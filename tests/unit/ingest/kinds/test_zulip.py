"""Zulip: what its messages and events say, and how its queue is asked, lost and found."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest
from asked import Asked, Question

from klankbord_ingest.kind import FetchError, Page, gathered
from klankbord_ingest.kinds.zulip import Zulip
from klankbord_ingest.submission import InteractionSubmission, PostSubmission
from klankbord_ingest.web import LaterError, RefusedTokenError

AT = 1772366400
PUBLIC, SECRET, OTHER = 5, 6, 7
CHANNELS = {str(PUBLIC): False, str(SECRET): True, str(OTHER): False}


def entry(**fields: Any) -> Zulip:
    return Zulip(
        name="zulip",
        community="demo",
        kind="zulip",
        site="https://chat.example.org",
        bot="klankbord-bot@chat.example.org",
        **fields,
    )


def message(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "type": "stream",
        "stream_id": PUBLIC,
        "display_recipient": "general",
        "subject": "Dark mode?",
        "content": f"<p>No. {number}</p>",
        "content_type": "text/html",
        "timestamp": AT + number,
        "sender_id": 42,
        "sender_full_name": "Jo Jansen",
        "sender_email": "user42@chat.example.org",
        "avatar_url": "/user_avatars/2/42.png",
        "reactions": [],
    } | fields


def read(one: Any, zulip: Zulip | None = None) -> Page:
    return gathered([one], lambda given: [(zulip or entry()).said(given, CHANNELS)])


def only(page: Page) -> Any:
    assert not page.refused, page.refused
    (said,) = page.submissions
    return said


def test_a_message_is_a_post_of_its_server_and_its_topic_is_the_thread() -> None:
    markup = (
        '<p><span class="user-mention" data-user-id="25">@Iago</span> see '
        '<a href="https://example.org/?a=1&amp;b=2">this</a> <a href="/user_uploads/x">file</a></p>'
    )
    post = only(read(message(content=markup)))
    assert isinstance(post, PostSubmission)
    assert entry().own_platform == "chat.example.org"
    assert (post.native_id, post.operation, post.text) == ("1", "create", "@Iago see this file")
    assert (post.context, post.tag) == ("5/Dark mode?", ["general", "Dark mode?"])
    assert (post.mention, post.link) == (["25"], ["https://example.org/?a=1&b=2"])
    assert post.published == datetime.fromtimestamp(AT + 1, UTC)
    assert post.url == "https://chat.example.org/#narrow/channel/5/topic/Dark.20mode.3F/near/1"
    assert post.attributed_to is not None
    assert (post.attributed_to.id, post.attributed_to.name) == ("42", "Jo Jansen")
    assert post.attributed_to.icon == "https://chat.example.org/user_avatars/2/42.png"


def test_a_topic_that_is_resolved_is_the_same_thread() -> None:
    assert only(read(message(subject="✔ Dark mode?"))).context == "5/Dark mode?"


@pytest.mark.parametrize("stated", ["last_edit_timestamp", "last_moved_timestamp"])
def test_an_edit_and_a_move_are_versions(stated: str) -> None:
    post = only(read(message(**{stated: AT + 60})))
    assert (post.operation, post.updated) == ("update", datetime.fromtimestamp(AT + 60, UTC))


def test_a_bot_is_marked() -> None:
    assert only(read(message(sender_email="ci-bot@chat.example.org"))).attributed_to.is_automated
    assert not only(read(message(sender_email="robot@x.org"))).attributed_to.is_automated


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "private"}, "private"),
        ({"type": "direct"}, "private"),
        ({"stream_id": SECRET}, "private"),
        ({"stream_id": 99}, "private"),
        ({"content": ""}, "empty"),
    ],
)
def test_what_not_everyone_may_read_is_passed_over(fields: Any, reason: str) -> None:
    assert read(message(**fields)).passed_over == {reason: 1}


def test_listed_channels_alone_are_heard() -> None:
    zulip = entry(channels={SECRET: "staff"})
    assert only(read(message(stream_id=SECRET), zulip))
    assert read(message(), zulip).passed_over == {"other_channel": 1}


@pytest.mark.parametrize("one", [{}, [], message(timestamp="now"), message(content=7)])
def test_what_is_malformed_is_refused_with_a_reason(one: Any) -> None:
    page = read(one)
    assert page.submissions == []
    assert page.refused[0].why


class Server:
    """Plays a Zulip server: messages, and queues of events."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = {one["id"]: one for one in messages}
        self.queues: dict[str, list[dict[str, Any]]] = {}
        self.registered = 0
        self.forms: list[Any] = []

    def tell(self, **event: Any) -> None:
        """Put an event into every queue."""
        for events in self.queues.values():
            events.append({"id": len(events)} | event)

    def say(self, number: int, **fields: Any) -> None:
        self.messages[number] = message(number, **fields)
        self.tell(type="message", message=self.messages[number])

    def __call__(self, question: Question) -> Any:
        path = question.url.removeprefix("https://chat.example.org/api/v1/")
        params = question.params
        if path == "register":
            self.forms.append(question.form)
            self.registered += 1
            self.queues[f"q{self.registered}"] = []
            return {
                "queue_id": f"q{self.registered}",
                "last_event_id": -1,
                "max_message_id": max(self.messages, default=-1),
                "zulip_feature_level": 300,
                "event_queue_longpoll_timeout_seconds": 90,
            }
        if path == "events":
            if params["queue_id"] not in self.queues:
                return FetchError("bad_answer", "answered 400 (Bad Request): Bad event queue ID")
            events = self.queues[params["queue_id"]]
            later = [one for one in events if one["id"] > params["last_event_id"]]
            return {"events": later or [{"id": len(events), "type": "heartbeat"}]}
        if path == "streams":
            listed = [{"stream_id": int(k), "invite_only": v} for k, v in CHANNELS.items()]
            return {"streams": listed}
        if path.startswith("messages/"):
            number = int(path.removeprefix("messages/"))
            found = self.messages.get(number)
            return {"message": found} if found else FetchError("bad_answer", "400 Invalid message")
        assert path == "messages"
        return self._page(params)

    def _page(self, params: Any) -> Any:
        if "message_ids" in params:
            wanted = json.loads(params["message_ids"])
            return {"messages": [self.messages[one] for one in wanted if one in self.messages]}
        numbers = sorted(self.messages)
        if params["num_after"]:
            later = [one for one in numbers if one > params["anchor"]]
            taken = later[: params["num_after"]]
            return {
                "messages": [self.messages[one] for one in taken],
                "found_newest": len(taken) == len(later),
            }
        anchor = params["anchor"]
        earlier = [one for one in numbers if anchor == "newest" or one < anchor]
        taken = earlier[-params["num_before"] :]
        return {
            "messages": [self.messages[one] for one in taken],
            "found_oldest": len(taken) == len(earlier),
        }


def web_of(server: Any) -> Asked:
    return Asked(server, token="the-api-key-of-the-bot")


class Listening:
    """A stream, page by page."""

    def __init__(self, server: Any, cursor: Any = None, zulip: Zulip | None = None) -> None:
        self.pages: AsyncGenerator[Page, None] = (zulip or entry()).stream(
            web_of(server), cursor or {}
        )
        self.cursor: Any = None

    async def next(self) -> Page:
        page = await anext(self.pages)
        if page.cursor is not None:
            self.cursor = json.loads(json.dumps(page.cursor))
        return page


async def test_a_queue_tells_messages_deletes_and_who_comes() -> None:
    server = Server(message(1))
    listening = Listening(server)
    async with aclosing(listening.pages):
        assert (await listening.next()).submissions == ()
        server.say(2)
        assert only(await listening.next()).text == "No. 2"
        server.tell(
            type="delete_message", message_type="stream", stream_id=PUBLIC, message_ids=[1, 2]
        )
        gone = await listening.next()
        assert [(one.native_id, one.operation) for one in gone.submissions] == [  # type: ignore[union-attr]
            ("1", "delete"),
            ("2", "delete"),
        ]
        server.tell(
            type="realm_user",
            op="add",
            person={
                "user_id": 43,
                "full_name": "Mo",
                "date_joined": "2026-03-01T12:00:00.000000+00:00",
            },
        )
        joined = only(await listening.next())
        assert (joined.kind, joined.attributed_to.name) == ("join", "Mo")
        server.tell(type="realm_user", op="update", person={"user_id": 43, "is_active": False})
        assert only(await listening.next()).kind == "leave"
        server.tell(type="delete_message", message_type="private", message_id=9)
        assert (await listening.next()).passed_over == {"private": 1}
    assert listening.cursor["event"] == 4
    assert json.loads(server.forms[0]["event_types"])[0] == "message"


async def test_an_edit_and_a_move_are_asked_for_as_they_are_now() -> None:
    server = Server(message(1), message(2))
    listening = Listening(server)
    async with aclosing(listening.pages):
        await listening.next()
        server.messages[1] |= {"content": "<p>Better</p>", "last_edit_timestamp": AT + 60}
        edit = {"type": "update_message", "message_id": 1, "message_ids": [1], "stream_id": PUBLIC}
        server.tell(**edit, content="Better")
        edited = only(await listening.next())
        assert (edited.native_id, edited.text, edited.operation) == ("1", "Better", "update")
        for number in (1, 2):
            server.messages[number] |= {"subject": "Night mode", "last_moved_timestamp": AT + 90}
        server.tell(
            type="update_message",
            message_id=1,
            message_ids=[1, 2],
            stream_id=PUBLIC,
            orig_subject="Dark mode?",
            subject="Night mode",
        )
        moved = await listening.next()
        assert {one.context for one in moved.submissions} == {"5/Night mode"}  # type: ignore[union-attr]
        server.tell(**edit, rendering_only=True)
        assert (await listening.next()).passed_over == {"unchanged": 1}
        server.tell(type="update_message", message_id=3, message_ids=[3], content="x")
        assert (await listening.next()).passed_over == {"private": 1}


async def test_a_reaction_is_a_like_where_its_message_may_be_heard() -> None:
    server = Server(message(1), message(2, type="private"))
    listening = Listening(server)
    reaction = {
        "type": "reaction",
        "op": "add",
        "user_id": 43,
        "message_id": 1,
        "emoji_name": "family",
        "emoji_code": "1f468-200d-1f469",
        "reaction_type": "unicode_emoji",
    }
    async with aclosing(listening.pages):
        await listening.next()
        server.tell(**reaction)
        like = only(await listening.next())
        assert isinstance(like, InteractionSubmission)
        assert (like.kind, like.object, like.content) == ("like", "1", "\U0001f468‍\U0001f469")
        assert like.native_id == "1:43:unicode_emoji:1f468-200d-1f469"
        server.tell(**reaction | {"reaction_type": "realm_emoji", "emoji_code": "7"})
        assert only(await listening.next()).content == ":family:"
        server.tell(**reaction | {"message_id": 2})
        assert (await listening.next()).passed_over == {"private": 1}
        server.tell(**reaction | {"op": "remove"})
        assert (await listening.next()).passed_over == {"withdrawn": 1}


async def test_a_queue_that_is_lost_is_made_anew_and_what_was_missed_is_asked_for() -> None:
    server = Server(message(1))
    listening = Listening(server)
    async with aclosing(listening.pages):
        await listening.next()
        server.say(2)
        await listening.next()
        server.queues.clear()
        server.messages |= {number: message(number) for number in range(3, 304)}
        found: list[Any] = []
        while len(found) < 301:
            found += (await listening.next()).submissions
        assert [one.text for one in found] == [f"No. {number}" for number in range(3, 304)]
        server.say(400)
        assert only(await listening.next()).text == "No. 400"
    assert server.registered == 2
    assert listening.cursor == {
        "queue": "q2",
        "event": 0,
        "message": 400,
        "poll": 90,
        "level": 300,
    }


async def test_after_a_restart_the_queue_goes_on_and_nothing_is_lost_that_it_dropped() -> None:
    server = Server(message(1))
    before = Listening(server)
    async with aclosing(before.pages):
        await before.next()
        server.say(2)
        await before.next()
    server.say(3)
    server.queues["q1"].clear()  # it was asked for, and not stored here
    server.queues["q1"] += [{"id": number, "type": "heartbeat"} for number in range(2)]
    after = Listening(server, before.cursor)
    async with aclosing(after.pages):
        assert only(await after.next()).text == "No. 3"
        assert (await after.next()).submissions == ()
        server.say(4)
        assert only(await after.next()).text == "No. 4"
    assert server.registered == 1


async def test_a_channel_that_is_new_is_asked_about_before_it_is_heard() -> None:
    server = Server(message(1))
    listening = Listening(server)
    async with aclosing(listening.pages):
        await listening.next()
        CHANNELS["8"] = False
        try:
            server.say(2, stream_id=8)
            assert only(await listening.next()).context == "8/Dark mode?"
        finally:
            del CHANNELS["8"]


@pytest.mark.parametrize(
    "error",
    [
        RefusedTokenError("token_refused", "401"),
        LaterError("too_many_requests", "429", None),
        FetchError("unreachable", "no answer"),
        FetchError("bad_answer", "answered 500"),
    ],
)
async def test_a_server_that_does_not_answer_is_said_so(error: FetchError) -> None:
    server = Server(message(1))

    def answer(question: Question) -> Any:
        return error if question.url.endswith("/events") else server(question)

    listening = Listening(answer)
    async with aclosing(listening.pages):
        await listening.next()
        with pytest.raises(type(error)):
            await listening.next()
    assert server.registered == 1


async def history(server: Server, since: datetime | None, zulip: Zulip | None = None) -> list[str]:
    found: list[str] = []
    cursor: Any = {}
    while True:
        page = await (zulip or entry()).backfill(web_of(server), cursor, since)
        found += [one.text for one in page.submissions]  # type: ignore[union-attr]
        cursor = json.loads(json.dumps(page.cursor))
        if not page.more:
            return found


async def test_history_is_every_message_since_a_moment() -> None:
    server = Server(*(message(number) for number in range(1, 501)))
    assert sorted(await history(server, None)) == sorted(f"No. {n}" for n in range(1, 501))
    since = datetime.fromtimestamp(AT + 250, UTC)
    assert sorted(await history(server, since)) == sorted(f"No. {n}" for n in range(250, 501))
    assert await history(Server(), None) == []


async def test_history_of_listed_channels_is_asked_for_one_by_one() -> None:
    server = Server(message(1), message(2, stream_id=SECRET))
    asked: list[Any] = []

    def answer(question: Question) -> Any:
        if question.url.endswith("/messages"):
            (narrow,) = json.loads(question.params["narrow"])
            asked.append(narrow["operand"])
        return server(question)

    zulip = entry(channels={SECRET: "staff", OTHER: "help"})
    cursor: Any = {}
    more = True
    while more:
        page = await zulip.backfill(web_of(answer), cursor, None)
        cursor, more = page.cursor, page.more
    assert asked == [SECRET, OTHER]
