"""What DiscordChatExporter writes becomes posts, with the ids that a listener hears."""

import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from klankbord_ingest.imports import json_list
from klankbord_ingest.imports.archive import ExportError
from klankbord_ingest.imports.discord import read_discord
from klankbord_ingest.imports.formats import detect
from klankbord_ingest.imports.json_list import JsonList, NoListError
from klankbord_ingest.imports.meter import Meter
from klankbord_ingest.imports.row import Refusal, Row
from klankbord_ingest.submission import InteractionSubmission, PostSubmission, Submission

JO = {"id": "80351110224678912", "name": "jo", "nickname": "Jo", "isBot": False, "avatarUrl": "x"}


def message(**fields: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "id": "1001",
        "type": "Default",
        "timestamp": "2026-03-01T10:00:00.5+00:00",
    }
    said |= {"timestampEdited": None, "content": "It hangs.", "author": JO}
    return said | {"attachments": [], "embeds": [], "mentions": [], "reactions": []} | fields


def export(*messages: dict[str, Any], channel: dict[str, Any] | None = None) -> str:
    place = {"id": "55", "type": "GuildTextChat", "category": "Text", "name": "help", "topic": ""}
    document = {
        "guild": {"id": "44", "name": "Kwint"},
        "channel": place | (channel or {}),
        "exportedAt": "2026-11-22T10:00:00+00:00",
        "messages": messages,
        "messageCount": len(messages),
    }
    return json.dumps(document, indent=2)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "Kwint - help [55].json"
    file.write_text(text)
    return file


def only(tmp_path: Path, channel: dict[str, Any] | None = None, **fields: Any) -> Submission:
    (row,) = read_discord(written(tmp_path, export(message(**fields), channel=channel)))
    assert not isinstance(row.content, Refusal), row.content
    return row.content


def post_of(tmp_path: Path, channel: dict[str, Any] | None = None, **fields: Any) -> PostSubmission:
    post = only(tmp_path, channel, **fields)
    assert isinstance(post, PostSubmission)
    return post


def test_a_message_is_a_post_by_its_snowflake(tmp_path: Path) -> None:
    post = post_of(tmp_path, mentions=[{"id": "7", "name": "bo"}])
    assert (post.native_id, post.platform, post.tag) == ("1001", "discord.com", ["help"])
    assert post.published == datetime(2026, 3, 1, 10, 0, 0, 500_000, UTC)
    assert post.attributed_to is not None
    assert (post.attributed_to.id, post.attributed_to.name) == (JO["id"], "Jo")
    assert (post.context, post.in_reply_to, post.mention) == (None, None, ["7"])
    assert post.url == "https://discord.com/channels/44/55/1001"


def test_replies_threads_and_edits(tmp_path: Path) -> None:
    reply = {"type": "Reply", "reference": {"messageId": "900", "channelId": "55"}}
    thread = {"id": "66", "type": "GuildPublicThread", "category": "help", "name": "It hangs"}
    post = post_of(tmp_path, thread, timestampEdited="2026-03-01T11:00:00+00:00", **reply)
    assert (post.in_reply_to, post.context, post.tag) == ("900", "66", ["help"])
    assert (post.operation, post.updated) == ("update", datetime(2026, 3, 1, 11, tzinfo=UTC))


def test_bots_are_marked_and_their_cards_read(tmp_path: Path) -> None:
    card = {"title": "Build", "description": "red", "fields": [{"name": "on", "value": "main"}]}
    post = post_of(tmp_path, author=JO | {"isBot": True}, content="", embeds=[card])
    assert post.content == "Build\nred\non\nmain"
    assert post.is_automated


def test_a_newcomer_joins(tmp_path: Path) -> None:
    join = only(tmp_path, type="GuildMemberJoin", content="Joined the server.")
    assert isinstance(join, InteractionSubmission)
    assert (join.kind, join.native_id) == ("join", "1001")


def refused(rows: Iterator[Row]) -> list[str]:
    return [row.content.code for row in rows if isinstance(row.content, Refusal)]


def test_what_is_no_post_is_refused_with_a_reason(tmp_path: Path) -> None:
    messages = [
        message(type="ChannelPinnedMessage"),
        message(content=""),
        message(timestamp="soon"),
        message(id=None),
    ]
    found = refused(read_discord(written(tmp_path, export(*messages))))
    assert found == ["not_a_post", "empty", "no_moment", "invalid"]
    for kind in ("DirectTextChat", "DirectGroupTextChat", "GuildPrivateThread"):
        file = written(tmp_path, export(message(), channel={"type": kind}))
        assert refused(read_discord(file)) == ["private"]
    for broken in (export(message())[:-60], '{"guild": {}, "channel": {}, ', "[]"):
        assert refused(read_discord(written(tmp_path, broken))) == ["no_json"]


def test_a_folder_and_a_zip_file_are_known_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    written(folder, export(message()))
    (folder / "two.json").write_text(export(message(id="1002")))
    zipped = tmp_path / "export.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    for path in (folder, zipped):
        assert detect(path) == "discord"
        meter = Meter()
        ids = [row.content.native_id for row in read_discord(path, meter)]  # type: ignore[union-attr]
        assert ids == ["1001", "1002"]
        assert meter.read == meter.total
    assert detect(folder / "two.json") == "discord"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExportError):
        list(read_discord(tmp_path / "empty"))


def test_a_list_is_read_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_list, "CHUNK", 7)
    monkeypatch.setattr(json_list, "MAX_LINE_BYTES", 100)
    monkeypatch.setattr(json_list, "MAX_HEAD", 100)
    tricky = {"topic": 'a "messages": [ b', "messages": [{"ü": "]"}, {"a": [1, {}]}, {}]}
    assert list(JsonList(BytesIO(json.dumps(tricky).encode()), "messages")) == tricky["messages"]
    for body in (b'{"messages": [{"a": "' + b"x" * 200, b"{" + b" " * 200, b'{"messages": [1 2'):
        with pytest.raises(NoListError):
            list(JsonList(BytesIO(body), "messages"))


def test_a_list_that_nests_without_end_is_refused() -> None:
    with pytest.raises(NoListError, match="deep"):
        list(JsonList(BytesIO(b'{"messages": [' + b"[" * 100_000), "messages"))
