"""Chats of which any part may be anything: an item is heard, passed over or refused."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from asked import request, source

from klankbord_ingest.kind import Page, Push, gathered
from klankbord_ingest.kinds.discord import Discord, Place
from klankbord_ingest.kinds.slack import Slack
from klankbord_ingest.kinds.telegram import Telegram
from klankbord_ingest.kinds.zulip import Zulip

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NASTY: tuple[Any, ...] = (
    None,
    7,
    -1,
    2**62,
    10**30,
    1e300,
    True,
    "x",
    "",
    "<@>",
    [],
    [None],
    {},
    {"a": 1},
)
TS, GUILD, CHANNEL = "1763805600.000100", "244567637332328449", "244567637332328450"
PROFILE = {"real_name": "Jo", "name": "jo", "image_72": "https://example.org/jo.png"}
SLACK_MESSAGE = {
    "type": "message",
    "channel": "C1",
    "user": "U1",
    "user_profile": PROFILE,
    "text": "<@U2> <https://example.org|here>",
    "ts": TS,
    "thread_ts": "1763800000.000000",
    "edited": {"ts": "1763805700.000000"},
    "attachments": [{"blocks": [{"type": "section", "text": {"text": "x"}}]}],
    "files": [{"title": "t"}],
}
USER = {"id": "1", "username": "jo", "avatar": "a"}
DISCORD_MESSAGE = {
    "id": "302917639565475841",
    "guild_id": GUILD,
    "channel_id": CHANNEL,
    "author": USER,
    "content": "<@1> <#2> https://example.org",
    "mentions": [USER],
    "timestamp": "2026-03-01T12:00:00+00:00",
    "edited_timestamp": "2026-03-01T12:30:00+00:00",
    "embeds": [{"type": "rich", "title": "t", "fields": [{"name": "a", "value": "b"}]}],
    "message_reference": {"message_id": "1"},
    "type": 19,
}
TELEGRAM_MESSAGE = {
    "message_id": 7,
    "chat": {"id": -1001, "type": "supergroup", "title": "Users"},
    "from": {"id": 42, "is_bot": False, "first_name": "Jo"},
    "date": 1772366400,
    "edit_date": 1772366500,
    "text": "example.org #tag",
    "entities": [{"type": "url", "offset": 0, "length": 11}],
    "reply_to_message": {"message_id": 1},
    "message_thread_id": 1,
}
ZULIP_MESSAGE = {
    "id": 1,
    "type": "stream",
    "stream_id": 5,
    "display_recipient": "general",
    "subject": "Hello",
    "content": "<p>Hello</p>",
    "timestamp": 1772366400,
    "last_edit_timestamp": 1772366500,
    "sender_id": 42,
    "sender_email": "jo@example.org",
}


def sent(kind: Push, document: Any) -> Page:
    return kind.read(request(json.dumps(document).encode()), source(kind), NOW)


def slack(event: Any) -> Page:
    kind = Slack(name="s", community="demo", kind="slack", team="T1", workspace="acme")
    outer = {"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event_time": 1763805600}
    return sent(kind, outer | {"event": event})


def discord(event: str) -> Callable[[Any], Page]:
    kind = Discord(name="d", community="demo", kind="discord", guild=GUILD)
    places = {CHANNEL: Place(CHANNEL, "general", 0)}
    return lambda data: gathered([data], lambda one: kind.heard(event, one, places, "s:1", NOW))


def telegram(update: Any) -> Page:
    kind = Telegram(name="t", community="demo", kind="telegram")
    return sent(kind, {"update_id": 1, **(update if isinstance(update, dict) else {})})


def zulip(message: Any) -> Page:
    kind = Zulip.model_validate(
        {
            "name": "z",
            "community": "demo",
            "kind": "zulip",
            "site": "https://chat.example.org",
            "bot": "x-bot@chat.example.org",
        }
    )
    return gathered([message], lambda one: [kind.said(one, {"5": False})])


def paths(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in inner:
        yield (*at, key)
        yield from paths(value, (*at, key))


def spoiled(document: Any, path: tuple[Any, ...], nasty: Any) -> Any:
    copied = copy.deepcopy(document)
    node = copied
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = nasty
    return copied


@pytest.mark.parametrize(
    ("read", "document"),
    [
        (slack, SLACK_MESSAGE),
        (
            slack,
            {
                "type": "message",
                "subtype": "message_changed",
                "channel": "C1",
                "ts": TS,
                "message": SLACK_MESSAGE,
                "previous_message": SLACK_MESSAGE | {"text": "x"},
            },
        ),
        (
            slack,
            {
                "type": "reaction_added",
                "user": "U1",
                "reaction": "wave",
                "item": {"type": "message", "channel": "C1", "ts": TS},
            },
        ),
        (discord("MESSAGE_CREATE"), DISCORD_MESSAGE),
        (discord("MESSAGE_UPDATE"), DISCORD_MESSAGE),
        (
            discord("GUILD_MEMBER_ADD"),
            {"guild_id": GUILD, "user": USER, "joined_at": "2026-03-01T12:00:00+00:00"},
        ),
        (telegram, {"message": TELEGRAM_MESSAGE}),
        (telegram, {"edited_message": TELEGRAM_MESSAGE}),
        (zulip, ZULIP_MESSAGE),
    ],
)
def test_whatever_a_part_is_the_item_is_heard_or_passed_over_or_refused(
    read: Callable[[Any], Page], document: Any
) -> None:
    assert read(document).submissions
    chance = random.Random(7)
    for path in paths(document):
        for nasty in chance.sample(NASTY, 6):
            page = read(spoiled(document, path, nasty))
            assert page.submissions or page.refused or page.passed_over
            assert all(error.why for error in page.refused)
