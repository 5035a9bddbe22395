"""A Mastodon archive becomes posts and shares, with the ids that a listener hears."""

import io
import json
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from klankbord_ingest.imports.archive import ExportError
from klankbord_ingest.imports.formats import detect
from klankbord_ingest.imports.mastodon import read_mastodon
from klankbord_ingest.imports.row import Refusal
from klankbord_ingest.submission import InteractionSubmission, PostSubmission

PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
ADA = "https://social.example/users/ada"
ACTOR = {"id": ADA, "type": "Person", "preferredUsername": "Ada", "name": "Ada L."}


def create(number: int, **fields: Any) -> dict[str, Any]:
    uri = f"{ADA}/statuses/{number}"
    note: dict[str, Any] = {
        "id": uri,
        "type": "Note",
        "published": "2026-03-01T10:00:00Z",
        "inReplyTo": None,
    }
    note |= {"url": f"https://social.example/@ada/{number}", "content": "<p>Hej <b>du</b></p>"}
    note |= {"contentMap": {"sv": "<p>Hej</p>"}, "tag": [], "summary": None, **fields}
    activity = {"id": f"{uri}/activity", "type": "Create", "actor": ADA, "to": [PUBLIC], "cc": []}
    return activity | {"published": note["published"], "object": note}


def outbox(*activities: dict[str, Any]) -> bytes:
    head: dict[str, Any] = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": "outbox.json",
    }
    head |= {"type": "OrderedCollection", "totalItems": len(activities)}
    return json.dumps({**head, "orderedItems": activities}).encode()


def read(tmp_path: Path, *activities: dict[str, Any]) -> list[Any]:
    file = tmp_path / "outbox.json"
    file.write_bytes(outbox(*activities))
    return [row.content for row in read_mastodon(file)]


def test_posts_of_a_thread(tmp_path: Path) -> None:
    tags = [
        {"type": "Hashtag", "name": "#Hjälp"},
        {"type": "Mention", "name": "@Bo@Other.example", "href": "https://other.example/users/bo"},
    ]
    first, second, third, stranger = read(
        tmp_path,
        create(1, tag=tags, summary="About"),
        create(2, inReplyTo=f"{ADA}/statuses/1", updated="2026-03-01T11:00:00Z"),
        create(3, inReplyTo=f"{ADA}/statuses/2"),
        create(4, inReplyTo="https://other.example/users/bo/statuses/9"),
    )
    assert isinstance(first, PostSubmission)
    assert (first.native_id, first.platform) == (f"{ADA}/statuses/1", "fediverse")
    assert (first.text, first.language, first.name) == ("Hej du", "sv", "About")
    assert (first.tag, first.mention) == (["Hjälp"], ["bo@other.example"])
    assert first.attributed_to is not None
    assert first.attributed_to.id == "ada@social.example"
    assert (first.in_reply_to, first.context) == (None, None)
    assert (second.operation, second.updated) == ("update", datetime(2026, 3, 1, 11, tzinfo=UTC))
    assert (third.in_reply_to, third.context) == (f"{ADA}/statuses/2", f"{ADA}/statuses/1")
    assert (stranger.in_reply_to, stranger.context) == (
        "https://other.example/users/bo/statuses/9",
        None,
    )


def test_a_boost_is_a_share_and_what_is_private_stays_so(tmp_path: Path) -> None:
    uri = "https://other.example/users/bo/statuses/9"
    boost: dict[str, Any] = {"type": "Announce", "actor": ADA, "published": "2026-03-01T10:00:00Z"}
    boost |= {"to": [PUBLIC], "object": uri}
    unlisted = create(2) | {"to": [f"{ADA}/followers"], "cc": ["as:Public"]}
    private = create(3) | {"to": [f"{ADA}/followers"]}
    share, post, hidden, other = read(
        tmp_path, boost, unlisted, private, {"type": "Move", "to": PUBLIC}
    )
    assert isinstance(share, InteractionSubmission)
    assert (share.kind, share.object) == ("share", uri)
    assert share.native_id == f"share:ada@social.example:{uri}"
    assert isinstance(post, PostSubmission)
    assert isinstance(hidden, Refusal)
    assert (hidden.code, hidden.row) == ("private", None)
    assert isinstance(other, Refusal)
    assert other.code == "not_a_post"


def test_every_form_of_an_archive(tmp_path: Path) -> None:
    members = {"outbox.json": outbox(create(1)), "actor.json": json.dumps(ACTOR).encode()}
    folder, zipped, tarred = tmp_path / "a", tmp_path / "a.zip", tmp_path / "a.tar.gz"
    folder.mkdir()
    with zipfile.ZipFile(zipped, "w") as archive, tarfile.open(tarred, "w:gz") as tar:
        for name, body in members.items():
            (folder / name).write_bytes(body)
            archive.writestr(name, body)
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    for path in (folder, zipped, tarred):
        assert detect(path) == "mastodon"
        (row,) = read_mastodon(path)
        assert isinstance(row.content, PostSubmission)
        assert row.content.attributed_to is not None
        assert row.content.attributed_to.name == "Ada L."
    assert detect(folder / "outbox.json") == "mastodon"


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    tarred = tmp_path / "a.tar"
    tarfile.open(tarred, "w").close()
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(broken, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("outbox.json", outbox(*(create(n) for n in range(50))))
    broken.write_bytes(broken.read_bytes().replace(b"\xed", b"\x00"))
    with pytest.raises(ExportError):
        list(read_mastodon(tarred))
    (row,) = read_mastodon(broken)
    assert isinstance(row.content, Refusal)
    assert row.content.code == "no_json"
    file = tmp_path / "outbox.json"
    file.write_bytes(outbox(create(1))[:-30])
    (row,) = read_mastodon(file)
    assert isinstance(row.content, Refusal)
    assert row.content.code == "no_json"
