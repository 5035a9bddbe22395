"""Matrix: rooms of any homeserver, as an application service or through `/sync`.

Formats: https://spec.matrix.org/latest/application-service-api and
https://spec.matrix.org/latest/client-server-api. Ids of events, rooms and users are the same on
every homeserver, so a room that is heard through two of them is heard once.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeAlias
from urllib.parse import quote

from pydantic import Field, HttpUrl, JsonValue, StringConstraints, model_validator

from klankbord_ingest.kind import (
    JSON,
    Backfill,
    Cursor,
    FetchError,
    Fields,
    Page,
    PassedOver,
    Push,
    Reply,
    Request,
    Secret,
    Secrets,
    Source,
    Stream,
    UnsignedError,
    Web,
    body_refused,
    gathered,
    is_one_of,
    json_body,
)
from klankbord_ingest.platform_json import moment_at

EVENT_BYTES = 65_536
"""The largest event: https://spec.matrix.org/latest/client-server-api/#size-limits."""
PUSHED_EVENTS = 100
"""How many events Synapse sends in one transaction."""
PAGE_EVENTS = 100
ROOM_EVENTS = 50
"""How many events of a room one answer of `/sync` holds; the rest is paged back to."""
SYNC_EVENTS = 1_000
"""How many events of all rooms together it holds, so that it stays smaller than what is read."""
PAUSE_SECONDS = 1.0
"""The pause after an answer in which nothing was said."""
POLL_SECONDS = 30
ANSWER_SECONDS = 60.0

TRANSACTIONS = "/_matrix/app/v1/transactions/"
PING = "/_matrix/app/v1/ping"
"""Where a homeserver asks whether the application service is there."""

HEARD = (
    "m.room.message",
    "m.sticker",
    "m.reaction",
    "m.room.redaction",
    "m.room.member",
    "m.room.encrypted",
)
MEDIA = {
    "m.image": "Image",
    "m.file": "Document",
    "m.audio": "Audio",
    "m.video": "Video",
    "m.location": "Place",
}
"""ActivityStreams types of messages whose body is a caption, or the name of a file."""
SPOKEN = frozenset({"m.text", "m.notice", "m.emote", *MEDIA})

HTML_FORMAT = "org.matrix.custom.html"
QUOTED = re.compile(r"<mx-reply>.*?</mx-reply>", re.DOTALL | re.IGNORECASE)
"""What older clients repeat of the message that they answer, as HTML."""

RoomId = Annotated[str, StringConstraints(pattern=r"^!\S+$", max_length=255)]
UserId = Annotated[str, StringConstraints(pattern=r"^@\S+:\S+$", max_length=255)]
Event: TypeAlias = Mapping[str, Any]


class _Gap(NamedTuple):
    """What was said in a room between two tokens, and not heard yet. In the cursor it is a list."""

    room: str
    newest: str
    oldest: str


NOTHING = Reply(200, b"{}", JSON)
UNKNOWN = Reply(404, b"{}", JSON)


class Matrix(Push, Stream, Backfill):
    """Rooms of Matrix. With `listen: push` the homeserver sends (an application service), with
    `listen: sync` Klankbord asks as a member of the rooms.
    """

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret(
            "the hs_token of the application service's registration", min_bytes=16, way="push"
        ),
        "token": Secret(
            "the access token of an account that is in the rooms; with `listen: push` it is the "
            "as_token, and only a backfill needs it",
            way="stream",
        ),
    }
    methods = frozenset({"GET", "PUT", "POST"})
    max_bytes = (PUSHED_EVENTS + 28) * EVENT_BYTES
    accepted = NOTHING

    kind: Literal["matrix"]
    rooms: Annotated[tuple[RoomId, ...], Field(min_length=1, max_length=100)]
    """Which rooms: their internal ids. Whatever is said elsewhere is passed over."""
    listen: Literal["push", "sync"] = "push"
    homeserver: HttpUrl | None = None
    """Where the client-server API is; a push needs none."""
    bots: tuple[UserId, ...] = ()
    """Members who are bots although they write like everyone else."""

    @model_validator(mode="after")
    def _has_whom_to_ask(self) -> Self:
        if self.listen == "sync" and self.homeserver is None:
            raise ValueError("listen: sync asks the homeserver; write its address as `homeserver`")
        return self

    @property
    def own_platform(self) -> str:
        """One for all homeservers: they share their ids."""
        return "matrix"

    @property
    def place(self) -> str:
        """A token of `/sync` belongs to the homeserver that gave it."""
        return str(self.homeserver or "")

    def uses(self, way: str) -> bool:
        """One of the two ways of listening, as the operator says."""
        return way == ("push" if self.listen == "push" else "stream")

    # -- the application service -----------------------------------------------------------------

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:  # noqa: ARG002
        """Check the hs_token, which the homeserver sends with everything.

        https://spec.matrix.org/latest/application-service-api/#authorization
        """
        scheme, _, given = request.header("authorization").partition(" ")
        is_right = is_one_of(given.encode("latin-1"), secrets["signature"])
        if scheme.lower() != "bearer" or not is_right:
            raise UnsignedError("Authorization does not hold the hs_token")
        if not request.path.startswith(TRANSACTIONS):
            return None
        return request.path.removeprefix(TRANSACTIONS)

    def answer(self, request: Request, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002
        """A ping gets its answer; users and rooms of its own this application service has none."""
        if request.method == "PUT" and request.path.startswith(TRANSACTIONS):
            return None
        if request.method == "POST" and request.path == PING:
            return NOTHING
        return UNKNOWN

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """The events of a transaction."""
        body = json_body(request)
        events = body.get("events") if isinstance(body, dict) else None
        if not isinstance(events, list):
            raise body_refused("is no list", "no_list", "events")
        return gathered(events, self._read)

    # -- as a member of the rooms ----------------------------------------------------------------

    async def stream(self, web: Web, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What is said from the token on: https://spec.matrix.org/latest/client-server-api/#syncing.

        Where more was said than one answer holds, the newest comes first; what lies before it
        stands in the cursor as a gap and is paged back to, so that nothing is lost when it ends
        halfway.
        """
        await self._enter(web)
        is_first = True
        while True:
            while gaps := _gaps(cursor):
                page, cursor = await self._fill(web, cursor, gaps)
                yield page
            since = str(cursor.get("since") or "")
            answer = await self._sync(web, since, 0 if is_first else POLL_SECONDS)
            timelines = _timelines(answer)
            missed: list[JsonValue] = [
                [room, str(timeline["prev_batch"]), since]
                for room, timeline in timelines.items()
                if since and timeline.get("limited") and timeline.get("prev_batch")
            ]
            cursor = {"since": str(answer["next_batch"]), "gaps": missed}
            said = [
                (room, event)
                for room, timeline in timelines.items()
                for event in timeline.get("events", ())
            ]
            if said or missed or is_first:
                yield gathered(said, self._read_of_room, cursor)
            else:  # a server that waits for nothing is not asked on and on
                await asyncio.sleep(PAUSE_SECONDS)
            is_first = False

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """What was said before, room by room, the newest first."""
        number = int(str(cursor.get("room", 0)))
        if number >= len(self.rooms):
            return Page(cursor=cursor)
        room = self.rooms[number]
        events, end = await self._messages(web, room, str(cursor.get("from") or ""), "")
        wanted = [event for event in events if since is None or not _is_before(event, since)]
        is_over = not end or (bool(events) and not wanted)
        following: Cursor = {"room": number + 1} if is_over else {"room": number, "from": end}
        said = [(room, event) for event in wanted]
        more = not is_over or number + 1 < len(self.rooms)
        return gathered(said, self._read_of_room, following, more=more)

    async def _enter(self, web: Web) -> None:
        """Join the rooms that the account is not in yet: public ones, and where it is invited."""
        answer = await self._ask(web, "/joined_rooms", lambda _: {}, 1)
        for room in set(self.rooms) - set(answer.get("joined_rooms", ())):
            url, headers = self._api(web, f"/join/{quote(room, safe='')}")
            await web.post(url, document={}, headers=headers)

    async def _fill(self, web: Web, cursor: Cursor, gaps: Sequence[_Gap]) -> tuple[Page, Cursor]:
        """The newest page of the first gap, and the cursor with what is left of them."""
        first, *others = gaps
        events, end = await self._messages(web, first.room, first.newest, first.oldest)
        rest = [first._replace(newest=end)] if end and end != first.newest else []
        left: list[JsonValue] = [[*gap] for gap in (*rest, *others)]
        following = {**cursor, "gaps": left}
        said = [(first.room, event) for event in events]
        return gathered(said, self._read_of_room, following), following

    async def _sync(self, web: Web, since: str, seconds: int) -> Mapping[str, Any]:
        """What was said since; it takes up to so many seconds until something is."""
        most = max(1, min(ROOM_EVENTS, SYNC_EVENTS // len(self.rooms)))

        def params(limit: int) -> dict[str, str | int]:
            none: dict[str, Any] = {"types": []}
            shown = {
                "presence": none,
                "account_data": none,
                "room": {
                    "rooms": self.rooms,
                    "account_data": none,
                    "ephemeral": none,
                    "state": none,
                    "timeline": {"types": HEARD, "limit": limit},
                },
            }
            asked = {"filter": json.dumps(shown), "since": since, "set_presence": "offline"}
            return {**asked, "timeout": seconds * 1000}

        answer = await self._ask(web, "/sync", params, most)
        if not isinstance(answer, dict) or not answer.get("next_batch"):
            raise FetchError("bad_answer", f"{self.homeserver} answered /sync without next_batch")
        return answer

    async def _messages(
        self, web: Web, room: str, start: str, stop: str
    ) -> tuple[Sequence[Event], str]:
        """Events of a room before a token, the newest first, and where to go on.

        https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3roomsroomidmessages
        """

        def params(limit: int) -> dict[str, str | int]:
            kept = json.dumps({"types": HEARD})
            return {"dir": "b", "limit": limit, "from": start, "to": stop, "filter": kept}

        path = f"/rooms/{quote(room, safe='')}/messages"
        answer = await self._ask(web, path, params, PAGE_EVENTS)
        chunk = answer.get("chunk") if isinstance(answer, dict) else None
        if not isinstance(chunk, list):
            raise FetchError("bad_answer", f"{self.homeserver} answered /messages without chunk")
        return chunk, str(answer.get("end") or "")

    async def _ask(self, web: Web, path: str, params: Any, limit: int) -> Any:
        """Ask the client-server API; for fewer events where the answer is too large to be read."""
        url, headers = self._api(web, path)
        while True:
            try:
                return await web.get_json(url, params(limit), headers, seconds=ANSWER_SECONDS)
            except FetchError as error:
                if error.code != "too_large" or limit == 1:
                    raise
                limit = max(1, limit // 8)

    def _api(self, web: Web, path: str) -> tuple[str, dict[str, str]]:
        """The address of something in the client-server API, and the headers to ask it with.

        Raises:
            FetchError: the source has no homeserver or no token.
        """
        if self.homeserver is None or not web.token:
            missing = "homeserver in its entry" if self.homeserver is None else "token"
            raise FetchError("not_set_up", f"this source has no {missing}, and asking needs one")
        url = f"{str(self.homeserver).rstrip('/')}/_matrix/client/v3{path}"
        return url, {"Authorization": f"Bearer {web.token}"}

    # -- what events say -------------------------------------------------------------------------

    def _read_of_room(self, said: tuple[str, Event]) -> Iterator[Fields]:
        """An event as `/sync` and `/messages` give it: the former leaves out its room."""
        room, event = said
        return self._read({**event, "room_id": room})

    def _read(self, event: Event) -> Iterator[Fields]:
        """What an event says.

        https://spec.matrix.org/latest/client-server-api/#room-event-format
        """
        if event["type"] not in HEARD:
            raise PassedOver("no_post")
        if event["room_id"] not in self.rooms:
            raise PassedOver("other_room")
        match event["type"]:
            case "m.room.message" | "m.sticker":
                yield self._message(event)
            case "m.reaction":
                yield self._reaction(event)
            case "m.room.redaction":
                yield _redaction(event)
            case "m.room.member":
                yield _membership(event)
            case "m.room.encrypted":
                raise PassedOver("encrypted")

    def _message(self, event: Event) -> Fields:
        content = event["content"]
        if not content:
            raise PassedOver("deleted")  # what was redacted arrives empty; its redaction tells
        words = content
        relation = content.get("m.relates_to") or {}
        is_edit = relation.get("rel_type") == "m.replace"
        if is_edit:
            words = content["m.new_content"]
        msgtype = "m.image" if event["type"] == "m.sticker" else words["msgtype"]
        if msgtype not in SPOKEN:
            raise PassedOver("no_post")
        identity = relation["event_id"] if is_edit else event["event_id"]
        said = {
            "nativeId": identity,
            "published": _moment(event),
            "attributedTo": self._actor(event["sender"], is_bot=msgtype == "m.notice"),
            "url": address(event["room_id"], identity),
            "mention": (words.get("m.mentions") or {}).get("user_ids") or [],
            **_words(words, msgtype, is_reply="m.in_reply_to" in relation),
        }
        if is_edit:
            # an edit may not change what it answers, so it does not say it again
            return {**said, "operation": "update", "updated": _moment(event)}
        return {**said, **_place(relation)}

    def _reaction(self, event: Event) -> Fields:
        relation = event["content"].get("m.relates_to")
        if not relation:
            raise PassedOver("withdrawn")
        return {
            "kind": "like",
            "nativeId": event["event_id"],
            "published": _moment(event),
            "attributedTo": self._actor(event["sender"]),
            "object": relation["event_id"],
            "content": relation["key"],
        }

    def _actor(self, user: str, *, is_bot: bool = False) -> Fields:
        automated = is_bot or user in self.bots
        kind = {"type": "Service"} if automated else {}
        return {"id": user, "preferredUsername": user, **kind}


def address(room: str, event: str) -> str:
    """Where a person reads the event: https://spec.matrix.org/latest/appendices/#matrixto-navigation."""
    return f"https://matrix.to/#/{quote(room, safe='')}/{quote(event, safe='')}"


def _words(content: Mapping[str, Any], msgtype: str, *, is_reply: bool) -> Fields:
    """What a message says: of a file its caption, and its name as title."""
    body = content["body"]
    filename = content.get("filename")
    if msgtype in MEDIA and filename in (None, body):
        return {"objectType": MEDIA[msgtype], "name": body, "content": ""}
    said: Fields = {"content": _without_quote(body) if is_reply else body}
    if msgtype in MEDIA:
        said |= {"objectType": MEDIA[msgtype], "name": filename}
    markup = content.get("formatted_body")
    if content.get("format") == HTML_FORMAT and isinstance(markup, str):
        said["contentHtml"] = QUOTED.sub("", markup)
    return said


def _without_quote(body: str) -> str:
    """A reply without what older clients repeat above it: lines that begin with `> `, and one
    that is empty. https://spec.matrix.org/v1.12/client-server-api/#fallbacks-for-rich-replies
    """
    if not body.startswith("> <"):
        return body
    lines = body.split("\n")
    first = next((n for n, line in enumerate(lines) if not line.startswith("> ")), len(lines))
    rest = "\n".join(lines[first:]).lstrip("\n")
    return rest or body


def _place(relation: Mapping[str, Any]) -> Fields:
    """The thread that a message is in, and what it answers.

    https://spec.matrix.org/latest/client-server-api/#threading: in a thread a client that knows
    none sees a reply to the newest message, which is no answer to that one.
    """
    answered = (relation.get("m.in_reply_to") or {}).get("event_id")
    if relation.get("rel_type") != "m.thread":
        return {"inReplyTo": answered}
    thread = relation["event_id"]
    is_answer = answered is not None and not relation.get("is_falling_back")
    return {"context": thread, "inReplyTo": answered if is_answer else thread}


def _redaction(event: Event) -> Fields:
    """A delete of what it redacts: since room version 11 that stands in the content."""
    redacted = event["content"].get("redacts") or event["redacts"]
    return {"nativeId": redacted, "operation": "delete", "updated": _moment(event)}


def _membership(event: Event) -> Fields:
    """Someone joined or left; an invitation, or a new name of a member, is neither."""
    content = event["content"]
    before = (event.get("unsigned") or {}).get("prev_content") or event.get("prev_content") or {}
    if content.get("is_direct") or before.get("is_direct"):
        raise PassedOver("private")
    was_in, is_in = before.get("membership") == "join", content["membership"] == "join"
    if was_in == is_in:
        raise PassedOver("no_change")
    member = event["state_key"]
    actor = {"id": member, "preferredUsername": member}
    if is_in and isinstance(content.get("displayname"), str):
        actor["name"] = content["displayname"]
    return {
        "kind": "join" if is_in else "leave",
        "nativeId": event["event_id"],
        "published": _moment(event),
        "attributedTo": actor,
    }


def _moment(event: Event) -> datetime:
    """When the sender's homeserver took the event: `origin_server_ts`, in milliseconds."""
    return moment_at(int(event["origin_server_ts"]) / 1000)


def _is_before(event: object, moment: datetime) -> bool:
    stamp = event.get("origin_server_ts") if isinstance(event, dict) else None
    return isinstance(stamp, int) and stamp < moment.timestamp() * 1000


def _timelines(answer: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The timelines of an answer of `/sync`, by room."""
    joined = (answer.get("rooms") or {}).get("join") or {}
    return {room: said["timeline"] for room, said in joined.items() if said.get("timeline")}


def _gaps(cursor: Cursor) -> list[_Gap]:
    """What is still to be paged back to."""
    found = cursor.get("gaps")
    written = found if isinstance(found, list) else []
    return [_Gap(*map(str, gap)) for gap in written if isinstance(gap, list)]
