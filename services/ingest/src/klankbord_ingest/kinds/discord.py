"""Discord: its gateway, a web socket that tells what happens; and its REST interface for the rest.

A message is its snowflake, which is unique in all of Discord, so the platform is `discord.com`. The
thread is the id of its channel: that of the message which opened it, where one did.

Gateway: https://docs.discord.com/developers/events/gateway
Messages: https://docs.discord.com/developers/resources/message
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, HttpUrl, StringConstraints
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    FetchError,
    FieldError,
    Fields,
    Page,
    PassedOver,
    Pull,
    Secret,
    Stream,
    Web,
    gathered,
    together,
)
from klankbord_ingest.linked import links_in_text
from klankbord_ingest.platform_json import objects
from klankbord_ingest.web import NotFoundError, RefusedTokenError
from klankbord_runtime.yamlfile import Duration
from klankbord_schemas.types import Line

Snowflake = Annotated[str, StringConstraints(pattern=r"^[0-9]{5,20}$")]

VERSION = 10
PER_PAGE = 100
"""How many messages are asked for at once: Discord's most."""
PAGES_AT_ONCE = 5
"""How many of these are read together, before the list of channels is asked for again."""
MAX_PLACES = 1000
"""How many channels and threads one source follows by asking: its cursor holds a line of each."""
MAX_FRAME = 16 * 1024 * 1024
"""The largest message of the gateway: a large server introduces itself in one."""
PATIENCE = 30.0
"""Seconds within which the gateway must say Hello."""
GOING_ON = 4000
"""What a connection is closed with: with 1000 or 1001 Discord would forget the session."""
FIRST_MOMENT = 1_420_070_400_000
"""Milliseconds since 1970 at which snowflakes begin."""
USER_AGENT = "DiscordBot (Klankbord, 0.1)"
"""Discord turns away programs that do not name themselves in its way."""

# https://docs.discord.com/developers/events/gateway#gateway-intents
GUILDS, GUILD_MEMBERS, GUILD_MESSAGES, REACTIONS, CONTENT = 1 << 0, 1 << 1, 1 << 9, 1 << 10, 1 << 15
# https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway
HEARTBEAT, IDENTIFY, RESUME, HELLO = 1, 2, 6, 10
# https://docs.discord.com/developers/resources/message#message-object-message-types
REPLY = 19
POSTS = frozenset({0, REPLY, 20, 23})
USER_JOIN = 7
# https://docs.discord.com/developers/resources/channel#channel-object-channel-types
WITH_MESSAGES = frozenset({0, 2, 5, 13})
FORUMS = frozenset({15, 16})
THREADS = frozenset({10, 11, 12})
WITH_THREADS = frozenset({0, 5}) | FORUMS
PRIVATE_THREAD = 12
VIEW_CHANNEL = 1 << 10

_SESSION_LOST = frozenset({4007, 4009})
_REFERENCE = re.compile(r"<(@[!&]?|#|a?:\w+:)(\d+)>")


@dataclass(frozen=True)
class Place:
    """A channel or thread of a server."""

    id: str
    name: str
    kind: int
    parent: str | None = None
    """Of a thread, the channel that it is in."""
    last: str = ""
    """The newest message in it, as far as Discord tells."""
    is_hidden: bool = False
    """Whether not everyone on the server may read it."""

    @property
    def is_thread(self) -> bool:
        """Whether it is a thread, or a post of a forum."""
        return self.kind in THREADS


Places = Mapping[str, Place]


@dataclass
class Session:
    """What it takes to go on where a connection broke (op 6, Resume)."""

    id: str = ""
    url: str = ""
    seq: int | None = None
    is_alive: bool = False
    """Whether this connection got as far as Ready or Resumed."""
    is_answered: bool = True
    """Whether the last heartbeat was answered."""

    @property
    def cursor(self) -> Fields:
        """To go on from here."""
        return {"session": self.id, "url": self.url, "seq": self.seq}


class Discord(Stream, Pull, Backfill):
    """A Discord server, or some of its channels."""

    secrets: ClassVar[dict[str, Secret]] = {
        "token": Secret("the bot's token, from Bot → Reset Token on discord.com/developers"),
    }

    kind: Literal["discord"]
    guild: Snowflake
    """The server's id: Developer Mode on, right-click on the server, Copy Server ID."""
    channels: dict[Snowflake, Line] = Field(default_factory=dict)
    """Which channels are listened to, by id, each with a name for the reader of the file; left out,
    every one that everyone on the server may read. A channel that not everyone may read is heard
    only where it is listed here."""
    members: bool = True
    """Whether to hear of joins and leaves as they happen: that needs the Server Members Intent.
    Without it, the messages in which Discord greets new members are the joins."""
    every: Duration = timedelta(minutes=15)
    api: HttpUrl = HttpUrl(f"https://discord.com/api/v{VERSION}")
    """Where Discord's interface is."""

    @property
    def own_platform(self) -> str:
        """Snowflakes are unique in all of Discord."""
        return "discord.com"

    @property
    def place(self) -> str:
        """Another server has other channels."""
        return self.guild

    # What Discord tells

    async def stream(self, web: Web, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What the gateway tells, from where the last session stopped, if Discord still knows it.

        What happened while it did not is asked for: see `fetch`.
        """
        session = _session_of(cursor)
        places = dict(await self._places(web))
        url = session.url or await self._gateway(web)
        address = f"{url.rstrip('/')}/?v={VERSION}&encoding=json"
        async with web.websocket(address, max_bytes=MAX_FRAME) as socket:
            try:
                async with _heartbeats(socket, session, await _hello(socket)):
                    await _send(socket, self._greeting(web, session))
                    async for raw in socket:
                        page = await self._frame(json.loads(raw), session, places, socket)
                        if page is None:
                            continue
                        yield page
                        if page.more:  # the connection is to be taken up anew
                            return
                # closed in good order
            except ConnectionClosed as closed:
                if lost := _closed(closed, session):
                    yield lost
            except ValueError as error:
                raise FetchError("bad_answer", f"the gateway sent no JSON: {error}") from error
            finally:
                await socket.close(GOING_ON)

    async def _gateway(self, web: Web) -> str:
        answer = await self._ask(web, "/gateway/bot")
        if not isinstance(answer, dict) or not isinstance(answer.get("url"), str):
            raise FetchError("bad_answer", "Discord's /gateway/bot names no address")
        return str(answer["url"])

    def _greeting(self, web: Web, session: Session) -> Fields:
        if session.id:
            told = {"token": web.token, "session_id": session.id, "seq": session.seq}
            return {"op": RESUME, "d": told}
        intents = GUILDS | GUILD_MESSAGES | REACTIONS | CONTENT
        return {
            "op": IDENTIFY,
            "d": {
                "token": web.token,
                "intents": intents | (GUILD_MEMBERS if self.members else 0),
                "properties": {"os": "linux", "browser": "klankbord", "device": "klankbord"},
                "large_threshold": 50,
            },
        }

    async def _frame(
        self, frame: Fields, session: Session, places: dict[str, Place], socket: ClientConnection
    ) -> Page | None:
        """What one frame says; `more` means that the connection is to be taken up anew."""
        match frame.get("op"):
            case 0:  # Dispatch
                return self._dispatched(frame, session, places)
            case 1:  # Heartbeat: the gateway wants one at once
                await _send(socket, {"op": HEARTBEAT, "d": session.seq})
            case 7:  # Reconnect
                return Page(cursor=session.cursor, more=True)
            case 9:  # Invalid Session; `d` says whether the session can be gone on with
                kept = session.cursor if frame.get("d") is True else {}
                return Page(cursor=kept, more=True)
            case 11:  # Heartbeat ACK
                session.is_answered = True
        return None

    def _dispatched(self, frame: Fields, session: Session, places: dict[str, Place]) -> Page | None:
        if isinstance(frame.get("s"), int):
            session.seq = frame["s"]
        event, data = str(frame.get("t")), frame.get("d")
        match event:
            case "READY" if isinstance(data, dict):
                session.id = str(data.get("session_id") or "")
                session.url = str(data.get("resume_gateway_url") or "")
                session.is_alive = True
                return Page(cursor=session.cursor)
            case "RESUMED":
                session.is_alive = True
                return Page(cursor=session.cursor)
        if event in _PLACES_CHANGE:
            for place in _placed([data], self.guild, places):
                places[place.id] = place
            return None
        if event not in _HEARD:
            return None
        name = f"{session.id}:{session.seq}"
        page = gathered([data], lambda said: self.heard(event, said, places, name))
        return replace(page, cursor=session.cursor)

    def heard(
        self, event: str, data: Fields, places: Places, name: str = "", now: datetime | None = None
    ) -> Iterable[Fields]:
        """What an event says.

        Args:
            event: such as `MESSAGE_CREATE`.
            data: what it brings.
            places: the channels and threads of the server.
            name: what tells this event from any other, however often it is sent.
            now: the moment, for what has no time of its own.
        """
        if data.get("guild_id") is None:
            raise PassedOver("private")
        if data["guild_id"] != self.guild:
            raise PassedOver("other_server")
        moment = now or datetime.now(UTC)
        match event:
            case "MESSAGE_CREATE":
                return [self.said(data, places)]
            case "MESSAGE_UPDATE":
                return [self._changed(data, places)]
            case "MESSAGE_DELETE":
                self._check_place(data["channel_id"], places)
                return [_gone(data["id"])]
            case "MESSAGE_DELETE_BULK":
                self._check_place(data["channel_id"], places)
                return [_gone(message) for message in data["ids"]]
            case "MESSAGE_REACTION_ADD":
                return [self._reaction(data, places, moment)]
            case "GUILD_MEMBER_ADD" | "GUILD_MEMBER_REMOVE":
                return [self._coming_or_going(event, data, name, moment)]
        raise PassedOver("withdrawn")

    def _check_place(self, channel: str, places: Places) -> Place | None:
        """Whether what is said there is any of our business."""
        place = places.get(channel)
        home = place.parent if place and place.is_thread and place.parent else channel
        if home in self.channels or channel in self.channels:
            return place
        above = places.get(home)
        if (place and (place.is_hidden or place.kind == PRIVATE_THREAD)) or (
            above and above.is_hidden
        ):
            raise PassedOver("private")
        if self.channels:
            raise PassedOver("other_channel")
        return place

    def said(self, message: Fields, places: Places, *, may_be_empty: bool = False) -> Fields:
        """The post or the join that a message is (`message` as the gateway or REST gives it)."""
        channel = message["channel_id"]
        place = self._check_place(channel, places)
        kind = message.get("type", 0)
        published = _moment(message.get("timestamp")) or _moment_of(message["id"])
        if kind == USER_JOIN:
            if self.members:
                raise PassedOver("doubled")
            return {
                "kind": "join",
                "nativeId": message["id"],
                "published": published,
                "attributedTo": _author(message),
            }
        if kind not in POSTS:
            raise PassedOver("no_post")
        content = _words(message, places)
        if not content and not may_be_empty:
            raise PassedOver("empty")
        edited = _moment(message.get("edited_timestamp"))
        return {
            "nativeId": message["id"],
            "operation": "update" if edited else "create",
            "published": published,
            "updated": edited,
            "attributedTo": _author(message),
            **_stand(message, place, places),
            "content": content,
            "mention": [one["id"] for one in objects(message.get("mentions"))],
            "link": links_in_text(content),
            "url": f"https://discord.com/channels/{self.guild}/{channel}/{message['id']}",
        }

    def _changed(self, message: Fields, places: Places) -> Fields:
        """An update may hold no more than what changed: a preview of a link, a pin."""
        if message.get("edited_timestamp") is None or "content" not in message:
            self._check_place(message["channel_id"], places)
            raise PassedOver("unchanged")
        return self.said(message, places, may_be_empty=True)

    def _reaction(self, data: Fields, places: Places, now: datetime) -> Fields:
        """Discord does not say when: it was just now. Heard twice, it is one."""
        self._check_place(data["channel_id"], places)
        emoji, member = data["emoji"], data.get("member")
        user = member.get("user") if isinstance(member, dict) else None
        name = str(emoji.get("name") or "")
        return {
            "kind": "like",
            "nativeId": f"{data['message_id']}:{data['user_id']}:{emoji.get('id') or name}",
            "published": now,
            "attributedTo": _actor(user) if isinstance(user, dict) else {"id": data["user_id"]},
            "object": data["message_id"],
            "content": f":{name}:" if emoji.get("id") else name,
        }

    def _coming_or_going(self, event: str, data: Fields, name: str, now: datetime) -> Fields:
        user = data["user"]
        joined = _moment(data.get("joined_at"))
        is_join = event == "GUILD_MEMBER_ADD"
        known_as = f"join:{user['id']}:{data.get('joined_at')}" if is_join else f"leave:{name}"
        return {
            "kind": "join" if is_join else "leave",
            "nativeId": known_as,
            "published": joined or now,
            "attributedTo": _actor(user),
            "isAutomated": bool(user.get("bot")),
        }

    # What is asked for

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:  # noqa: ARG002
        """What was said since: for the times in which the gateway told nothing.

        The list of channels says what the newest message of each is, so a quiet server costs two
        requests. Cursor: `{"newest": {channel: message}, "left": [channel, …]}`.
        """
        newest = _texts(cursor.get("newest"))
        is_first = not cursor
        places = await self._places(web)
        left = cursor.get("left")
        due = [str(one) for one in left] if isinstance(left, list) else None
        followed = self._followed(places)
        if due is None:
            due = [one.id for one in followed if int(one.last or 0) > int(newest.get(one.id, 0))]
            kept = {one.id for one in followed}
            newest = {channel: known for channel, known in newest.items() if channel in kept}
        is_first = is_first or cursor.get("is_first") is True
        pages: list[Page] = []
        while due and len(pages) < PAGES_AT_ONCE:
            channel, *others = due
            after = newest.get(channel) or (None if is_first else str(int(channel) - 1))
            try:
                page, last, is_whole = await self._channel(web, channel, after, places)
            except FetchError:
                if not pages:
                    raise
                break  # what was heard is kept; whoever asks next is told why
            pages.append(page)
            if last or channel not in newest:
                newest[channel] = last or channel
            due = others if is_whole or after is None else due
        following: Fields = {"newest": newest}
        if due:
            following |= {"left": due, "is_first": is_first}
        return replace(together(pages), cursor=following, more=bool(due))

    def _followed(self, places: Places) -> list[Place]:
        """Where to ask, the liveliest first."""
        found = [
            place
            for place in places.values()
            if place.last
            and (place.is_thread or place.kind in WITH_MESSAGES)
            and self._is_followed(place, places)
        ]
        return sorted(found, key=lambda place: int(place.last), reverse=True)[:MAX_PLACES]

    async def _channel(
        self, web: Web, channel: str, after: str | None, places: Places
    ) -> tuple[Page, str, bool]:
        """A page of messages, the newest id in it, and whether it was the last."""
        params = {"limit": PER_PAGE} | ({} if after is None else {"after": after})
        try:
            answer = await self._ask(web, f"/channels/{channel}/messages", params)
        except (NotFoundError, RefusedTokenError) as error:
            if error.code == "token_refused":
                raise
            why = f"{error}; give the bot View Channel and Read Message History there"
            wrong = FieldError(None, f"channel {channel}", why, error.code)
            return Page(refused=[wrong]), after or "", True
        messages = sorted(objects(answer), key=_number)
        page = gathered(messages, lambda message: [self.said(message, places)])
        last = str(max(map(_number, messages), default=0) or after or "")
        return page, last, len(messages) < PER_PAGE

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """Every message since that moment, channel by channel, archived threads included.

        Cursor: `{"left": [place, …], "after": message, "archive": {channel: before}}`: the channels
        and threads to read, the message after which to go on in the first of them, and the
        channels of which archived threads are still to be listed.
        """
        places = dict(await self._places(web))
        left, archive = cursor.get("left"), cursor.get("archive")
        start = _snowflake(since) if since else "0"
        after = str(cursor.get("after") or start)
        if isinstance(left, list) and isinstance(archive, dict):
            due, to_list = [_place_of(one) for one in left], _texts(archive)
        else:
            due = self._followed(places)
            to_list = {
                place.id: ""
                for place in places.values()
                if place.kind in WITH_THREADS and self._is_followed(place, places)
            }
        pages: list[Page] = []
        while (due or to_list) and len(pages) < PAGES_AT_ONCE:
            page = Page()
            try:
                if due:
                    first, *others = due
                    places.setdefault(first.id, first)
                    page, last, is_whole = await self._channel(web, first.id, after, places)
                    due, after = (others, start) if is_whole else (due, last)
                else:
                    channel, before = next(iter(to_list.items()))
                    due, following = await self._archived(web, channel, before, since)
                    others_to_list = {name: at for name, at in to_list.items() if name != channel}
                    to_list = ({channel: following} if following else {}) | others_to_list
                    after = start
            except FetchError:
                if not pages:
                    raise
                break  # what was heard is kept; whoever asks next is told why
            pages.append(page)
        state: Fields = {
            "left": [_kept(place) for place in due],
            "after": after,
            "archive": to_list,
        }
        return replace(together(pages), cursor=state, more=bool(due or to_list))

    def _is_followed(self, place: Place, places: Places) -> bool:
        try:
            self._check_place(place.id, places)
        except PassedOver:
            return False
        return True

    async def _archived(
        self, web: Web, channel: str, before: str, since: datetime | None
    ) -> tuple[list[Place], str]:
        """Archived threads of a channel, the latest first, and before when to go on."""
        path = f"/channels/{channel}/threads/archived/public"
        try:
            answer = await self._ask(web, path, {"limit": PER_PAGE, "before": before})
        except (NotFoundError, RefusedTokenError) as error:
            if error.code == "token_refused":
                raise
            return [], ""
        given = objects(answer.get("threads")) if isinstance(answer, dict) else []
        threads = [one for one in given if isinstance(one.get("thread_metadata"), dict)]
        told = [str(one["thread_metadata"].get("archive_timestamp") or "") for one in threads]
        oldest = min(filter(None, told), default="")
        moment = _moment(oldest)
        is_older = since is not None and moment is not None and moment < since
        more = isinstance(answer, dict) and answer.get("has_more") is True and not is_older
        return list(_placed(threads, self.guild, {})), oldest if more else ""

    async def _places(self, web: Web) -> Places:
        """The channels of the server, and its threads that are not archived."""
        channels = await self._ask(web, f"/guilds/{self.guild}/channels")
        active = await self._ask(web, f"/guilds/{self.guild}/threads/active")
        threads = active.get("threads") if isinstance(active, dict) else None
        found = {place.id: place for place in _placed(objects(channels), self.guild, {})}
        return found | {place.id: place for place in _placed(objects(threads), self.guild, found)}

    async def _ask(self, web: Web, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        headers = {"Authorization": f"Bot {web.token}", "User-Agent": USER_AGENT}
        try:
            return await web.get_json(f"{str(self.api).rstrip('/')}{path}", params, headers)
        except NotFoundError as error:
            why = f"{error}; is {self.guild} the server's id, and was the bot invited to it?"
            raise NotFoundError(error.code, why) from error


_PLACES_CHANGE = frozenset({"CHANNEL_CREATE", "CHANNEL_UPDATE", "THREAD_CREATE", "THREAD_UPDATE"})
_HEARD = frozenset(
    {
        "GUILD_MEMBER_ADD",
        "GUILD_MEMBER_REMOVE",
        "MESSAGE_CREATE",
        "MESSAGE_DELETE",
        "MESSAGE_DELETE_BULK",
        "MESSAGE_REACTION_ADD",
        "MESSAGE_REACTION_REMOVE",
        "MESSAGE_REACTION_REMOVE_ALL",
        "MESSAGE_REACTION_REMOVE_EMOJI",
        "MESSAGE_UPDATE",
    }
)


async def _hello(socket: ClientConnection) -> float:
    """Seconds between two heartbeats, which the gateway says first of all."""
    try:
        async with asyncio.timeout(PATIENCE):
            frame = json.loads(await socket.recv())
        if frame["op"] != HELLO:
            raise FetchError("bad_answer", f"the gateway began with op {frame['op']}, not Hello")
        return float(frame["d"]["heartbeat_interval"]) / 1000
    except TimeoutError:
        raise FetchError("too_slow", f"the gateway said no Hello in {PATIENCE:g} s") from None
    except (KeyError, TypeError, ValueError) as error:
        raise FetchError("bad_answer", f"the gateway's Hello is none: {error!r}") from error


async def _send(socket: ClientConnection, frame: Fields) -> None:
    await socket.send(json.dumps(frame))


@asynccontextmanager
async def _heartbeats(
    socket: ClientConnection, session: Session, interval: float
) -> AsyncGenerator[None, None]:
    """Heartbeats for as long as the connection is listened to."""
    beating = asyncio.create_task(_keep_beating(socket, session, interval))
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def _keep_beating(socket: ClientConnection, session: Session, interval: float) -> None:
    """A heartbeat every interval, the first after a part of it; a silent gateway is hung up on."""
    try:
        await asyncio.sleep(interval * random.random())  # noqa: S311  spreads load, hides nothing
        while session.is_answered:
            session.is_answered = False
            await _send(socket, {"op": HEARTBEAT, "d": session.seq})
            await asyncio.sleep(interval)
        await socket.close(GOING_ON, "no heartbeat was answered")
    except ConnectionClosed:
        return  # whoever reads the socket says so


def _closed(closed: ConnectionClosed, session: Session) -> Page | None:
    """What follows from the code with which the gateway closed.

    https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes

    Returns:
        A page that forgets the session, where it cannot be gone on with; None where it can.

    Raises:
        FetchError: the operator has something to do, or nothing was ever heard.
    """
    code = closed.rcvd.code if closed.rcvd else None
    match code:
        case 4004:
            raise RefusedTokenError(
                "token_refused",
                "Discord closed the connection with 4004: the bot's token is wrong or was reset; "
                "store the new one",
            )
        case 4013 | 4014:
            raise RefusedTokenError(
                "not_permitted",
                f"Discord closed the connection with {code}: the bot may not hear this; switch on "
                "Message Content Intent and Server Members Intent under Bot on "
                "discord.com/developers (or set `members: false`)",
            )
        case 4010 | 4011:
            raise FetchError(
                "too_many_servers",
                f"Discord closed the connection with {code}: the bot is on too many servers for "
                "one connection; make a bot of its own for this one",
            )
        case 4012:
            why = f"Discord closed the connection with 4012: it no longer speaks version {VERSION}"
            raise FetchError("bad_answer", why)
    if code in _SESSION_LOST:
        return Page(cursor={})
    if not session.is_alive:
        why = f"Discord's gateway closed before it said anything: {closed}"
        raise FetchError("unreachable", why) from closed
    return None


def _session_of(cursor: Cursor) -> Session:
    identity, url, seq = cursor.get("session"), cursor.get("url"), cursor.get("seq")
    if isinstance(identity, str) and identity and isinstance(url, str) and isinstance(seq, int):
        return Session(identity, url, seq)
    return Session()


def _placed(given: Iterable[Any], guild: str, places: Places) -> Iterable[Place]:
    """Channels and threads as Discord describes them; what it does not describe is left out."""
    for one in given:
        if not isinstance(one, dict) or not _number(one):
            continue
        if one.get("guild_id", guild) != guild or not isinstance(one.get("type"), int):
            continue
        parent = one.get("parent_id")
        above = places.get(parent) if isinstance(parent, str) else None
        last = one.get("last_message_id")
        yield Place(
            id=one["id"],
            name=str(one.get("name") or ""),
            kind=one["type"],
            parent=parent if isinstance(parent, str) and one["type"] in THREADS else None,
            last=last if isinstance(last, str) and last.isdecimal() else "",
            is_hidden=_is_hidden(one, guild)
            or (one["type"] in THREADS and bool(above and above.is_hidden)),
        )


def _is_hidden(channel: Fields, guild: str) -> bool:
    """Whether everyone on the server (whose role has the server's id) is denied to view it."""
    for overwrite in objects(channel.get("permission_overwrites")):
        denied = str(overwrite.get("deny") or "0")
        if overwrite.get("id") == guild and denied.isdecimal() and int(denied) & VIEW_CHANNEL:
            return True
    return False


def _kept(place: Place) -> list[Any]:
    return [place.id, place.name[:100], place.kind, place.parent]


def _place_of(kept: Any) -> Place:
    identity, name, kind, parent = kept
    return Place(identity, name, kind, parent)


def _stand(message: Fields, place: Place | None, places: Places) -> Fields:
    """Where a message stands: its thread, what it answers, its channel's name as a tag."""
    home = places.get(place.parent) if place and place.parent else None
    reference = message.get("message_reference")
    answered = reference.get("message_id") if isinstance(reference, dict) else None
    is_answer = message.get("type") == REPLY and isinstance(answered, str)
    channel = home or place
    stand: Fields = {"tag": [channel.name] if channel and channel.name else []}
    stand["inReplyTo"] = answered if is_answer else None
    if place and place.is_thread:
        stand["context"] = place.id
        is_first = place.id == message["id"]
        if home and home.kind in FORUMS:
            stand["name"] = place.name if is_first else None
            if not is_answer and not is_first:
                stand["inReplyTo"] = place.id
    return stand


def _words(message: Fields, places: Places) -> str:
    """What a message says, with names for ids; a bot's cards; else what it shows."""
    names = {
        str(one.get("id")): str(one.get("global_name") or one.get("username") or one.get("id"))
        for one in objects(message.get("mentions"))
    }

    def named(found: re.Match[str]) -> str:
        sign, identity = found[1], found[2]
        if sign == "#":
            place = places.get(identity)
            return f"#{place.name if place else identity}"
        if sign.startswith("@"):
            return f"@{names.get(identity, identity)}"
        return sign.removeprefix("a")

    said = [message.get("content")]
    for card in objects(message.get("embeds")):
        if card.get("type", "rich") == "rich":  # any other is a preview of what is linked to
            said += [card.get("title"), card.get("description")]
            for field in objects(card.get("fields")):
                said += [field.get("name"), field.get("value")]
    poll = message.get("poll")
    if isinstance(poll, dict) and isinstance(poll.get("question"), dict):
        said.append(poll["question"].get("text"))
    if not any(said):
        shown = [*objects(message.get("attachments")), *objects(message.get("sticker_items"))]
        said = [one.get("title") or one.get("filename") or one.get("name") for one in shown]
    words = (_REFERENCE.sub(named, part) for part in said if isinstance(part, str))
    return "\n".join(part for part in words if part).replace("\0", "").strip()


def _author(message: Fields) -> Fields | None:
    author = message.get("author")
    if not isinstance(author, dict):
        return None
    is_hook = message.get("webhook_id") is not None
    return _actor(author) | ({"type": "Service"} if is_hook else {})


def _actor(user: Fields) -> Fields:
    """https://docs.discord.com/developers/resources/user#user-object"""
    avatar = user.get("avatar")
    return {
        "id": user["id"],
        "type": "Service" if user.get("bot") or user.get("system") else "Person",
        "preferredUsername": user.get("username"),
        "name": user.get("global_name") or user.get("username"),
        "icon": f"https://cdn.discordapp.com/avatars/{user['id']}/{avatar}.png" if avatar else None,
    }


def _gone(message: str) -> Fields:
    return {"nativeId": message, "operation": "delete", "published": _moment_of(message)}


def _moment(written: object) -> datetime | None:
    """A moment as Discord writes it, with a time zone."""
    if not isinstance(written, str) or not written:
        return None
    moment = datetime.fromisoformat(written)
    if moment.tzinfo is None:
        raise ValueError(f"{written!r} has no time zone")
    return moment


def _moment_of(snowflake: str) -> datetime:
    """When something was made, to the millisecond: its id says so."""
    milliseconds = (int(snowflake) >> 22) + FIRST_MOMENT
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _snowflake(moment: datetime) -> str:
    """The id before every id of that moment."""
    milliseconds = int(moment.timestamp() * 1000) - FIRST_MOMENT
    return str(max(milliseconds << 22, 1) - 1)


def _number(message: Fields) -> int:
    """A message's id as a number, by which the older come first; 0 where it is none."""
    identity = message.get("id")
    return int(identity) if isinstance(identity, str) and identity.isdecimal() else 0


def _texts(value: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}
