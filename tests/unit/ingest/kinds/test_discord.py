"""Discord: what its events say, and how messages are asked for."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asked import Asked, Question

from klankbord_ingest.kind import FetchError, Page, gathered
from klankbord_ingest.kinds.discord import Discord, Place
from klankbord_ingest.submission import InteractionSubmission, PostSubmission
from klankbord_ingest.web import LaterError, NotFoundError, RefusedTokenError

GUILD = "244567637332328449"
GENERAL, SECRET, FORUM = "300000000000000001", "300000000000000002", "300000000000000003"
THREAD = "302917639565475840"
MESSAGE = "302917639565475841"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = datetime(2017, 4, 15, 21, 26, 33, 210000, tzinfo=UTC)
AUTHOR = {
    "id": "114941315417899012",
    "username": "jo",
    "global_name": "Jo Jansen",
    "avatar": "a_1cf7",
    "discriminator": "0",
}
PLACES = {
    place.id: place
    for place in (
        Place(GENERAL, "general", 0, last=MESSAGE),
        Place(SECRET, "staff", 0, is_hidden=True, last=MESSAGE),
        Place(FORUM, "ideas", 15),
        Place(THREAD, "Dark mode", 11, parent=FORUM, last=MESSAGE),
        Place("302917639565475899", "whispers", 12, parent=GENERAL),
        Place("302917639565475898", "salaries", 11, parent=SECRET),
    )
}
REAL = Path(__file__).parents[5] / "shared" / "real" / "payloads" / "discord"


def entry(**fields: Any) -> Discord:
    return Discord(name="guild", community="demo", kind="discord", guild=GUILD, **fields)


def message(**fields: Any) -> dict[str, Any]:
    return {
        "id": MESSAGE,
        "guild_id": GUILD,
        "channel_id": GENERAL,
        "author": AUTHOR,
        "content": "Hello",
        "timestamp": "2017-04-15T21:26:33.210000+00:00",
        "edited_timestamp": None,
        "mentions": [],
        "embeds": [],
        "attachments": [],
        "type": 0,
    } | fields


def heard(event: str, data: Any, discord: Discord | None = None) -> Page:
    kind = discord or entry()
    return gathered([data], lambda one: kind.heard(event, one, PLACES, "session:7", NOW))


def only(page: Page) -> Any:
    assert not page.refused, page.refused
    (said,) = page.submissions
    return said


def test_a_message_is_a_post_with_names_for_ids() -> None:
    text = f"<@{AUTHOR['id']}> see https://example.org/a. <#{FORUM}> <a:wave:12345> <@&777>"
    post = only(heard("MESSAGE_CREATE", message(content=text, mentions=[AUTHOR])))
    assert isinstance(post, PostSubmission)
    assert entry().own_platform == "discord.com"
    assert (post.native_id, post.operation, post.published) == (MESSAGE, "create", AT)
    assert post.content == "@Jo Jansen see https://example.org/a. #ideas :wave: @777"
    assert (post.mention, post.link) == ([AUTHOR["id"]], ["https://example.org/a"])
    assert (post.tag, post.context, post.updated) == (["general"], None, None)
    assert post.url == f"https://discord.com/channels/{GUILD}/{GENERAL}/{MESSAGE}"
    assert post.attributed_to is not None
    assert post.attributed_to.preferred_username == "jo"
    assert post.attributed_to.name == "Jo Jansen"
    assert not post.attributed_to.is_automated


def test_an_answer_names_what_it_answers() -> None:
    reference = {"message_id": THREAD, "channel_id": GENERAL, "guild_id": GUILD}
    answer = only(heard("MESSAGE_CREATE", message(type=19, message_reference=reference)))
    pinned = only(heard("MESSAGE_CREATE", message(type=0, message_reference=reference)))
    assert (answer.in_reply_to, pinned.in_reply_to) == (THREAD, None)


def test_a_post_of_a_forum_has_a_title_and_its_answers_name_it() -> None:
    opening = only(heard("MESSAGE_CREATE", message(id=THREAD, channel_id=THREAD)))
    answer = only(heard("MESSAGE_CREATE", message(channel_id=THREAD)))
    assert (opening.name, opening.context, opening.in_reply_to) == ("Dark mode", THREAD, None)
    assert (answer.name, answer.context, answer.in_reply_to) == (None, THREAD, THREAD)
    assert opening.tag == answer.tag == ["ideas"]


def test_an_edit_is_a_version_and_a_preview_of_a_link_is_none() -> None:
    edited = message(content="Hello all", edited_timestamp="2017-04-15T21:30:00+00:00")
    post = only(heard("MESSAGE_UPDATE", edited))
    assert (post.native_id, post.operation, post.content) == (MESSAGE, "update", "Hello all")
    assert post.updated == datetime(2017, 4, 15, 21, 30, tzinfo=UTC)
    partial = {"id": MESSAGE, "channel_id": GENERAL, "guild_id": GUILD, "embeds": [{}]}
    assert heard("MESSAGE_UPDATE", partial).passed_over == {"unchanged": 1}
    assert heard("MESSAGE_UPDATE", message()).passed_over == {"unchanged": 1}


def test_an_edit_that_tells_only_what_changed_is_placed_by_its_id() -> None:
    partial = {
        "id": THREAD,
        "channel_id": GENERAL,
        "guild_id": GUILD,
        "content": "Hello all",
        "edited_timestamp": "2017-04-15T21:30:00+00:00",
    }
    post = only(heard("MESSAGE_UPDATE", partial))
    assert post.published.replace(microsecond=0) == AT.replace(microsecond=0)
    assert post.attributed_to is None


def test_deletes_are_heard_one_by_one_and_many_at_once() -> None:
    gone = {"id": MESSAGE, "channel_id": GENERAL, "guild_id": GUILD}
    assert only(heard("MESSAGE_DELETE", gone)).operation == "delete"
    many = {"ids": [MESSAGE, THREAD], "channel_id": GENERAL, "guild_id": GUILD}
    page = heard("MESSAGE_DELETE_BULK", many)
    assert [one.native_id for one in page.submissions] == [MESSAGE, THREAD]  # type: ignore[union-attr]


def test_a_reaction_is_a_like_and_one_however_often_it_is_heard() -> None:
    reaction = {
        "user_id": AUTHOR["id"],
        "message_id": MESSAGE,
        "channel_id": GENERAL,
        "guild_id": GUILD,
        "emoji": {"name": "👍", "id": None},
    }
    like = only(heard("MESSAGE_REACTION_ADD", reaction))
    assert isinstance(like, InteractionSubmission)
    assert (like.kind, like.object, like.content) == ("like", MESSAGE, "👍")
    assert like.native_id == f"{MESSAGE}:{AUTHOR['id']}:👍"
    own = reaction | {"emoji": {"name": "party", "id": "41771983429993937"}}
    assert only(heard("MESSAGE_REACTION_ADD", own)).content == ":party:"
    assert heard("MESSAGE_REACTION_REMOVE", reaction).passed_over == {"withdrawn": 1}


def test_who_comes_and_goes_is_counted_once() -> None:
    came = {"guild_id": GUILD, "user": AUTHOR, "joined_at": "2026-02-28T10:00:00+00:00"}
    joined = only(heard("GUILD_MEMBER_ADD", came))
    assert (joined.kind, joined.published) == ("join", datetime(2026, 2, 28, 10, tzinfo=UTC))
    left = only(heard("GUILD_MEMBER_REMOVE", {"guild_id": GUILD, "user": AUTHOR}))
    assert (left.kind, left.native_id) == ("leave", "leave:session:7")
    greeting = message(type=7, content="")
    assert heard("MESSAGE_CREATE", greeting).passed_over == {"doubled": 1}
    assert only(heard("MESSAGE_CREATE", greeting, entry(members=False))).kind == "join"


@pytest.mark.parametrize(
    ("fields", "is_bot"),
    [({"author": AUTHOR | {"bot": True}}, True), ({"webhook_id": "1"}, True), ({}, False)],
)
def test_bots_and_webhooks_are_marked(fields: dict[str, Any], is_bot: bool) -> None:
    assert only(heard("MESSAGE_CREATE", message(**fields))).attributed_to.is_automated is is_bot


def test_a_bots_card_says_what_its_text_does_not_and_a_preview_says_nothing() -> None:
    card = {"type": "rich", "title": "Build", "fields": [{"name": "Result", "value": "red"}]}
    preview = {"type": "article", "title": "Example", "description": "Their words"}
    post = only(heard("MESSAGE_CREATE", message(content="", embeds=[card, preview])))
    assert post.content == "Build\nResult\nred"
    picture = message(content="", attachments=[{"filename": "screenshot.png"}])
    assert only(heard("MESSAGE_CREATE", picture)).content == "screenshot.png"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"guild_id": None}, "private"),
        ({"channel_id": SECRET}, "private"),
        ({"channel_id": "302917639565475899"}, "private"),
        ({"channel_id": "302917639565475898"}, "private"),
        ({"guild_id": "1"}, "other_server"),
        ({"type": 6}, "no_post"),
        ({"content": ""}, "empty"),
    ],
)
def test_what_not_everyone_may_read_is_passed_over(fields: dict[str, Any], reason: str) -> None:
    assert heard("MESSAGE_CREATE", message(**fields)).passed_over == {reason: 1}


def test_listed_channels_alone_are_heard_hidden_ones_and_their_threads_too() -> None:
    discord = entry(channels={SECRET: "staff", FORUM: "ideas"})
    assert heard("MESSAGE_CREATE", message(), discord).passed_over == {"other_channel": 1}
    for channel in (SECRET, THREAD, "302917639565475898"):
        assert only(heard("MESSAGE_CREATE", message(channel_id=channel), discord))


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("MESSAGE_CREATE", message(id=None, timestamp=None)),
        ("MESSAGE_CREATE", message(timestamp="yesterday")),
        ("MESSAGE_CREATE", message(timestamp="2017-04-15T21:26:33")),
        ("MESSAGE_CREATE", {"guild_id": GUILD}),
        ("MESSAGE_DELETE_BULK", {"guild_id": GUILD, "channel_id": GENERAL}),
        ("MESSAGE_REACTION_ADD", {"guild_id": GUILD, "channel_id": GENERAL}),
        ("GUILD_MEMBER_ADD", {"guild_id": GUILD}),
        ("MESSAGE_CREATE", None),
        ("MESSAGE_CREATE", []),
    ],
)
def test_what_is_malformed_is_refused_with_a_reason(event: str, data: Any) -> None:
    page = heard(event, data)
    assert page.submissions == []
    assert page.refused[0].why


class Server:
    """Plays Discord's interface: a server of two channels and a thread."""

    def __init__(self, **messages: list[dict[str, Any]]) -> None:
        self.messages = {GENERAL: messages.get("general", []), THREAD: messages.get("thread", [])}
        self.archived: list[dict[str, Any]] = []
        self.refusal: FetchError | None = None

    def __call__(self, question: Question) -> Any:
        if self.refusal is not None:
            return self.refusal
        path = question.url.partition("/v10")[2]
        if path == f"/guilds/{GUILD}/channels":
            denied = [{"id": GUILD, "type": 0, "deny": str(1 << 10), "allow": "0"}]
            return [
                {
                    "id": GENERAL,
                    "type": 0,
                    "name": "general",
                    "last_message_id": self.last(GENERAL),
                },
                {"id": SECRET, "type": 0, "permission_overwrites": denied, "last_message_id": "9"},
                {"id": FORUM, "type": 15, "name": "ideas", "last_message_id": THREAD},
            ]
        if path == f"/guilds/{GUILD}/threads/active":
            thread = {"id": THREAD, "type": 11, "name": "Dark mode", "parent_id": FORUM}
            return {"threads": [thread | {"last_message_id": self.last(THREAD)}]}
        if path.endswith("/threads/archived/public"):
            return {"threads": self.archived if FORUM in path else [], "has_more": False}
        channel = path.split("/")[2]
        after, limit = int(question.params.get("after", -1)), question.params["limit"]
        later = [one for one in self.messages[channel] if int(one["id"]) > after]
        page = later[:limit] if "after" in question.params else later[-limit:]
        return page[::-1]

    def last(self, channel: str) -> str | None:
        return self.messages[channel][-1]["id"] if self.messages[channel] else None


def said(number: int, channel: str = GENERAL) -> dict[str, Any]:
    told = message(id=str(310000000000000000 + number), channel_id=channel, content=f"No. {number}")
    del told["guild_id"]  # REST does not tell it
    return told


def web_of(server: Any) -> Asked:
    return Asked(server, token="the-token-of-the-bot")


async def all_of(discord: Discord, web: Asked, cursor: Any) -> tuple[list[str], Any]:
    found: list[str] = []
    while True:
        page = await discord.fetch(web, cursor, NOW)
        found += [one.content for one in page.submissions]  # type: ignore[union-attr,misc]
        cursor = json.loads(json.dumps(page.cursor))
        if not page.more:
            return found, cursor


async def test_asking_begins_with_the_newest_and_misses_nothing_after() -> None:
    server = Server(general=[said(number) for number in range(150)], thread=[said(7, THREAD)])
    web, discord = web_of(server), entry()
    first, cursor = await all_of(discord, web, {})
    assert sorted(first) == sorted([f"No. {number}" for number in range(50, 150)] + ["No. 7"])
    assert web.questions[0].headers["Authorization"] == "Bot the-token-of-the-bot"
    asked = len(web.questions)
    assert await all_of(discord, web, cursor) == ([], cursor)
    assert len(web.questions) == asked + 2
    server.messages[GENERAL] += [said(number) for number in range(150, 400)]
    after, cursor = await all_of(discord, web, cursor)
    assert after == [f"No. {number}" for number in range(150, 400)]


async def test_a_thread_that_is_new_is_read_from_its_beginning() -> None:
    server = Server(general=[said(1)])
    web, discord = web_of(server), entry()
    _, cursor = await all_of(discord, web, {})
    opening = said(0, THREAD) | {"id": THREAD}
    server.messages[THREAD] = [opening, said(2, THREAD)]
    found, _ = await all_of(discord, web, cursor)
    assert found == ["No. 0", "No. 2"]


async def test_history_is_read_forward_and_archived_threads_are_found() -> None:
    server = Server(general=[said(number) for number in range(120)])
    archived = "302000000000000000"
    server.messages[archived] = [said(500, archived)]
    server.archived = [
        {
            "id": archived,
            "type": 11,
            "name": "Old idea",
            "parent_id": FORUM,
            "thread_metadata": {"archived": True, "archive_timestamp": "2026-02-01T00:00:00+00:00"},
        }
    ]
    found: list[str] = []
    cursor: Any = {}
    while True:
        page = await entry().backfill(web_of(server), cursor, AT - timedelta(days=900))
        found += [one.content for one in page.submissions]  # type: ignore[union-attr,misc]
        cursor = json.loads(json.dumps(page.cursor))
        if not page.more:
            break
    assert found == [f"No. {number}" for number in range(120)] + ["No. 500"]


@pytest.mark.parametrize(
    "refusal", [RefusedTokenError("token_refused", "no"), LaterError("unavailable", "later", None)]
)
async def test_a_refusal_is_raised(refusal: FetchError) -> None:
    server = Server(general=[said(1)])
    server.refusal = refusal
    with pytest.raises(type(refusal)):
        await entry().fetch(web_of(server), {}, NOW)


async def test_a_server_that_the_bot_is_not_on_is_said_so() -> None:
    server = Server()
    server.refusal = NotFoundError("not_found", "404")
    with pytest.raises(NotFoundError, match="invited"):
        await entry().fetch(web_of(server), {}, NOW)


async def test_a_channel_that_may_not_be_read_hinders_no_other() -> None:
    server = Server(general=[said(1)], thread=[said(2, THREAD)])

    def answer(question: Question) -> Any:
        if f"/channels/{GENERAL}/" in question.url:
            return RefusedTokenError("not_permitted", "403")
        return server(question)

    cursor: Any = {"newest": {THREAD: "1"}, "left": [GENERAL, THREAD]}
    page = await entry().fetch(web_of(answer), cursor, NOW)
    assert "Read Message History" in page.refused[0].why
    assert [one.content for one in page.submissions] == ["No. 2"]  # type: ignore[union-attr]


async def test_what_was_heard_before_trouble_is_kept() -> None:
    server = Server(general=[said(number) for number in range(300)], thread=[said(2, THREAD)])
    asked: list[str] = []

    def answer(question: Question) -> Any:
        if "/messages" in question.url:
            asked.append(question.url)
            if len(asked) == 3:
                return LaterError("too_many_requests", "429", None)
        return server(question)

    discord, found = entry(), list[str]()
    cursor: Any = {"newest": {GENERAL: "1", THREAD: "1"}}
    page = await discord.fetch(web_of(answer), cursor, NOW)
    assert (len(page.submissions), page.more) == (200, True)
    found, _ = await all_of(discord, web_of(answer), page.cursor)
    assert sorted(found) == sorted([*(f"No. {number}" for number in range(200, 300)), "No. 2"])


EVENTS = {
    "message_": "MESSAGE_CREATE",
    "message_reaction_add": "MESSAGE_REACTION_ADD",
    "message_reaction_remove": "MESSAGE_REACTION_REMOVE",
    "guild_member_remove": "GUILD_MEMBER_REMOVE",
}


@pytest.mark.skipif(not REAL.exists(), reason="../shared/real is not here")
def test_every_recorded_payload_is_read() -> None:
    counts = {"files": 0, "said": 0, "refused": 0, "passed_over": 0}
    for file in REAL.rglob("*.json"):
        begins = max(
            (begin for begin in EVENTS if file.name.startswith(begin)), key=len, default=""
        )
        document = json.loads(file.read_bytes()) | {"guild_id": GUILD}
        page = heard(EVENTS.get(begins, "MESSAGE_UPDATE"), document)
        counts["files"] += 1
        counts["said"] += len(page.submissions)
        counts["refused"] += len({error.index for error in page.refused})
        counts["passed_over"] += sum(page.passed_over.values())
    assert counts["said"] >= 5
    assert counts["files"] == counts["said"] + counts["refused"] + counts["passed_over"]
