"""Telegram: what its updates say, who may send them, and how they are asked for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asked import Asked, Question, request, source

from klankbord_ingest.kind import FetchError, Page, RefusedError, UnsignedError
from klankbord_ingest.kinds.telegram import Telegram
from klankbord_ingest.submission import InteractionSubmission, PostSubmission
from klankbord_ingest.web import LaterError, RefusedTokenError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = 1772366400
SECRET = b"a-secret-token-of-32-characters-"
TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
GROUP = {"id": -1001234567890, "type": "supergroup", "title": "Acme users"}
JO = {"id": 42, "is_bot": False, "first_name": "Jo", "last_name": "Jansen", "username": "jo"}
BOT = {"id": 43, "is_bot": True, "first_name": "Helper", "username": "helperbot"}


def entry(**fields: Any) -> Telegram:
    return Telegram(name="telegram", community="demo", kind="telegram", **fields)


def message(**fields: Any) -> dict[str, Any]:
    return {"message_id": 7, "chat": GROUP, "from": JO, "date": AT, "text": "Hello"} | fields


def heard(telegram: Telegram | None = None, **update: Any) -> Page:
    kind = telegram or entry()
    body = json.dumps({"update_id": 1000} | update).encode()
    return kind.read(request(body), source(kind), NOW)


def only(page: Page) -> Any:
    assert not page.refused, page.refused
    (said,) = page.submissions
    return said


def test_a_message_is_a_post_of_its_chat() -> None:
    text = "👋 see example.org/a and #dark-mode: this"
    entities = [
        {"type": "url", "offset": 7, "length": 13},
        {"type": "hashtag", "offset": 25, "length": 10},
        {"type": "text_link", "offset": 37, "length": 4, "url": "https://example.org/b"},
        {"type": "text_mention", "offset": 0, "length": 2, "user": JO},
    ]
    post = only(heard(message=message(text=text, entities=entities)))
    assert isinstance(post, PostSubmission)
    assert entry().own_platform == "telegram.org"
    assert (post.native_id, post.operation, post.content) == ("-1001234567890:7", "create", text)
    assert post.link == ["https://example.org/a", "https://example.org/b"]
    assert (post.tag, post.mention) == (["Acme users", "dark-mode"], ["42"])
    assert post.published == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert post.url == "https://t.me/c/1234567890/7"
    assert post.attributed_to is not None
    assert (post.attributed_to.id, post.attributed_to.name) == ("42", "Jo Jansen")
    public = only(heard(message=message(chat=GROUP | {"username": "acme"})))
    assert public.url == "https://t.me/acme/7"


def test_an_answer_names_what_it_answers_and_a_topic_is_a_thread() -> None:
    answer = only(heard(message=message(reply_to_message={"message_id": 5}, message_thread_id=5)))
    assert (answer.in_reply_to, answer.context) == ("-1001234567890:5", "-1001234567890:5")
    made = {"message_id": 3, "forum_topic_created": {"name": "Ideas"}}
    topic = only(
        heard(message=message(reply_to_message=made, message_thread_id=3, is_topic_message=True))
    )
    assert (topic.in_reply_to, topic.context) == (None, "-1001234567890:3")


@pytest.mark.parametrize("kind", ["edited_message", "edited_channel_post"])
def test_an_edit_is_a_version(kind: str) -> None:
    edit = only(heard(None, **{kind: message(text="Hello all", edit_date=AT + 60)}))
    assert (edit.native_id, edit.operation) == ("-1001234567890:7", "update")
    assert edit.updated == datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
    assert heard(None, **{kind: message()}).passed_over == {"unchanged": 1}


def test_a_channel_speaks_for_itself_and_its_copy_for_comments_is_automated() -> None:
    channel = {"id": -1009, "type": "channel", "title": "Acme news", "username": "acmenews"}
    post = only(heard(channel_post={"message_id": 1, "chat": channel, "date": AT, "text": "News"}))
    assert (post.attributed_to.id, post.attributed_to.type) == ("-1009", "Group")
    assert not post.is_automated
    copied = message(sender_chat=channel, is_automatic_forward=True)
    assert only(heard(message=copied)).is_automated


def test_a_bot_is_marked() -> None:
    post = only(heard(message=message(**{"from": BOT})))
    assert post.is_automated
    assert post.attributed_to.is_automated


def test_a_caption_and_a_question_are_words() -> None:
    caption = message(text=None, photo=[{}], caption="Look")
    assert only(heard(message=caption)).content == "Look"
    poll = message(text=None, poll={"question": "Dark mode?"})
    assert only(heard(message=poll)).content == "Dark mode?"


def test_new_reactions_are_likes_and_one_however_often_they_are_heard() -> None:
    told = {
        "chat": GROUP,
        "message_id": 7,
        "user": JO,
        "date": AT,
        "old_reaction": [{"type": "emoji", "emoji": "👍"}],
        "new_reaction": [
            {"type": "emoji", "emoji": "👍"},
            {"type": "emoji", "emoji": "🔥"},
            {"type": "custom_emoji", "custom_emoji_id": "5368"},
        ],
    }
    page = heard(message_reaction=told)
    fire, own = page.submissions
    assert isinstance(fire, InteractionSubmission)
    assert isinstance(own, InteractionSubmission)
    assert (fire.kind, fire.object, fire.content) == ("like", "-1001234567890:7", "🔥")
    assert (fire.native_id, own.content) == ("-1001234567890:7:42:🔥", ":5368:")
    withdrawn = told | {"new_reaction": []}
    assert heard(message_reaction=withdrawn).passed_over == {"withdrawn": 1}


def test_comings_and_goings_are_counted_once_by_the_word_that_was_chosen() -> None:
    came = message(text=None, new_chat_members=[JO, BOT])
    gone = message(text=None, left_chat_member=JO)
    member = {"user": JO, "status": "member"}
    event = {
        "chat": GROUP,
        "from": JO,
        "date": AT,
        "old_chat_member": member | {"status": "left"},
        "new_chat_member": member,
    }
    by_message, by_event = entry(), entry(joins="event")
    joined = heard(by_message, message=came).submissions
    assert [one.native_id for one in joined] == ["-1001234567890:7:42", "-1001234567890:7:43"]  # type: ignore[union-attr]
    assert only(heard(by_message, message=gone)).kind == "leave"
    assert heard(by_message, chat_member=event).passed_over == {"doubled": 1}
    assert heard(by_event, message=came).passed_over == {"doubled": 1}
    assert only(heard(by_event, chat_member=event)).kind == "join"
    back = event | {"old_chat_member": member, "new_chat_member": member | {"status": "kicked"}}
    assert only(heard(by_event, chat_member=back)).kind == "leave"
    promoted = event | {"old_chat_member": member | {"status": "administrator"}}
    assert heard(by_event, chat_member=promoted).passed_over == {"no_post": 1}
    assert "chat_member" in by_event.allowed_updates


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"message": message(chat={"id": 42, "type": "private"})}, "private"),
        ({"edited_message": message(chat={"id": 42, "type": "private"})}, "private"),
        ({"message": message(text=None, sticker={})}, "empty"),
        ({"message": message(text=None, pinned_message={})}, "no_post"),
        ({"my_chat_member": {}}, "no_post"),
        ({"callback_query": {}}, "no_post"),
    ],
)
def test_what_is_not_said_in_public_is_passed_over(update: Any, reason: str) -> None:
    assert heard(**update).passed_over == {reason: 1}


def test_listed_chats_alone_are_heard() -> None:
    assert only(heard(entry(chats={-1001234567890: "users"}), message=message()))
    assert heard(entry(chats={"-5": "x"}), message=message()).passed_over == {"other_chat": 1}


@pytest.mark.parametrize(
    "update",
    [
        {"message": {}},
        {"message": []},
        {"message": message(date="now")},
        {"message": message(chat={})},
        {"message": message(entities=[{"type": "url"}])},
        {"message_reaction": {"chat": GROUP}},
        {"message": message(new_chat_members=[{}])},
    ],
)
def test_what_is_malformed_is_refused_with_a_reason(update: Any) -> None:
    page = heard(**update)
    assert page.submissions == []
    assert page.refused[0].why


def test_a_delivery_bears_the_secret_token_and_is_named_by_its_number() -> None:
    body = json.dumps({"update_id": 1000, "message": message()}).encode()
    right = request(body, x_telegram_bot_api_secret_token=SECRET.decode())
    keys = {"signature": [b"the-new-token-while-it-is-rotated", SECRET], "token": []}
    assert entry().verify(right, keys, NOW) == "1000"
    doubled = type(right)("POST", "", {}, [*right.headers, *right.headers], body)
    wrong = request(body, x_telegram_bot_api_secret_token="another")
    for asked, given in (
        (wrong, [SECRET]),
        (request(body), [SECRET]),
        (doubled, [SECRET]),
        (right, []),
        (request(body, x_telegram_bot_api_secret_token=""), []),
        (request(body, x_telegram_bot_api_secret_token="ü"), [SECRET]),
    ):
        with pytest.raises(UnsignedError):
            entry().verify(asked, {"signature": given}, NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"{"])
def test_what_is_no_update_is_refused_as_a_whole(body: bytes) -> None:
    kind = entry()
    signed = request(body, x_telegram_bot_api_secret_token=SECRET.decode())
    assert kind.verify(signed, {"signature": [SECRET]}, NOW) is None
    with pytest.raises(RefusedError):
        kind.read(signed, source(kind), NOW)


def test_secrets_are_checked_when_they_are_read() -> None:
    assert Telegram.key("token", TOKEN) == TOKEN.encode()
    assert Telegram.key("signature", "abc_DEF-123") == b"abc_DEF-123"
    for role, secret in (
        ("token", "AAHdqTcv"),
        ("token", "110201543:x/../y"),
        ("signature", "a b"),
    ):
        with pytest.raises(ValueError, match="is no"):
            Telegram.key(role, secret)


def test_a_bot_is_heard_in_one_way() -> None:
    webhook, polling = entry(), entry(updates="polling")
    assert [webhook.uses(way) for way in ("push", "pull")] == [True, False]
    assert [polling.uses(way) for way in ("push", "pull")] == [False, True]


class BotApi:
    """Plays getUpdates: what is below the offset is confirmed and gone."""

    def __init__(self, *updates: dict[str, Any]) -> None:
        self.updates = list(updates)

    def __call__(self, question: Question) -> Any:
        assert question.url == f"https://api.telegram.org/bot{TOKEN}/getUpdates"
        offset = question.params.get("offset", 0)
        self.updates = [one for one in self.updates if one["update_id"] >= offset]
        return {"ok": True, "result": self.updates[: question.params["limit"]]}


def told(number: int) -> dict[str, Any]:
    return {"update_id": number, "message": message(message_id=number, text=f"No. {number}")}


async def test_updates_are_confirmed_only_once_they_were_kept() -> None:
    api = BotApi(*(told(number) for number in range(1, 151)))
    web, polling = Asked(api, token=TOKEN), entry(updates="polling")
    first = await polling.fetch(web, {}, NOW)
    assert (len(first.submissions), first.more, len(api.updates)) == (100, True, 150)
    again = await polling.fetch(web, {}, NOW)
    assert again.submissions == first.submissions
    second = await polling.fetch(web, first.cursor or {}, NOW)
    assert (len(second.submissions), second.more) == (50, False)
    last = await polling.fetch(web, second.cursor or {}, NOW)
    assert (list(last.submissions), last.cursor) == ([], None)


async def test_after_a_quiet_week_lower_numbers_are_heard() -> None:
    web = Asked(BotApi(told(5)), token=TOKEN)
    cursor: Any = {"offset": 100_000, "heard": (NOW - timedelta(days=8)).isoformat()}
    page = await entry(updates="polling").fetch(web, cursor, NOW)
    assert only(page).content == "No. 5"
    assert page.cursor is not None
    assert page.cursor["offset"] == 6


@pytest.mark.parametrize(
    "error",
    [
        RefusedTokenError("token_refused", f"https://api.telegram.org/bot{TOKEN}/x answered 401"),
        LaterError("too_many_requests", f"/bot{TOKEN}/", timedelta(seconds=5)),
        FetchError("bad_answer", f"https://api.telegram.org/bot{TOKEN}/x answered 409 (Conflict)"),
    ],
)
async def test_the_token_is_in_no_error(error: FetchError) -> None:
    web = Asked(lambda _: error, token=TOKEN)
    with pytest.raises(type(error)) as failed:
        await entry(updates="polling").fetch(web, {}, NOW)
    assert TOKEN not in str(failed.value)
    assert TOKEN not in repr(failed.value)
    assert ("deleteWebhook" in str(failed.value)) == ("409" in str(error))


@pytest.mark.parametrize("answer", [{"ok": False}, [], {"ok": True, "result": {}}])
async def test_an_answer_that_is_none_is_said_so(answer: Any) -> None:
    with pytest.raises(FetchError, match="no list"):
        await entry(updates="polling").fetch(Asked(lambda _: answer, token=TOKEN), {}, NOW)


async def test_a_bot_without_token_cannot_be_asked() -> None:
    with pytest.raises(FetchError, match="token"):
        await entry(updates="polling").fetch(Asked(lambda _: None), {}, NOW)
