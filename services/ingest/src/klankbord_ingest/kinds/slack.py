"""Slack: the Events API, which sends; and its Web API, which is asked for history and threads.

A message is `<channel>:<ts>` of the workspace `slack:<team>`, as in an export
(`imports/slack.py`), so a message that is sent, asked for and imported is one post.

Events: https://docs.slack.dev/apis/events-api, https://docs.slack.dev/reference/events/message
Signatures: https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, HttpUrl, StringConstraints
from pydantic_core import from_json

from klankbord_ingest.imports.slack import (
    JOINS,
    LEAVES,
    POSTS,
    SLACKBOT,
    actor_of,
    links_in,
    mentions_in,
    moment_of,
    words_of,
)
from klankbord_ingest.kind import (
    Backfill,
    Cursor,
    FetchError,
    FieldError,
    Fields,
    Page,
    PassedOver,
    Pull,
    Push,
    Reply,
    Request,
    Secret,
    Secrets,
    Source,
    Web,
    body_refused,
    check_time,
    gathered,
    json_body,
)
from klankbord_ingest.platform_json import moment_at, objects
from klankbord_ingest.signed_body import check_sha256
from klankbord_ingest.web import LaterError, RefusedTokenError
from klankbord_runtime.yamlfile import Duration
from klankbord_schemas.types import Line, NativeId

TIMESTAMP, SIGNATURE = "X-Slack-Request-Timestamp", "X-Slack-Signature"
TOLERANCE = timedelta(minutes=5)
"""How old or early a request may be, as Slack's documentation says."""
PER_PAGE = 200
"""How many messages are asked for at once; Slack may give fewer, and to some apps only 15."""
NAMES_PER_PAGE = 30
"""How many authors' names are asked for per page of new messages."""
MAX_CHANNELS = 1000
"""How many channels one source follows by asking: its cursor holds a line of each."""
CHANNEL_PAGES = 10
"""How many pages of the list of channels are read."""

Team = Annotated[str, StringConstraints(pattern=r"^[TE][A-Z0-9]+$")]
Subdomain = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]

_TOKEN_REFUSED = frozenset(
    {"account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked"}
)
_OF_A_CHANNEL = frozenset({"channel_not_found", "is_archived", "not_in_channel"})
_LATER = frozenset({"ratelimited", "rate_limited"})
_UNAVAILABLE = frozenset({"fatal_error", "internal_error", "service_unavailable"})


class Slack(Push, Pull, Backfill):
    """A Slack workspace, or some of its channels."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret(
            "the app's Signing Secret, from Basic Information → App Credentials on api.slack.com",
            min_bytes=16,
        ),
        "token": Secret(
            "the Bot User OAuth Token `xoxb-…`, from OAuth & Permissions: without it nothing is "
            "asked for, only what Slack sends is heard",
            is_required=False,
        ),
    }
    accepted = Reply()

    kind: Literal["slack"]
    team: Team
    """The workspace's id, `T…`: it stands in the address of Slack in a browser."""
    workspace: Subdomain | None = None
    """The `<workspace>` of `<workspace>.slack.com`, from which the addresses of posts are made."""
    channels: dict[NativeId, Line] = Field(default_factory=dict)
    """Which channels are listened to, by id, each with its name; left out, every public one that
    the app is in. A private channel is heard only where it is listed here."""
    joins: Literal["message", "event", "workspace"] = "message"
    """What counts as a join: Slack's message that someone joined a channel, as in exports; the
    event `member_joined_channel`, where the workspace shows no such messages; or `team_join`. One
    of them, so that nobody is counted twice."""
    every: Duration = timedelta(minutes=15)
    window: Duration = timedelta(days=1)
    """How far back each round of asking looks again: for edits, and for answers in threads."""
    api: HttpUrl = HttpUrl("https://slack.com/api")
    """Where Slack's Web API is; GovSlack has another."""

    @property
    def own_platform(self) -> str:
        """The workspace, as an export names it."""
        return f"slack:{self.team}"

    @property
    def place(self) -> str:
        """Another workspace has other channels."""
        return self.team

    # What Slack sends

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:
        """Check `X-Slack-Signature`, version 0; the delivery is named by its `event_id`."""
        timestamp = request.header(TIMESTAMP).encode("latin-1")
        check_time(TIMESTAMP, timestamp, now, TOLERANCE)
        signed = b":".join((b"v0", timestamp, request.body))
        given = request.header(SIGNATURE)
        check_sha256(SIGNATURE, given, secrets["signature"], signed, prefix="v0=")
        return _delivery(request.body)

    def answer(self, request: Request, secrets: Secrets, now: datetime) -> Reply | None:  # noqa: ARG002
        """Give back the `challenge` with which Slack tries an address."""
        document = _object(request.body)
        if document.get("type") != "url_verification":
            return None
        return Reply(body=str(document.get("challenge", "")).encode())

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """What an event says."""
        document = json_body(request)
        if not isinstance(document, dict):
            raise body_refused("is no event of Slack's", "malformed")
        return gathered([document], self._told)

    def _told(self, outer: Fields) -> Iterable[Fields]:
        match outer["type"]:
            case "event_callback":
                self._check_team(outer)
                return self._event(outer["event"], outer)
            case "app_rate_limited":
                raise PassedOver("rate_limited")
        raise PassedOver("no_event")

    def _check_team(self, outer: Fields) -> None:
        """One app may be installed in several workspaces, and sends of all to one address.

        In a channel that is shared, `team_id` may be the other workspace's; then `authorizations`
        names the one in which the app is installed.
        """
        installed = outer.get("authorizations")
        teams = {one.get("team_id") for one in installed} if isinstance(installed, list) else set()
        if self.team not in teams | {outer.get("team_id"), outer.get("enterprise_id")}:
            raise PassedOver("other_workspace")

    def _event(self, event: Fields, outer: Fields) -> Iterable[Fields]:
        match event["type"]:
            case "message":
                return self._message_event(event)
            case "reaction_added":
                return [self._reaction(event, outer)]
            case "member_joined_channel" | "member_left_channel":
                return [self._coming_or_going(event, outer)]
            case "team_join":
                return [self._new_member(event, outer)]
            case "reaction_removed":
                raise PassedOver("withdrawn")
            case "app_mention":  # the same message comes as `message`
                raise PassedOver("doubled")
        raise PassedOver("no_post")

    def _message_event(self, event: Fields) -> Iterable[Fields]:
        channel = event["channel"]
        self._check_channel(channel, event.get("channel_type"))
        match event.get("subtype"):
            case "message_changed":
                return [self._changed(event, channel)]
            case "message_deleted":
                return [self._deleted(event, channel)]
        return [self.said(event, channel, self.channels.get(channel))]

    def _check_channel(self, channel: str, kind: object = None) -> None:
        """Private conversations are none of our business: `D…` is one with a single person, `G…`
        a private channel or a group of people of old; today's private channels begin with `C`.
        """
        if channel.startswith("D") or kind in {"im", "mpim", "app_home"}:
            raise PassedOver("private")
        if channel in self.channels:
            return
        if channel.startswith("G") or kind in {"group", "G"}:
            raise PassedOver("private")
        if self.channels:
            raise PassedOver("other_channel")

    def _changed(self, event: Fields, channel: str) -> Fields:
        """https://docs.slack.dev/reference/events/message/message_changed"""
        message = event["message"]
        if message.get("subtype") == "tombstone":
            return _gone(channel, message["ts"], event.get("previous_message"))
        post = self.said(message, channel, self.channels.get(channel), may_be_empty=True)
        if "kind" in post:
            raise PassedOver("unchanged")
        if post["operation"] == "update":
            return post
        # No `edited`: an app changed its message, Slack shows a linked page, a thread grew, …
        previous = event.get("previous_message")
        if isinstance(previous, dict) and words_of(previous, _name_of) == post["content"]:
            raise PassedOver("unchanged")
        changed = _moment(event.get("event_ts") or event["ts"])
        return post | {"operation": "update", "updated": changed}

    def _deleted(self, event: Fields, channel: str) -> Fields:
        """https://docs.slack.dev/reference/events/message/message_deleted"""
        previous = event.get("previous_message")
        if isinstance(previous, dict) and (previous.get("subtype") or None) not in POSTS:
            raise PassedOver("no_post")
        return _gone(channel, event["deleted_ts"], previous)

    def _reaction(self, event: Fields, outer: Fields) -> Fields:
        """https://docs.slack.dev/reference/events/reaction_added"""
        item = event["item"]
        if item["type"] != "message":
            raise PassedOver("no_post")
        channel = item["channel"]
        self._check_channel(channel, item.get("channel_type"))
        post = f"{channel}:{item['ts']}"
        emoji = event["reaction"].partition("::skin-tone")[0]
        return {
            "kind": "like",
            "nativeId": f"{post}:{event['user']}:{emoji}",
            "published": _happened(event, outer),
            "attributedTo": {"id": event["user"]},
            "object": post,
            "content": f":{emoji}:",
        }

    def _coming_or_going(self, event: Fields, outer: Fields) -> Fields:
        """https://docs.slack.dev/reference/events/member_joined_channel"""
        channel, user = event["channel"], event["user"]
        self._check_channel(channel, event.get("channel_type"))
        if self.joins != "event":
            raise PassedOver("doubled")
        moment = _happened(event, outer)
        kind = "join" if event["type"] == "member_joined_channel" else "leave"
        when = event.get("event_ts") or outer["event_time"]
        return {
            "kind": kind,
            "nativeId": f"{channel}:{user}:{when}",
            "published": moment,
            "attributedTo": {"id": user},
        }

    def _new_member(self, event: Fields, outer: Fields) -> Fields:
        """https://docs.slack.dev/reference/events/team_join"""
        if self.joins != "workspace":
            raise PassedOver("doubled")
        user = event["user"]
        return {
            "kind": "join",
            "nativeId": f"team_join:{user['id']}",
            "published": _happened(event, outer),
            "attributedTo": actor_of(user),
        }

    # What a message says, whichever way it came

    def said(
        self,
        message: Fields,
        channel: str,
        name: str | None,
        known: Mapping[str, Fields] | None = None,
        *,
        may_be_empty: bool = False,
    ) -> Fields:
        """The post, the join or the leave that a message is.

        Args:
            message: as in an event, or in the answer of `conversations.history`.
            channel: the channel's id.
            name: what the channel is called, where that is known.
            known: user objects of authors, by id, as far as they were asked for.
            may_be_empty: whether it may hold no words: it is an edit.
        """
        subtype = message.get("subtype") or None
        if subtype == "tombstone":
            return _gone(channel, message["ts"], None)
        if subtype not in POSTS | JOINS | LEAVES:
            raise PassedOver("no_post")
        published = _moment(message["ts"])
        author = _author(message, known or {})
        if subtype not in POSTS:
            if self.joins != "message":
                raise PassedOver("doubled")
            return {
                "kind": "join" if subtype in JOINS else "leave",
                "nativeId": f"{channel}:{message['ts']}",
                "published": published,
                "attributedTo": author,
            }
        content = words_of(message, _name_of)
        if not content and not may_be_empty:
            raise PassedOver("empty")
        edited = message.get("edited")
        updated = moment_of(edited.get("ts")) if isinstance(edited, dict) else None
        return {
            **_stand(channel, message["ts"], message),
            "operation": "update" if updated else "create",
            "published": published,
            "updated": updated,
            "attributedTo": author,
            "isAutomated": _is_bot(message) or (author or {}).get("type") == "Service",
            "content": content,
            "tag": [name] if name else [],
            "mention": mentions_in(message),
            "link": links_in(message),
            "url": self._address(channel, message),
        }

    def _address(self, channel: str, message: Fields) -> str | None:
        """https://docs.slack.dev/reference/methods/chat.getPermalink"""
        if self.workspace is None:
            return None
        ts, thread = message["ts"], message.get("thread_ts") or message["ts"]
        place = f"https://{self.workspace}.slack.com/archives/{channel}/p{ts.replace('.', '')}"
        return place if thread == ts else f"{place}?thread_ts={thread}&cid={channel}"

    # What is asked for

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """New messages and new answers, and edits within the window.

        One request, or so, a page: each channel's history since the window, then each thread there
        that has grown. A channel's place moves on once all of it was read.
        """
        if not web.token:
            return Page(passed_over={"no_token": 1}, wish=timedelta(days=1))
        return await _Round(self, web, cursor, _ts(now)).step()

    async def backfill(self, web: Web, cursor: Cursor, since: datetime | None) -> Page:
        """Every message and every answer since that moment, channel by channel."""
        if not web.token:
            raise FetchError(
                "no_token",
                "history is asked for with the bot's token: store it as the secret `token`",
            )
        return await _Round(self, web, cursor, "", is_history=True, since=since).step()

    async def ask(self, web: Web, method: str, params: Mapping[str, str | int]) -> Fields:
        """What a method of the Web API answers (https://docs.slack.dev/apis/web-api).

        Raises:
            FetchError: it is not `ok`; says what to do.
        """
        answer = await web.get_json(
            f"{str(self.api).rstrip('/')}/{method}",
            params,
            {"Authorization": f"Bearer {web.token}"},
        )
        if not isinstance(answer, dict):
            raise FetchError("bad_answer", f"Slack's {method} answered no object")
        if answer.get("ok") is True:
            return answer
        raise _refusal(method, answer)


class _ChannelError(FetchError):
    """One channel cannot be read; others may."""


class _PageGoneError(FetchError):
    """Slack no longer knows the page that was to be read next."""


class _Round:
    """One step of asking, from a cursor to the next one.

    The cursor is `{"newest": {channel: ts}, "round": …}`. `newest` says up to where each channel
    was read in full. A round, while there is one, is `{"left": [[channel, name], …], "page": …,
    "top": …, "threads": [[ts, page], …], "is_last": …}`: the channels that are still to be read, of
    the first of them the page to read next and the newest message so far, and the threads of the
    page before.
    """

    def __init__(
        self,
        slack: Slack,
        web: Web,
        cursor: Cursor,
        now: str,
        *,
        is_history: bool = False,
        since: datetime | None = None,
    ) -> None:
        self._slack = slack
        self._web = web
        self._now = now
        self._is_history = is_history
        self._since = since
        given = cursor.get("newest")
        self._newest: dict[str, str] = dict(given) if isinstance(given, dict) else {}  # type: ignore[arg-type]
        going = cursor.get("round")
        self._round: Fields | None = dict(going) if isinstance(going, dict) else None

    async def step(self) -> Page:
        """The next page."""
        if self._round is None:
            left = await self._channels()
            self._round = _at_its_beginning(left)
        if not self._round["left"]:
            return self._page(Page())
        channel, name = self._round["left"][0]
        try:
            if self._round["threads"]:
                page = await self._thread(channel, name)
            else:
                page = await self._channel(channel, name)
        except _PageGoneError:
            self._round |= {"page": "", "threads": [], "is_last": False}
            page = Page()
        except _ChannelError as error:
            self._leave(channel)
            page = Page(refused=[FieldError(None, f"channel {channel}", str(error), error.code)])
        return self._page(page)

    async def _channels(self) -> list[list[str | None]]:
        """The channels of this round, with their names."""
        if self._slack.channels:
            return [[channel, name] for channel, name in self._slack.channels.items()]
        found: list[list[str | None]] = []
        page = ""
        for _ in range(CHANNEL_PAGES):
            answer = await self._slack.ask(
                self._web,
                "conversations.list",
                {
                    "types": "public_channel",
                    "exclude_archived": "true",
                    "limit": PER_PAGE,
                    "cursor": page,
                },
            )
            found += [
                [channel["id"], channel.get("name")]
                for channel in objects(answer.get("channels"))
                if channel.get("is_member") and isinstance(channel.get("id"), str)
            ]
            page = _next_page(answer)
            if not page:
                break
        return found[:MAX_CHANNELS]

    async def _channel(self, channel: str, name: str | None) -> Page:
        """A page of a channel's messages; Slack gives the newest first, we the oldest."""
        assert self._round is not None
        answer = await self._slack.ask(
            self._web,
            "conversations.history",
            {
                "channel": channel,
                "limit": PER_PAGE,
                "cursor": self._round["page"],
                "oldest": self._oldest(channel),
            },
        )
        messages = objects(answer.get("messages"))[::-1]
        following = _next_page(answer)
        heard_until = self._newest.get(channel, "")
        is_first = not heard_until and not self._is_history
        grown = [
            [message["ts"], ""]
            for message in messages
            if moment_of(message.get("ts"))
            and message.get("reply_count")
            and str(message.get("latest_reply") or message["ts"]) > heard_until
        ]
        # A `ts` has ten digits before its point until 2286, so later is greater as a text.
        tops = [message["ts"] for message in messages if moment_of(message.get("ts"))]
        self._round |= {
            "page": following,
            "top": max([self._round["top"], *tops]),
            "threads": [] if is_first else grown,
            "is_last": is_first or not following,
        }
        page = await self._read(messages, channel, name)
        self._leave_if_read(channel)
        return page

    async def _thread(self, channel: str, name: str | None) -> Page:
        """A page of the answers in a thread, which a channel's history does not show."""
        assert self._round is not None
        (thread, page), *others = self._round["threads"]
        answer = await self._slack.ask(
            self._web,
            "conversations.replies",
            {
                "channel": channel,
                "ts": thread,
                "limit": PER_PAGE,
                "cursor": page,
                "oldest": self._oldest(channel),
            },
        )
        # each page begins with the message that was answered
        replies = [one for one in objects(answer.get("messages")) if one.get("ts") != thread]
        following = _next_page(answer)
        self._round["threads"] = [[thread, following], *others] if following else others
        heard = await self._read(replies, channel, name)
        self._leave_if_read(channel)
        return heard

    async def _read(self, messages: Sequence[Fields], channel: str, name: str | None) -> Page:
        heard_until = self._newest.get(channel, "")
        new = [one for one in messages if str(one.get("ts", "")) > heard_until]
        known = await self._names(new)
        return gathered(messages, lambda message: [self._slack.said(message, channel, name, known)])

    async def _names(self, messages: Iterable[Fields]) -> dict[str, Fields]:
        """Who wrote these messages, as far as few questions tell it."""
        users = dict.fromkeys(
            one["user"]
            for one in messages
            if isinstance(one.get("user"), str) and not one.get("bot_id")
        )
        known: dict[str, Fields] = {}
        for user in list(users)[:NAMES_PER_PAGE]:
            try:
                answer = await self._slack.ask(self._web, "users.info", {"user": user})
            except FetchError:
                break  # no `users:read`, or asked too often: posts are heard without names
            if isinstance(answer.get("user"), dict):
                known[user] = {"id": user, **answer["user"]}
        return known

    def _oldest(self, channel: str) -> str:
        """From when on a channel and its threads are read."""
        if self._is_history:
            return _ts(self._since) if self._since else ""
        heard_until = self._newest.get(channel)
        moment = moment_of(heard_until)
        return _ts(moment - self._slack.window) if moment else ""

    def _leave_if_read(self, channel: str) -> None:
        assert self._round is not None
        if self._round["threads"] or not self._round["is_last"]:
            return
        top = self._round["top"] or self._now
        if not self._is_history:
            self._newest[channel] = max(top, self._newest.get(channel, ""))
        self._leave(channel)

    def _leave(self, channel: str) -> None:
        assert self._round is not None
        left = [one for one in self._round["left"] if one[0] != channel]
        self._round = _at_its_beginning(left)

    def _page(self, page: Page) -> Page:
        """The page, with the cursor after it."""
        assert self._round is not None
        more = bool(self._round["left"])
        cursor: dict[str, Any] = {"newest": self._newest}
        if more:
            cursor["round"] = self._round
        return replace(page, cursor=cursor, more=more)


def _at_its_beginning(left: list[list[str | None]]) -> Fields:
    return {"left": left, "page": "", "top": "", "threads": [], "is_last": False}


def _refusal(method: str, answer: Fields) -> FetchError:
    """What is wrong, where an answer is not `ok`, and what to do."""
    error = str(answer.get("error") or "no reason")[:100]
    why = f"Slack's {method} says {error!r}"
    if error in _TOKEN_REFUSED:
        return RefusedTokenError(
            "token_refused",
            f"{why}: the token is wrong, expired or revoked; reinstall the app and store its new "
            "Bot User OAuth Token",
        )
    if error == "missing_scope":
        needed = str(answer.get("needed") or "another scope")[:200]
        return RefusedTokenError(
            "not_permitted",
            f"{why}: add the scope {needed} under OAuth & Permissions and reinstall the app",
        )
    if error in _OF_A_CHANNEL:
        return _ChannelError(error, f"{why}: invite the app with /invite, or take the channel off")
    if error == "invalid_cursor":
        return _PageGoneError(error, why)
    if error in _LATER:
        return LaterError("too_many_requests", why, timedelta(minutes=1))
    if error in _UNAVAILABLE:
        return LaterError("unavailable", why, None)
    return FetchError("bad_answer", why)


def _delivery(body: bytes) -> str | None:
    """The `event_id`, the same when Slack sends it again."""
    identity = _object(body).get("event_id")
    return identity if isinstance(identity, str) and identity else None


def _object(body: bytes) -> Fields:
    try:
        document = from_json(body)
    except ValueError:
        return {}  # `read` refuses it aloud
    return document if isinstance(document, dict) else {}


def _next_page(answer: Fields) -> str:
    metadata = answer.get("response_metadata")
    return str(metadata.get("next_cursor") or "") if isinstance(metadata, dict) else ""


def _name_of(user: str) -> str:
    """How a member is called in a text: an event does not tell names, so it is the id."""
    return user


def _moment(ts: object) -> datetime:
    moment = moment_of(ts)
    if moment is None:
        raise ValueError(f"ts is {str(ts)[:40]!r}, which is no time of Slack")
    return moment


def _ts(moment: datetime) -> str:
    seconds = moment.astimezone(UTC)
    return f"{int(seconds.timestamp())}.{seconds.microsecond:06d}"


def _happened(event: Fields, outer: Fields) -> datetime:
    """When an event that is no message happened."""
    stated = moment_of(event.get("event_ts"))
    return stated or moment_at(outer["event_time"])


def _stand(channel: str, ts: str, message: Mapping[str, Any]) -> Fields:
    """What a message is called, and where it stands in its thread."""
    thread = message.get("thread_ts")
    opened_by = f"{channel}:{thread}" if isinstance(thread, str) and thread else None
    return {
        "nativeId": f"{channel}:{ts}",
        "inReplyTo": opened_by if thread != ts else None,
        "context": opened_by,
    }


def _gone(channel: str, ts: str, previous: object) -> Fields:
    """A delete of a message; Slack tells what it was."""
    message = previous if isinstance(previous, dict) else {}
    return {
        **_stand(channel, ts, message),
        "operation": "delete",
        "published": _moment(ts),
        "attributedTo": _author(message, {}),
    }


def _is_bot(message: Fields) -> bool:
    return bool(
        message.get("subtype") == "bot_message"
        or message.get("bot_id")
        or message.get("user") == SLACKBOT
    )


def _author(message: Fields, known: Mapping[str, Fields]) -> Fields | None:
    """Who wrote a message: the same id as an export gives."""
    comment = message.get("comment")
    commenter = comment.get("user") if isinstance(comment, dict) else None
    user, bot = message.get("user") or commenter, message.get("bot_id")
    if isinstance(user, str) and user in known:
        return actor_of(known[user])
    identity = user or bot
    if not isinstance(identity, str) or not identity:
        return None
    return {"id": identity, "type": "Service" if _is_bot(message) else "Person", **_look(message)}


def _look(message: Fields) -> Fields:
    """What a message itself tells of its author: `bot_profile`, `user_profile` or `username`."""
    bot, person = message.get("bot_profile"), message.get("user_profile")
    if isinstance(bot, dict):
        icons = bot.get("icons")
        icon = icons.get("image_72") if isinstance(icons, dict) else None
        look = {"name": bot.get("name"), "icon": icon}
    elif isinstance(person, dict):
        look = {
            "preferredUsername": person.get("name"),
            "name": person.get("real_name"),
            "icon": person.get("image_72"),
        }
    else:
        look = {"name": message.get("username")}
    return {name: part for name, part in look.items() if isinstance(part, str) and part}
