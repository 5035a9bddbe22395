"""Telegram: the updates of a bot, which Telegram sends or is asked for.

A message is `<chat>:<message_id>` of `telegram.org`: chats are numbered in all of Telegram. A bot
sees nothing from before it came, and no deletes: Telegram tells it of none.

Updates: https://core.telegram.org/bots/api#update
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field, HttpUrl, StringConstraints

from klankbord_ingest.kind import (
    UNQUOTED,
    Cursor,
    FetchError,
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
    UnsignedError,
    Web,
    body_refused,
    gathered,
    is_one_of,
    json_body,
)
from klankbord_ingest.linked import usable
from klankbord_ingest.platform_json import moment_at, objects
from klankbord_ingest.signature import only_header
from klankbord_runtime.yamlfile import Duration
from klankbord_schemas.types import Line

Chat = Annotated[str, UNQUOTED, StringConstraints(pattern=r"^-?[0-9]{1,20}$")]

PER_PAGE = 100
"""How many updates are asked for at once: Telegram's most."""
MARGIN_SECONDS = 3
"""How much longer than it may wait Telegram is given to answer."""
RENUMBERED_AFTER = timedelta(days=6)
"""After a week without updates Telegram numbers them anew, perhaps lower: then an `offset` would
throw them away unread."""

_TOKEN = re.compile(r"[0-9]{3,20}:[A-Za-z0-9_-]{20,}")
_SECRET_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")
_MESSAGES = ("message", "edited_message", "channel_post", "edited_channel_post")
_PRESENT = frozenset({"creator", "administrator", "member", "restricted"})


class Telegram(Push, Pull):
    """The groups and channels that a Telegram bot is in."""

    secrets: ClassVar[dict[str, Secret]] = {
        "signature": Secret(
            "the `secret_token` that you give setWebhook: 16 or more letters, digits, _ and -",
            is_required=False,
            min_bytes=16,
        ),
        "token": Secret(
            "the bot's token from @BotFather, such as 110201543:AAHdq…",
            is_required=False,
        ),
    }
    accepted = Reply()

    kind: Literal["telegram"]
    updates: Literal["webhook", "polling"] = "webhook"
    """Whether Telegram sends, signed with the secret token; or is asked, with the bot's token. A
    bot has one of the two."""
    chats: dict[Chat, Line] = Field(default_factory=dict)
    """Which groups and channels are listened to, by id, each with a name for the reader of the
    file; left out, every one that the bot is in."""
    joins: Literal["message", "event"] = "message"
    """What counts as a join: Telegram's message that someone joined; or the update `chat_member`,
    which only a bot that is an administrator gets, in large groups as well."""
    every: Duration = timedelta(seconds=15)
    wait: Duration = timedelta(seconds=10)
    """How long Telegram may wait for something to happen before it answers, when it is asked."""
    api: HttpUrl = HttpUrl("https://api.telegram.org")
    """Where the Bot API is; one may run a server of one's own."""

    @property
    def own_platform(self) -> str:
        """Chats are numbered in all of Telegram."""
        return "telegram.org"

    def uses(self, way: str) -> bool:
        """A bot that has a webhook cannot be asked, and the other way round."""
        return way == ("push" if self.updates == "webhook" else "pull")

    @staticmethod
    def key(role: str, secret: str) -> bytes:
        """The key that a secret holds.

        Raises:
            ValueError: it is none.
        """
        if role == "token" and not _TOKEN.fullmatch(secret):
            raise ValueError(
                "is no token of a bot; @BotFather gives one, such as 110201543:AAHdqTcvCH1vGWJx…"
            )
        if role == "signature" and not _SECRET_TOKEN.fullmatch(secret):
            raise ValueError(
                "is no secret token: letters, digits, _ and -, such as $(openssl rand -hex 32)"
            )
        return secret.encode()

    # What Telegram sends

    def verify(self, request: Request, secrets: Secrets, now: datetime) -> str | None:  # noqa: ARG002
        """Check `X-Telegram-Bot-Api-Secret-Token`; the delivery is named by its `update_id`."""
        given = only_header(request.headers, b"x-telegram-bot-api-secret-token")
        if not is_one_of(given, secrets["signature"]):
            raise UnsignedError("X-Telegram-Bot-Api-Secret-Token is not the source's secret")
        return _delivery(request.body)

    def read(self, request: Request, source: Source, now: datetime) -> Page:  # noqa: ARG002
        """What an update says."""
        update = json_body(request)
        if not isinstance(update, dict):
            raise body_refused("is no update of Telegram's", "malformed")
        return gathered([update], self.told)

    def told(self, update: Fields) -> Iterable[Fields]:
        """What an update says (https://core.telegram.org/bots/api#update)."""
        for name in _MESSAGES:
            if name in update:
                self._check_chat(update[name])
                return self._message(update[name], is_edit=name.startswith("edited"))
        if "message_reaction" in update:
            self._check_chat(update["message_reaction"])
            return _reactions(update["message_reaction"])
        if "chat_member" in update:
            self._check_chat(update["chat_member"])
            return [self._member(update["chat_member"])]
        raise PassedOver("no_post")

    def _check_chat(self, told: Fields) -> None:
        chat = told["chat"]
        if chat["type"] == "private":
            raise PassedOver("private")
        if self.chats and str(chat["id"]) not in self.chats:
            raise PassedOver("other_chat")

    def _message(self, message: Fields, *, is_edit: bool) -> Iterable[Fields]:
        """https://core.telegram.org/bots/api#message"""
        coming, going = message.get("new_chat_members"), message.get("left_chat_member")
        if coming or going:
            if self.joins != "message":
                raise PassedOver("doubled")
            kind = "join" if coming else "leave"
            return [_came_or_went(kind, user, message) for user in coming or [going]]
        text, entities = _text(message)
        edited = moment_at(message["edit_date"]) if message.get("edit_date") else None
        if is_edit and edited is None:
            raise PassedOver("unchanged")
        if not text and not is_edit:
            raise PassedOver("empty" if _is_media(message) else "no_post")
        author = _author(message)
        return [
            {
                **_stand(message),
                "operation": "update" if is_edit else "create",
                "published": moment_at(message["date"]),
                "updated": edited if is_edit else None,
                "attributedTo": author,
                "isAutomated": _is_automated(message),
                "content": text,
                "tag": _tags(message["chat"], text, entities),
                "mention": [
                    str(one["user"]["id"])
                    for one in entities
                    if one.get("type") == "text_mention" and isinstance(one.get("user"), dict)
                ],
                "link": _links(text, entities),
                "url": _address(message),
            }
        ]

    def _member(self, told: Fields) -> Fields:
        """https://core.telegram.org/bots/api#chatmemberupdated"""
        if self.joins != "event":
            raise PassedOver("doubled")
        before, after = _is_there(told["old_chat_member"]), _is_there(told["new_chat_member"])
        if before == after:
            raise PassedOver("no_post")
        user, kind = told["new_chat_member"]["user"], "join" if after else "leave"
        return {
            "kind": kind,
            "nativeId": f"{told['chat']['id']}:{kind}:{user['id']}:{told['date']}",
            "published": moment_at(told["date"]),
            "attributedTo": _actor(user),
        }

    # What is asked for

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        """The updates that were not heard yet: asking for later ones confirms the earlier.

        Telegram keeps them for a day. Cursor: `{"offset": number, "heard": moment}`.
        """
        if not web.token:
            raise FetchError(
                "no_token", "a bot is asked with its token: store it as the secret `token`"
            )
        offset, heard = cursor.get("offset"), cursor.get("heard")
        is_renumbered = isinstance(heard, str) and (
            now - datetime.fromisoformat(heard) > RENUMBERED_AFTER
        )
        params: dict[str, str | int] = {
            "limit": PER_PAGE,
            "timeout": int(self.wait.total_seconds()),
            "allowed_updates": json.dumps(self.allowed_updates),
        }
        if isinstance(offset, int) and not is_renumbered:
            params["offset"] = offset
        updates = await self._updates(web, params)
        page = gathered(updates, self.told)
        numbers = [one["update_id"] for one in updates if isinstance(one.get("update_id"), int)]
        if not numbers:
            return page
        following = {"offset": max(numbers) + 1, "heard": now.isoformat()}
        return replace(page, cursor=following, more=len(updates) >= PER_PAGE)

    @property
    def allowed_updates(self) -> list[str]:
        """Which updates Telegram is to tell of."""
        extra = ["chat_member"] if self.joins == "event" else []
        return [*_MESSAGES, "message_reaction", *extra]

    async def _updates(self, web: Web, params: Mapping[str, str | int]) -> list[Fields]:
        """The answer of getUpdates. The token stands in its address, and in no error.

        Raises:
            FetchError: Telegram gave no usable answer.
        """
        address = f"{str(self.api).rstrip('/')}/bot{web.token}/getUpdates"
        try:
            longest = self.wait.total_seconds() + MARGIN_SECONDS
            answer = await web.get_json(address, params, seconds=longest)
        except FetchError as error:
            error.args = (_explained(web.without_secrets(str(error))),)
            raise error from None
        result = answer.get("result") if isinstance(answer, dict) and answer.get("ok") else None
        if not isinstance(result, list):
            raise FetchError("bad_answer", "Telegram's getUpdates answered no list of updates")
        return objects(result)


def _explained(why: str) -> str:
    """The same, with what to do where a bot is asked in two ways at once."""
    if " 409 " not in why:
        return why
    return (
        f"{why}: the bot has a webhook, or another program asks for its updates; remove the one "
        "with deleteWebhook, stop the other, or write `updates: webhook`"
    )


def _delivery(body: bytes) -> str | None:
    try:
        update = json.loads(body)
    except (ValueError, RecursionError):
        return None  # `read` refuses it aloud
    number = update.get("update_id") if isinstance(update, dict) else None
    return str(number) if isinstance(number, int) else None


def _text(message: Fields) -> tuple[str, list[Fields]]:
    """What a message says, or what is said beside a picture, and what is marked in it."""
    for words, marks in (("text", "entities"), ("caption", "caption_entities")):
        said, entities = message.get(words), message.get(marks)
        if isinstance(said, str) and said:
            return said.replace("\0", ""), objects(entities)
    poll = message.get("poll")
    question = poll.get("question") if isinstance(poll, dict) else None
    return (question if isinstance(question, str) else ""), []


def _is_media(message: Fields) -> bool:
    shown = ("animation", "audio", "document", "photo", "sticker", "video", "video_note", "voice")
    return any(name in message for name in shown)


def _marked(text: str, entity: Fields) -> str:
    """The part of a text that an entity marks: it counts in units of UTF-16."""
    units = text.encode("utf-16-le", "surrogatepass")
    start = 2 * int(entity["offset"])
    part = units[start : start + 2 * int(entity["length"])]
    return part.decode("utf-16-le", "replace")


def _links(text: str, entities: list[Fields]) -> list[str]:
    found = []
    for one in entities:
        if one.get("type") == "text_link":
            found.append(one["url"])
        elif one.get("type") == "url":
            address = _marked(text, one)
            found.append(address if "://" in address else f"https://{address}")
    return list(usable(found))


def _tags(chat: Fields, text: str, entities: list[Fields]) -> list[str]:
    """The name of the chat, and hashtags."""
    title = chat.get("title")
    words = [_marked(text, one).lstrip("#") for one in entities if one.get("type") == "hashtag"]
    named = [title] if isinstance(title, str) and title else []
    return list(dict.fromkeys([*named, *words]))[:100]


def _stand(message: Fields) -> Fields:
    """What a message is called, its thread or topic, and what it answers."""
    chat, thread = message["chat"]["id"], message.get("message_thread_id")
    answered = message.get("reply_to_message")
    # In a topic every message "answers" the notice that the topic was made.
    is_answer = isinstance(answered, dict) and "forum_topic_created" not in answered
    return {
        "nativeId": f"{chat}:{message['message_id']}",
        "context": f"{chat}:{thread}" if isinstance(thread, int) else None,
        "inReplyTo": f"{chat}:{answered['message_id']}" if answered and is_answer else None,
    }


def _address(message: Fields) -> str | None:
    """Where members can read it; what is in a public chat, everyone."""
    chat, number = message["chat"], message["message_id"]
    if chat.get("username"):
        return f"https://t.me/{chat['username']}/{number}"
    inner = str(chat["id"]).removeprefix("-100")
    is_numbered = chat["type"] in {"supergroup", "channel"} and inner != str(chat["id"])
    return f"https://t.me/c/{inner}/{number}" if is_numbered else None


def _author(message: Fields) -> Fields | None:
    """Who wrote it: a channel, or a group on behalf of which an administrator speaks, or a user."""
    chat, user = message.get("sender_chat"), message.get("from")
    if isinstance(chat, dict):
        return _group(chat)
    if isinstance(user, dict):
        return _actor(user)
    return _group(message["chat"]) if message["chat"]["type"] == "channel" else None


def _is_automated(message: Fields) -> bool:
    """Whether a bot wrote it, or Telegram copied it from a channel to the group for comments."""
    user = message.get("from")
    is_bot = isinstance(user, dict) and user.get("is_bot") is True and "sender_chat" not in message
    return is_bot or message.get("is_automatic_forward") is True


def _group(chat: Fields) -> Fields:
    return {
        "id": str(chat["id"]),
        "type": "Group",
        "preferredUsername": chat.get("username"),
        "name": chat.get("title"),
    }


def _actor(user: Fields) -> Fields:
    """https://core.telegram.org/bots/api#user"""
    names = [user.get("first_name"), user.get("last_name")]
    return {
        "id": str(user["id"]),
        "type": "Service" if user.get("is_bot") else "Person",
        "preferredUsername": user.get("username"),
        "name": " ".join(name for name in names if isinstance(name, str) and name) or None,
    }


def _came_or_went(kind: str, user: Fields, message: Fields) -> Fields:
    return {
        "kind": kind,
        "nativeId": f"{message['chat']['id']}:{message['message_id']}:{user['id']}",
        "published": moment_at(message["date"]),
        "attributedTo": _actor(user),
    }


def _is_there(member: Fields) -> bool:
    return member["status"] in _PRESENT and member.get("is_member", True) is True


def _reactions(told: Fields) -> Iterable[Fields]:
    """The reactions that were not there before (https://core.telegram.org/bots/api#messagereactionupdated)."""
    before = [_emoji(one) for one in told["old_reaction"]]
    added = [emoji for emoji in map(_emoji, told["new_reaction"]) if emoji not in before]
    if not added:
        raise PassedOver("withdrawn")
    user, chat = told.get("user"), told.get("actor_chat")
    actor = _actor(user) if isinstance(user, dict) else _group(chat) if chat else None
    post = f"{told['chat']['id']}:{told['message_id']}"
    return [
        {
            "kind": "like",
            "nativeId": f"{post}:{actor['id'] if actor else ''}:{emoji}",
            "published": moment_at(told["date"]),
            "attributedTo": actor,
            "object": post,
            "content": emoji,
        }
        for emoji in added
    ]


def _emoji(reaction: Fields) -> str:
    """https://core.telegram.org/bots/api#reactiontype"""
    match reaction["type"]:
        case "emoji":
            return str(reaction["emoji"])
        case "custom_emoji":
            return f":{reaction['custom_emoji_id']}:"
    return f":{reaction['type']}:"
