"""Zulip: its event queue, which is asked for what happens; and its messages for all else.

A message is its id, which is unique on its server, so the platform is the server's host. The thread
is the topic: `<channel id>/<topic>`.

Events: https://zulip.com/api/get-events
Messages: https://zulip.com/api/get-messages
"""

import asyncio
import base64
import json
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, HttpUrl, StringConstraints

from klankbord_ingest.kind import (
    UNQUOTED,
    Backfill,
    Cursor,
    FetchError,
    Fields,
    Page,
    PassedOver,
    Secret,
    Stream,
    Web,
    gathered,
)
from klankbord_ingest.linked import links_in_html
from klankbord_ingest.platform_json import moment_at, objects, whole_number
from klankbord_ingest.web import NotFoundError, json_of
from klankbord_schemas.types import Line

ChannelId = Annotated[str, UNQUOTED, StringConstraints(pattern=r"^[0-9]{1,12}$")]

PER_PAGE = 200
"""How many messages are asked for at once."""
POLL_SECONDS = 90
"""How long the server may wait for something to happen, where it does not say."""
PAUSE_SECONDS = 1.0
"""The pause after an answer in which nothing happened."""
MOST_CHANGED = 100
"""How many of the messages that one change moved are asked for."""
MANY_AT_ONCE = 300
"""From which feature level on several messages can be asked for by their ids (Zulip 10)."""
REMEMBERED = 10_000
"""Of how many messages a connection remembers whether they are any of our business."""
RESOLVED = "✔ "
"""How the name of a topic begins that was marked as resolved: it is the same topic."""
LISTENED_FOR = ("message", "update_message", "delete_message", "reaction", "realm_user")

_MENTION = re.compile(r'class="user-mention[^"]*"[^>]*data-user-id="(\d+)"')


@dataclass
class Queue:
    """An event queue, and how far it was heard."""

    id: str = ""
    event: int = -1
    """The last event that was heard."""
    message: int | None = None
    """The newest message that was heard; None before the first registration."""
    poll: int = POLL_SECONDS
    level: int = 0
    """The server's feature level (https://zulip.com/api/changelog)."""
    private: dict[str, bool] = field(default_factory=dict)
    """Which channels not everyone may read, of those that this connection knows."""
    heard: "OrderedDict[int, bool]" = field(default_factory=OrderedDict)
    """Whether a message is any of our business, of those that this connection knows."""

    @property
    def cursor(self) -> Fields:
        """To go on from here."""
        return {
            "queue": self.id,
            "event": self.event,
            "message": self.message,
            "poll": self.poll,
            "level": self.level,
        }

    def knows(self, message: int, *, is_ours: bool) -> None:
        """Remember a message; the oldest is forgotten."""
        self.heard[message] = is_ours
        if len(self.heard) > REMEMBERED:
            self.heard.popitem(last=False)


class Zulip(Stream, Backfill):
    """A Zulip organisation, or some of its channels."""

    secrets: ClassVar[dict[str, Secret]] = {
        "token": Secret("the bot's API key, from Personal settings → Bots", min_bytes=16),
    }

    kind: Literal["zulip"]
    site: HttpUrl
    """The organisation's address, such as https://acme.zulipchat.com."""
    bot: Line
    """The bot's e-mail address, such as klankbord-bot@acme.zulipchat.com."""
    channels: dict[ChannelId, Line] = Field(default_factory=dict)
    """Which channels are listened to, by id, each with its name; left out, every public one. A
    private channel is heard only where it is listed here and the bot is subscribed to it."""

    @property
    def own_platform(self) -> str:
        """The server's host."""
        return self.site.host or self.name

    @property
    def place(self) -> str:
        """Another organisation has other messages."""
        return str(self.site)

    # What Zulip tells

    async def stream(self, web: Web, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What the event queue tells, after what was said while nobody asked it.

        A queue drops what was asked for, stored here or not, and is dropped itself after some ten
        minutes; so the messages after the last that was stored are asked for each time.
        """
        queue = _queue_of(cursor)
        queue.private = await self._channels(web)
        is_new = not queue.id
        if is_new:
            await self._register(web, queue)
        async for page in self._catch_up(web, queue):
            yield page
        yield Page(cursor=queue.cursor)
        while True:
            events = await self._poll(web, queue, is_new=is_new)
            is_new = events is None
            if events is None:
                await self._register(web, queue)
                async for page in self._catch_up(web, queue):
                    yield page
                continue
            is_idle = True
            for event in events:
                told = await self._event(web, event, queue)
                if told is not None:
                    is_idle = False
                    yield told
            if is_idle:  # a server that waits for nothing is not asked on and on
                await asyncio.sleep(PAUSE_SECONDS)

    async def _poll(self, web: Web, queue: Queue, *, is_new: bool) -> list[Fields] | None:
        """What happened since, once something does; None where Zulip no longer has the queue."""
        params: dict[str, str | int] = {"queue_id": queue.id, "last_event_id": queue.event}
        try:
            answer = await self._get(web, "events", params, seconds=queue.poll + 30)
        except FetchError as error:
            if is_new or error.code != "bad_answer":
                raise
            return None  # 400 BAD_EVENT_QUEUE_ID
        return objects(answer.get("events"))

    async def _register(self, web: Web, queue: Queue) -> None:
        """https://zulip.com/api/register-queue"""
        fetched = await web.post(
            self._address("register"),
            form={
                "event_types": json.dumps(LISTENED_FOR),
                "fetch_event_types": '["message"]',  # else it tells of every member
                "all_public_streams": "true",
                "apply_markdown": "true",
                "client_gravatar": "false",
            },
            headers=self._headers(web),
        )
        answer = json_of(fetched)
        try:
            queue.id, queue.event = str(answer["queue_id"]), int(answer["last_event_id"])
            if queue.message is None:
                queue.message = int(answer.get("max_message_id", -1))
        except (KeyError, TypeError, ValueError) as error:
            raise FetchError("bad_answer", f"Zulip's register made no queue: {error!r}") from error
        queue.poll = int(answer.get("event_queue_longpoll_timeout_seconds") or POLL_SECONDS)
        queue.level = int(answer.get("zulip_feature_level") or 0)

    async def _catch_up(self, web: Web, queue: Queue) -> AsyncGenerator[Page, None]:
        """The messages after the last one that was heard."""
        assert queue.message is not None
        newest = queue.message
        if newest < 0:
            return  # nothing was ever said there
        for narrow in self._narrows():
            anchor, is_done = queue.message, False
            while not is_done:
                answer = await self._messages(web, narrow, anchor, after=PER_PAGE)
                messages = objects(answer.get("messages"))
                if messages:
                    yield await self._read(web, messages, queue)
                anchor = max([anchor, *map(_number, messages)])
                newest = max(newest, anchor)
                is_done = not messages or answer.get("found_newest") is not False
        queue.message = newest

    async def _read(self, web: Web, messages: list[Fields], queue: Queue) -> Page:
        """A page of messages, remembered for the reactions to them."""
        told_of = {str(one.get("stream_id")) for one in messages if one.get("type") == "stream"}
        if told_of - queue.private.keys():
            queue.private = await self._channels(web)

        def read(message: Fields) -> Iterable[Fields]:
            try:
                told = self.said(message, queue.private)
            except PassedOver:
                queue.knows(_number(message), is_ours=False)
                raise
            queue.knows(_number(message), is_ours=True)
            return [told]

        return gathered(messages, read)

    async def _event(self, web: Web, event: Fields, queue: Queue) -> Page | None:
        """What one event says, with the cursor after it."""
        if isinstance(event.get("id"), int):
            queue.event = max(queue.event, event["id"])
        match event.get("type"):
            case "message":
                message = event.get("message")
                if not isinstance(message, dict):
                    message = {}
                page = await self._read(web, [message], queue)
                queue.message = max(queue.message or 0, _number(message))
            case "update_message":
                page = await self._changed(web, event, queue)
            case "delete_message":
                page = gathered([event], lambda one: self.deleted(one, queue.private))
            case "reaction":
                page = await self._reacted(web, event, queue)
            case "realm_user":
                page = gathered([event], _member)
            case _:
                return None  # a heartbeat
        return replace(page, cursor=queue.cursor)

    async def _changed(self, web: Web, event: Fields, queue: Queue) -> Page:
        """An edit, or a move to another topic or channel. The event tells neither who wrote the
        messages nor when, so they are asked for as they are now.
        """
        if event.get("rendering_only") is True or (
            event.get("stream_id") is None and event.get("orig_subject") is None
        ):
            reason = "unchanged" if event.get("rendering_only") is True else "private"
            return Page(passed_over={reason: 1})
        given = event.get("message_ids") or [event.get("message_id")]
        numbers = [one for one in given if isinstance(one, int)] if isinstance(given, list) else []
        if "subject" not in event and "new_stream_id" not in event:
            numbers = [one for one in numbers if one == event.get("message_id")]
        found = await self._by_id(web, numbers[:MOST_CHANGED], queue.level)
        return await self._read(web, found, queue)

    async def _by_id(self, web: Web, numbers: list[int], level: int) -> list[Fields]:
        """These messages as they are now; those that are gone by now are left out."""
        if len(numbers) > 1 and level >= MANY_AT_ONCE:
            params = {"message_ids": json.dumps(numbers), **_WITH_WORDS}
            answer = await self._get(web, "messages", params)
            return objects(answer.get("messages"))
        found = []
        for number in numbers:
            try:
                answer = await self._get(web, f"messages/{number}", _WITH_WORDS)
            except NotFoundError:
                continue
            except FetchError as error:
                if error.code != "bad_answer":  # 400: there is no such message
                    raise
                continue
            if isinstance(answer.get("message"), dict):
                found.append(answer["message"])
        return found

    async def _reacted(self, web: Web, event: Fields, queue: Queue) -> Page:
        """A reaction does not say where its message is: it counts where that may be heard."""
        number = event.get("message_id")
        if event.get("op") == "add" and isinstance(number, int) and number not in queue.heard:
            await self._read(web, await self._by_id(web, [number], queue.level), queue)
            queue.heard.setdefault(number, False)
        is_ours = isinstance(number, int) and queue.heard.get(number, False)
        now = datetime.now(UTC)
        return gathered([event], lambda one: [_reaction(one, now, is_ours=is_ours)])

    # What messages say

    def said(self, message: Fields, private: Mapping[str, bool]) -> Fields:
        """The post that a message is (https://zulip.com/api/get-messages#response).

        Args:
            message: as Zulip gives it, with its words as HTML.
            private: which channels, by id, not everyone may read.
        """
        if message["type"] != "stream":
            raise PassedOver("private")
        channel = str(message["stream_id"])
        self._check_channel(channel, private)
        topic = str(message["subject"]).removeprefix(RESOLVED)
        markup = message["content"]
        if not markup:
            raise PassedOver("empty")
        changes = [message.get("last_edit_timestamp"), message.get("last_moved_timestamp")]
        changed = max((one for one in changes if isinstance(one, int)), default=None)
        name = message.get("display_recipient")
        return {
            "nativeId": str(message["id"]),
            "operation": "create" if changed is None else "update",
            "published": moment_at(message["timestamp"]),
            "updated": None if changed is None else moment_at(changed),
            "attributedTo": _author(message, self._root),
            "context": f"{channel}/{topic}",
            "contentHtml": markup,
            "tag": [one for one in (name, topic) if isinstance(one, str) and one],
            "mention": list(dict.fromkeys(_MENTION.findall(markup))),
            "link": links_in_html(markup),
            "url": f"{self._root}/#narrow/channel/{channel}/topic/"
            f"{_in_a_hash(str(message['subject']))}/near/{message['id']}",
        }

    def deleted(self, event: Fields, private: Mapping[str, bool]) -> Iterable[Fields]:
        """https://zulip.com/api/get-events#delete_message"""
        if event["message_type"] != "stream":
            raise PassedOver("private")
        self._check_channel(str(event["stream_id"]), private)
        numbers = event["message_ids"] if "message_ids" in event else [event["message_id"]]
        return [{"nativeId": str(int(number)), "operation": "delete"} for number in numbers]

    def _check_channel(self, channel: str, private: Mapping[str, bool]) -> None:
        if channel in self.channels:
            return
        if private.get(channel, True):
            raise PassedOver("private")
        if self.channels:
            raise PassedOver("other_channel")

    # What is asked for

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """Every message since that moment, the latest page first.

        Cursor: `{"narrow": which of the channels, "before": message}`.
        """
        given, before = cursor.get("narrow"), cursor.get("before")
        position = given if isinstance(given, int) else 0
        narrows = self._narrows()
        if position >= len(narrows):
            return Page(cursor=dict(cursor))
        private = await self._channels(web)
        anchor: int | str = before if isinstance(before, int) else "newest"
        answer = await self._messages(web, narrows[position], anchor, before=PER_PAGE)
        messages = objects(answer.get("messages"))
        stamps = [one["timestamp"] for one in messages if isinstance(one.get("timestamp"), int)]
        is_older = since is not None and min(stamps, default=0) < since.timestamp()
        if since is not None:
            messages = [one for one in messages if one.get("timestamp", 0) >= since.timestamp()]
        numbers = [one for one in map(_number, objects(answer.get("messages"))) if one >= 0]
        is_done = not numbers or is_older or answer.get("found_oldest") is not False
        following: Fields = (
            {"narrow": position + 1} if is_done else {"narrow": position, "before": min(numbers)}
        )
        page = gathered(messages, lambda message: [self.said(message, private)])
        return replace(page, cursor=following, more=not is_done or position + 1 < len(narrows))

    def _narrows(self) -> list[str]:
        """Which messages are asked for: of every public channel, or of each that is listed.

        `stream` is what a channel was called until Zulip 9; every version understands it.
        """
        if not self.channels:
            return [json.dumps([{"operator": "streams", "operand": "public"}])]
        return [
            json.dumps([{"operator": "stream", "operand": int(channel)}])
            for channel in self.channels
        ]

    async def _messages(
        self, web: Web, narrow: str, anchor: int | str, *, before: int = 0, after: int = 0
    ) -> Fields:
        params = {
            "narrow": narrow,
            "anchor": anchor,
            "include_anchor": "true" if anchor == "newest" else "false",
            "num_before": before,
            "num_after": after,
            **_WITH_WORDS,
        }
        return await self._get(web, "messages", params)

    async def _channels(self, web: Web) -> dict[str, bool]:
        """The channels that the bot may see, and whether not everyone may read each
        (https://zulip.com/api/get-streams). One that it does not see is private.
        """
        answer = await self._get(web, "streams", {"include_subscribed": "true"})
        return {
            str(one.get("stream_id")): one.get("invite_only") is not False
            for one in objects(answer.get("streams"))
        }

    async def _get(
        self,
        web: Web,
        path: str,
        params: Mapping[str, str | int],
        *,
        seconds: float | None = None,
    ) -> Fields:
        answer = await web.get_json(
            self._address(path), params, self._headers(web), seconds=seconds
        )
        if not isinstance(answer, dict):
            raise FetchError("bad_answer", f"Zulip's {path} answered no object")
        return answer

    def _headers(self, web: Web) -> dict[str, str]:
        pair = base64.b64encode(f"{self.bot}:{web.token}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    @property
    def _root(self) -> str:
        return str(self.site).rstrip("/")

    def _address(self, path: str) -> str:
        return f"{self._root}/api/v1/{path}"


_WITH_WORDS = {"apply_markdown": "true", "client_gravatar": "false"}


def _queue_of(cursor: Cursor) -> Queue:
    queue, event, message = cursor.get("queue"), cursor.get("event"), cursor.get("message")
    poll, level = cursor.get("poll"), cursor.get("level")
    known = Queue(message=message if isinstance(message, int) else None)
    if isinstance(queue, str) and isinstance(event, int) and known.message is not None:
        known.id, known.event = queue, event
        known.poll = poll if isinstance(poll, int) else POLL_SECONDS
        known.level = level if isinstance(level, int) else 0
    return known


def _reaction(event: Fields, now: datetime, *, is_ours: bool) -> Fields:
    """https://zulip.com/api/get-events#reaction-add: it does not say when, so it was just now."""
    if event["op"] != "add":
        raise PassedOver("withdrawn")
    if not is_ours:
        raise PassedOver("private")
    user, code = str(event["user_id"]), str(event["emoji_code"])
    return {
        "kind": "like",
        "nativeId": f"{event['message_id']}:{user}:{event['reaction_type']}:{code}",
        "published": now,
        "attributedTo": {"id": user},
        "object": str(event["message_id"]),
        "content": _emoji(event),
    }


def _emoji(event: Fields) -> str:
    """The character; of an emoji of the organisation's own, its name."""
    if event["reaction_type"] != "unicode_emoji":
        return f":{event['emoji_name']}:"
    return "".join(chr(int(point, 16)) for point in str(event["emoji_code"]).split("-"))


def _member(event: Fields) -> Iterable[Fields]:
    """https://zulip.com/api/get-events#realm_user-add: someone came; or was deactivated."""
    person = event["person"]
    is_join = event["op"] == "add"
    if not is_join and not (event["op"] == "update" and person.get("is_active") is False):
        raise PassedOver("no_post")
    stated = person.get("date_joined") if is_join else None
    joined = datetime.fromisoformat(stated) if isinstance(stated, str) else None
    if joined is not None and joined.tzinfo is None:
        joined = joined.replace(tzinfo=UTC)
    user = str(person["user_id"])
    return [
        {
            "kind": "join" if is_join else "leave",
            "nativeId": f"{'join' if is_join else 'leave'}:{user}:{stated or event['id']}",
            "published": joined or datetime.now(UTC),
            "attributedTo": {
                "id": user,
                "type": "Service" if person.get("is_bot") else "Person",
                "name": person.get("full_name"),
            },
        }
    ]


def _author(message: Fields, root: str) -> Fields:
    """Who wrote a message. The address of a bot is always `…-bot@…`: Zulip wants it so."""
    address, avatar = str(message.get("sender_email") or ""), message.get("avatar_url")
    is_bot = address.partition("@")[0].endswith("-bot")
    shown = avatar if isinstance(avatar, str) and avatar else None
    return {
        "id": str(message["sender_id"]),
        "type": "Service" if is_bot else "Person",
        "name": message.get("sender_full_name"),
        "icon": shown if shown is None or urlsplit(shown).scheme else f"{root}{shown}",
    }


def _in_a_hash(topic: str) -> str:
    """A topic as Zulip writes it into an address."""
    return quote(topic, safe="").replace(".", "%2E").replace("%", ".")


def _number(message: Fields) -> int:
    return whole_number(message.get("id"), otherwise=-1)
