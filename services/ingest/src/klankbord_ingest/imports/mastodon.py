"""A Mastodon archive (Settings › Import and export): `outbox.json` in a zip or tar file, or alone.

https://docs.joinmastodon.org/user/moving/#export: an ActivityStreams collection of what one member
posted and boosted. Ids are those of the kind `mastodon`: the `uri` of a post, the address of a
member.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from klankbord_ingest.imports.archive import ExportError, files
from klankbord_ingest.imports.json_list import JsonList, NoListError
from klankbord_ingest.imports.meter import Meter
from klankbord_ingest.imports.row import MAX_LINE_BYTES, Refusal, Row, Rows, validated
from klankbord_ingest.kinds.mastodon import FEDIVERSE, links_in
from klankbord_ingest.native_id import kept_native_id
from klankbord_ingest.submission import Submission

PLATFORM = FEDIVERSE
"""One for all instances: a post is the same wherever it is seen."""
PUBLIC = frozenset({"https://www.w3.org/ns/activitystreams#Public", "as:Public", "Public"})
BOTS = frozenset({"Service", "Application"})


def read_mastodon(path: Path, meter: Meter | None = None) -> Rows:
    """The posts and boosts of an archive.

    Raises:
        ExportError: it holds no `outbox.json`.
    """
    owner = _owner(path)
    is_empty = True
    for name, stream in files(path, lambda name: _is(name, "outbox.json"), meter or Meter()):
        is_empty = False
        roots: dict[str, str] = {}
        try:
            for number, activity in enumerate(JsonList(stream, "orderedItems"), start=1):
                yield Row(f"activity {number}", _content(activity, owner, roots))
        except NoListError as error:
            yield Row(name, Refusal("no_json", f"the outbox cannot be read: {error}"))
    if is_empty:
        raise ExportError(f"{path} is no Mastodon archive: it holds no outbox.json")


def _is(name: str, wanted: str) -> bool:
    return PurePosixPath(name).name == wanted


def _owner(path: Path) -> dict[str, Any]:
    """Whose archive it is, as its `actor.json` says; empty where there is none."""
    if path.is_file() and path.suffix == ".json":
        return {}
    for _, stream in files(path, lambda name: _is(name, "actor.json"), Meter()):
        try:
            owner = json.loads(stream.read(MAX_LINE_BYTES))
        except (ValueError, RecursionError) as error:
            raise ExportError(f"actor.json is no JSON: {error}") from error
        return owner if isinstance(owner, dict) else {}
    return {}


def _content(
    activity: Any, owner: Mapping[str, Any], roots: dict[str, str]
) -> Submission | Refusal:
    """What an activity says; `roots` gathers in which thread each post of the archive stands."""
    if not isinstance(activity, dict):
        return Refusal("no_object", "it is no activity", row=activity)
    kind, about = activity.get("type"), activity.get("object")
    if not PUBLIC & {*_texts(activity.get("to")), *_texts(activity.get("cc"))}:
        return Refusal("private", "it was not for everyone to read")
    if kind == "Announce" and isinstance(about, str):
        return validated(_share(activity, about, owner), activity)
    if kind == "Create" and isinstance(about, dict):
        return validated(_post(activity, about, owner, roots), activity)
    return Refusal("not_a_post", f"{kind} is no post and no boost", row=activity)


def _share(activity: Mapping[str, Any], uri: str, owner: Mapping[str, Any]) -> dict[str, Any]:
    who = _actor(activity, owner)
    return {
        "kind": "share",
        "nativeId": kept_native_id(f"share:{who['id']}:{uri}"),
        "platform": PLATFORM,
        "object": kept_native_id(uri),
        "published": activity.get("published"),
        "attributedTo": who,
    }


def _post(
    activity: Mapping[str, Any],
    note: Mapping[str, Any],
    owner: Mapping[str, Any],
    roots: dict[str, str],
) -> dict[str, Any]:
    uri = str(note.get("id") or "")
    parent = note.get("inReplyTo")
    updated = note.get("updated")
    html = note.get("content")
    languages = note.get("contentMap")
    tags = [tag for tag in _list(note.get("tag")) if isinstance(tag, dict)]
    who = _actor(activity, owner)
    # known where all of the thread up to here is the member's own
    root = roots.get(parent) if isinstance(parent, str) else None
    if uri and (parent is None or root):
        roots[uri] = root or uri
    return {
        "nativeId": kept_native_id(uri),
        "platform": PLATFORM,
        "operation": "update" if updated else "create",
        "published": note.get("published"),
        "updated": updated,
        "attributedTo": who,
        "isAutomated": who["type"] in BOTS,
        "objectType": str(note.get("type") or "Note"),
        "inReplyTo": kept_native_id(parent) if isinstance(parent, str) else None,
        "context": kept_native_id(root) if root else None,
        "url": note.get("url") or uri,
        "name": note.get("summary") or None,
        "contentHtml": html,
        "language": next(iter(languages), None) if isinstance(languages, dict) else None,
        "tag": [tag.get("name") for tag in tags if tag.get("type") == "Hashtag"],
        "mention": [
            str(tag.get("name")).removeprefix("@").lower()
            for tag in tags
            if tag.get("type") == "Mention" and str(tag.get("name")).count("@") == 2
        ],
        "link": links_in(html) if isinstance(html, str) else [],
    }


def _actor(activity: Mapping[str, Any], owner: Mapping[str, Any]) -> dict[str, Any]:
    """The member, by their address, as in `ada@mastodon.example`."""
    uri = str(owner.get("id") or activity.get("actor") or "")
    place = urlsplit(uri)
    handle = owner.get("preferredUsername") or PurePosixPath(place.path).name
    address = f"{handle}@{place.netloc}".lower()
    return {
        "id": address,
        "type": str(owner.get("type") or "Person"),
        "preferredUsername": address,
        "name": owner.get("name") or None,
    }


def _texts(value: object) -> Iterator[str]:
    return (one for one in [*_list(value), value] if isinstance(one, str))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
