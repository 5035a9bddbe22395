"""A Slack workspace export (https://slack.com/help/articles/220556107): a zip file or its folder.

`users.json` and `channels.json` tell who and where; `<channel>/<date>.json` is a list of messages.
Nothing is unpacked to disk, and no file is read beyond a limit, whatever the archive says.
"""

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, Self

from klankbord_ingest.imports.archive import MAX_FILES, ExportError
from klankbord_ingest.imports.row import Refusal, Row, Rows, validated
from klankbord_ingest.linked import usable
from klankbord_ingest.markup import unescaped
from klankbord_ingest.submission import Submission

MAX_FILE_BYTES = 16 * 1024 * 1024
"""The largest file of an export that is read: a channel's day is a few hundred kilobytes."""
MAX_DEPTH = 10
"""How deep a rich text may nest; Slack's own nests four deep."""

POSTS = frozenset(
    {
        None,
        "bot_message",
        "file_comment",
        "file_share",
        "me_message",
        "reply_broadcast",
        "thread_broadcast",
    }
)
JOINS = frozenset({"channel_join", "group_join"})
LEAVES = frozenset({"channel_leave", "group_leave"})
SLACKBOT = "USLACKBOT"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MARKUP = re.compile(r"<([^<>]+)>")
_WEB = ("https://", "http://")
_TS = re.compile(r"(\d{1,11})\.(\d{6})")


class _Archive(Protocol):
    """The files of an export, by their paths."""

    names: list[str]

    def read(self, name: str) -> bytes:
        """The beginning of a file: one byte more than may be read, if it has so many."""


class _ZipArchive:
    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        self.names = [info.filename for info in self._zip.infolist() if not info.is_dir()]

    def read(self, name: str) -> bytes:
        with self._zip.open(name) as file:
            return file.read(MAX_FILE_BYTES + 1)


class _FolderArchive:
    def __init__(self, path: Path) -> None:
        self._path = path
        found = (file for file in path.rglob("*.json") if file.is_file() and not file.is_symlink())
        self.names = [file.relative_to(path).as_posix() for file in found]

    def read(self, name: str) -> bytes:
        with (self._path / name).open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)


def read_slack(path: Path) -> Rows:
    """The messages, joins and leaves of an export, channel by channel and day by day.

    Raises:
        ExportError: it is no zip file or folder with a `users.json` or `channels.json`.
    """
    archive = _open(path)
    root = _root(archive.names, path)
    export = _Export.of(archive, root)
    for name in sorted(archive.names):
        inside = PurePosixPath(name)
        if inside.suffix == ".json" and inside.parent.parent == root and inside.parent != root:
            yield from _read_day(archive, name, export)


def _open(path: Path) -> _Archive:
    if path.is_dir():
        return _FolderArchive(path)
    try:
        archive = _ZipArchive(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ExportError(f"{path} is no zip file: {error}") from error
    if len(archive.names) > MAX_FILES:
        raise ExportError(f"{path} holds more than {MAX_FILES:,} files; split the export")
    return archive


def _root(names: list[str], path: Path) -> PurePosixPath:
    """The folder of the export within the archive: some zip it with its folder around it."""
    marks = [PurePosixPath(name) for name in names]
    roots = [mark.parent for mark in marks if mark.name in {"users.json", "channels.json"}]
    if not roots:
        raise ExportError(f"{path} is no Slack export: it holds no users.json or channels.json")
    return min(roots, key=lambda root: len(root.parts))


class _Export:
    """Who is who and which channel is which."""

    def __init__(self, users: Mapping[str, dict[str, Any]], channels: Mapping[str, str]) -> None:
        self.users = users
        self.channels = channels
        teams = [team for user in users.values() if isinstance(team := user.get("team_id"), str)]
        self.platform = f"slack:{teams[0]}" if teams else None

    @classmethod
    def of(cls, archive: _Archive, root: PurePosixPath) -> Self:
        """Read users.json, and channels.json with its kin."""
        users = _listed(archive, root / "users.json")
        channels = [
            channel
            for name in ("channels.json", "groups.json", "mpims.json")
            for channel in _listed(archive, root / name)
        ]
        return cls(
            {user["id"]: user for user in users if isinstance(user.get("id"), str)},
            {
                channel["name"]: channel["id"]
                for channel in channels
                if isinstance(channel.get("name"), str) and isinstance(channel.get("id"), str)
            },
        )

    def name_of(self, user: str) -> str:
        """How a member is called in a text."""
        known = self.users.get(user, {})
        profile = known.get("profile")
        shown = profile.get("display_name") if isinstance(profile, dict) else None
        return str(shown or known.get("name") or user)

    def actor(self, user: str) -> dict[str, Any]:
        """A member as an ActivityStreams actor."""
        known = self.users.get(user)
        return {"id": user} if known is None else actor_of(known)


def actor_of(user: Mapping[str, Any]) -> dict[str, Any]:
    """A user object of Slack (https://docs.slack.dev/reference/objects/user-object) as an actor."""
    profile = user["profile"] if isinstance(user.get("profile"), dict) else {}
    return {
        "id": user["id"],
        "type": "Service" if user.get("is_bot") or user["id"] == SLACKBOT else "Person",
        "preferredUsername": user.get("name"),
        "name": profile.get("real_name") or user.get("real_name"),
        "icon": profile.get("image_72"),
    }


def _listed(archive: _Archive, name: PurePosixPath) -> list[dict[str, Any]]:
    """The objects of a list in a file; none if the file is not there or is no list."""
    if str(name) not in archive.names:
        return []
    content = _json(archive, str(name))
    if isinstance(content, Refusal):
        raise ExportError(f"{name}: {content.why}")
    return [entry for entry in content if isinstance(entry, dict)]


def _json(archive: _Archive, name: str) -> list[Any] | Refusal:
    try:
        body = archive.read(name)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        # A broken, encrypted or oddly compressed member.
        return Refusal("unreadable", f"the file cannot be read: {error}")
    if len(body) > MAX_FILE_BYTES:
        return Refusal("too_large", f"the file is larger than {MAX_FILE_BYTES:,} bytes")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        return Refusal("no_json", f"the file is no JSON: {error}")
    if not isinstance(content, list):
        return Refusal("no_list", "the file holds no list")
    return content


def _read_day(archive: _Archive, name: str, export: _Export) -> Rows:
    path = PurePosixPath(name)
    place = f"{path.parent.name}/{path.name}"
    messages = _json(archive, name)
    if isinstance(messages, Refusal):
        yield Row(place, messages)
        return
    channel = path.parent.name
    for number, message in enumerate(messages, start=1):
        yield Row(f"{place}, message {number}", _content(message, channel, export))


def _content(message: object, channel: str, export: _Export) -> Submission | Refusal:
    if not isinstance(message, dict) or message.get("type") != "message":
        return Refusal("not_a_post", "it is no message", row=message)
    subtype = message.get("subtype")
    published = moment_of(message.get("ts"))
    if published is None:
        return Refusal("no_moment", "ts is no time of Slack", "ts", message)
    place = export.channels.get(channel, channel)
    if subtype in JOINS | LEAVES:
        document = _membership(message, place, published, export)
    elif subtype == "tombstone":
        document = _named(message, place, export) | {"operation": "delete"}
    elif subtype in POSTS:
        document = _post(message, place, channel, published, export)
        if not document["content"]:
            return Refusal("empty", "the message holds no words", "text", message)
    else:
        return Refusal("not_a_post", f"{subtype!r} is a notice of Slack, no post", row=message)
    return validated(document, message)


def _named(message: Mapping[str, Any], place: str, export: _Export) -> dict[str, Any]:
    return {"nativeId": f"{place}:{message['ts']}", "platform": export.platform}


def _membership(
    message: Mapping[str, Any], place: str, published: datetime, export: _Export
) -> dict[str, Any]:
    kind = "join" if message["subtype"] in JOINS else "leave"
    return _named(message, place, export) | {
        "kind": kind,
        "published": published,
        "attributedTo": _author(message, export),
    }


def _post(
    message: Mapping[str, Any], place: str, channel: str, published: datetime, export: _Export
) -> dict[str, Any]:
    edited = message.get("edited")
    updated = moment_of(edited.get("ts")) if isinstance(edited, dict) else None
    thread = message.get("thread_ts")
    opened_by = f"{place}:{thread}" if isinstance(thread, str) else None
    author = _author(message, export)
    is_bot = message.get("subtype") == "bot_message" or bool(message.get("bot_id"))
    return _named(message, place, export) | {
        "operation": "update" if updated else "create",
        "published": published,
        "updated": updated,
        "attributedTo": author,
        "isAutomated": is_bot or (author or {}).get("type") == "Service",
        "inReplyTo": opened_by if thread != message["ts"] else None,
        "context": opened_by,
        "content": words_of(message, export.name_of),
        "tag": [channel],
        "mention": mentions_in(message),
        "link": links_in(message),
    }


def _author(message: Mapping[str, Any], export: _Export) -> dict[str, Any] | None:
    comment = message.get("comment")
    commenter = comment.get("user") if isinstance(comment, dict) else None
    user = message.get("user") or commenter
    if isinstance(user, str):
        return export.actor(user)
    bot = message.get("bot_id")
    if not isinstance(bot, str):
        return None
    name = message.get("username")
    return {"id": bot, "type": "Service", "name": name if isinstance(name, str) else None}


def words_of(message: Mapping[str, Any], name_of: Callable[[str], str]) -> str:
    """The text, and what attachments say beside it, as a reader of Slack sees it; blocks alone,
    where there is no text.

    What Slack shows of a page or message that is linked to (`from_url`) are not the author's words.
    """
    text = message.get("text")
    said = [text] if text else list(_block_words(message.get("blocks")))
    for attachment in _objects(message.get("attachments")):
        if attachment.get("from_url"):
            continue
        told = [attachment.get(part) for part in ("pretext", "title", "text")]
        if not any(told):
            told = list(_block_words(attachment.get("blocks"))) or [attachment.get("fallback")]
        said += told
    said += [file.get("title") for file in _objects(message.get("files"))]
    words = dict.fromkeys(readable(part, name_of) for part in said if isinstance(part, str))
    return "\n".join(part for part in words if part)


def _block_words(blocks: object) -> Iterator[str]:
    """What blocks say (https://docs.slack.dev/reference/block-kit/blocks), in Slack's markup."""
    for block in _objects(blocks):
        if block.get("type") == "rich_text":
            yield from filter(None, map(_rich_words, _objects(block.get("elements"))))
            continue
        said = [block.get("text"), block.get("title")]
        for part in ("fields", "elements"):
            said += [one.get("text") for one in _objects(block.get(part))]
        for one in said:
            words = one.get("text") if isinstance(one, dict) else one
            if isinstance(words, str):
                yield words


def _rich_words(element: Mapping[str, Any], depth: int = 0) -> str:
    """What an element of a rich text says: a section, a list, a quote, or a part of one."""
    if depth > MAX_DEPTH:
        return ""
    inner = [_rich_words(one, depth + 1) for one in _objects(element.get("elements"))]
    if inner:
        return ("\n" if element.get("type") == "rich_text_list" else "").join(inner)
    match element:
        case {"type": "user", "user_id": str(user)}:
            return f"<@{user}>"
        case {"type": "channel", "channel_id": str(channel)}:
            return f"<#{channel}>"
        case {"type": "emoji", "name": str(name)}:
            return f":{name}:"
        case {"type": "broadcast", "range": str(everyone)}:
            return f"@{everyone}"
        case {"type": "link", "url": str(address)}:
            label = element.get("text")
            return f"<{address}|{label}>" if isinstance(label, str) and label else f"<{address}>"
        case {"type": "text", "text": str(words)}:
            return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return ""


def mentions_in(message: Mapping[str, Any]) -> list[str]:
    """The ids of the members whom a message names, each once."""
    return [one[1:] for one in _referred_to(message) if one.startswith("@") and one != "@"]


def links_in(message: Mapping[str, Any]) -> list[str]:
    """The web addresses in a message, each once."""
    found = (unescaped(one) for one in _referred_to(message) if one.startswith(_WEB))
    return list(usable(found))


def _referred_to(message: Mapping[str, Any]) -> list[str]:
    text = message.get("text")
    found = _MARKUP.findall(text) if isinstance(text, str) else []
    return list(dict.fromkeys(inside.partition("|")[0] for inside in found))


def _objects(value: object) -> Iterator[dict[str, Any]]:
    return (
        (entry for entry in value if isinstance(entry, dict))
        if isinstance(value, list)
        else iter(())
    )


def readable(text: str, name_of: Callable[[str], str]) -> str:
    """Slack's markup as plain text: `<@U1>` is `@jo`, `<https://x.org|here>` gives both parts."""
    plain = _MARKUP.sub(lambda found: _reference(found[1], name_of), text)
    return unescaped(plain).replace("\0", "").strip()


def _reference(inside: str, name_of: Callable[[str], str]) -> str:
    target, _, label = inside.partition("|")
    if target.startswith("@"):
        return f"@{label or name_of(target[1:])}"
    if target.startswith("#"):
        return f"#{label or target[1:]}"
    if target.startswith("!"):
        # <!here>, <!subteam^S1|@helpers>, <!date^1392734382^{date}|18 February>
        return label or f"@{target[1:].partition('^')[0]}"
    address = target.removeprefix("mailto:")
    return address if label in {"", address} else f"{label} ({address})"


def moment_of(ts: object) -> datetime | None:
    """The moment of a `ts` such as `1452837318.000002`, to the microsecond."""
    found = _TS.fullmatch(ts) if isinstance(ts, str) else None
    if found is None:
        return None
    return EPOCH + timedelta(seconds=int(found[1]), microseconds=int(found[2]))
