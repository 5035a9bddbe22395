"""Exports of Discord by DiscordChatExporter (https://github.com/Tyrrrz/DiscordChatExporter), JSON.

One file per channel or thread: `guild`, `channel` and then `messages`. Ids are those of the kind
`discord`, so that what was heard and what is imported is one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from klankbord_ingest.imports.archive import ExportError, files
from klankbord_ingest.imports.json_list import JsonList, NoListError
from klankbord_ingest.imports.meter import Meter
from klankbord_ingest.imports.row import Refusal, Row, Rows, validated
from klankbord_ingest.submission import Submission

PLATFORM = "discord.com"
"""Ids are unique in all of Discord."""
# https://docs.discord.com/developers/resources/message#message-object-message-types; the exporter
# writes the names that it knows, else the number.
POSTS = frozenset({"Default", "Reply", "19", "20", "23"})
REPLIES = frozenset({"Reply", "19"})
JOINS = frozenset({"GuildMemberJoin", "7"})
PRIVATE = ("Direct", "GuildPrivate")


def read_discord(path: Path, meter: Meter | None = None) -> Rows:
    """The messages and joins of an export: one JSON file, or a folder or zip file of them.

    Raises:
        ExportError: it holds no JSON file.
    """
    is_empty = True
    for name, stream in files(path, lambda name: name.endswith(".json"), meter or Meter()):
        is_empty = False
        try:
            yield from _messages(name, JsonList(stream, "messages"))
        except NoListError as error:
            yield Row(name, Refusal("no_json", f"the file is no export of a channel: {error}"))
    if is_empty:
        raise ExportError(f"{path} is no export of DiscordChatExporter: it holds no JSON file")


def _messages(name: str, messages: JsonList) -> Rows:
    guild, channel = messages.head.get("guild"), messages.head.get("channel")
    if not isinstance(guild, dict) or not isinstance(channel, dict):
        yield Row(name, Refusal("no_json", "the file names no guild and channel of Discord"))
        return
    if str(channel.get("type")).startswith(PRIVATE):
        why = "what is said in private is not imported"
        yield Row(name, Refusal("private", why, "channel.type"))
        return
    place = PurePosixPath(name).name
    for number, message in enumerate(messages, start=1):
        yield Row(f"{place}, message {number}", _content(message, guild, channel))


def _content(
    message: Any, guild: Mapping[str, Any], channel: Mapping[str, Any]
) -> Submission | Refusal:
    if not isinstance(message, dict):
        return Refusal("no_object", "it is no message", row=message)
    kind, author = str(message.get("type")), message.get("author")
    named = {"nativeId": message.get("id"), "platform": PLATFORM}
    named |= {"published": message.get("timestamp")}
    named |= {"attributedTo": _actor(author) if isinstance(author, dict) else None}
    if kind in JOINS:
        return validated({**named, "kind": "join"}, message)
    if kind not in POSTS:
        return Refusal("not_a_post", f"{kind} is a notice of Discord, no post", row=message)
    words = _words(message)
    if not words:
        return Refusal("empty", "the message holds no words", "content", message)
    edited = message.get("timestampEdited")
    address = f"https://discord.com/channels/{guild.get('id')}/{channel.get('id')}"
    is_thread = str(channel.get("type")).endswith("Thread")
    home = channel.get("category") if is_thread else channel.get("name")
    reference = message.get("reference")
    answered = reference.get("messageId") if isinstance(reference, dict) else None
    document = {
        **named,
        "operation": "update" if edited else "create",
        "updated": edited,
        "isAutomated": isinstance(author, dict) and author.get("isBot") is True,
        "inReplyTo": answered if kind in REPLIES else None,
        "context": channel.get("id") if is_thread else None,
        "content": words,
        "mention": [one.get("id") for one in _objects(message.get("mentions"))],
        "tag": [home] if home else [],
        "url": f"{address}/{message.get('id')}",
    }
    return validated(document, message)


def _actor(author: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": author.get("id"),
        "type": "Service" if author.get("isBot") is True else "Person",
        "preferredUsername": author.get("name"),
        "name": author.get("nickname") or None,
        "icon": author.get("avatarUrl"),
    }


def _words(message: Mapping[str, Any]) -> str:
    """The text and what cards of a bot say; where there is neither, what was attached."""
    author, said = message.get("author"), [message.get("content")]
    if isinstance(author, dict) and author.get("isBot") is True:
        for card in _objects(message.get("embeds")):
            said += [card.get("title"), card.get("description")]
            for field in _objects(card.get("fields")):
                said += [field.get("name"), field.get("value")]
    if not any(said):
        said = [one.get("fileName") for one in _objects(message.get("attachments"))]
        said += [one.get("name") for one in _objects(message.get("stickers"))]
    return "\n".join(part for part in said if isinstance(part, str) and part).strip()


def _objects(value: object) -> Iterator[dict[str, Any]]:
    listed = value if isinstance(value, list) else []
    return (one for one in listed if isinstance(one, dict))
