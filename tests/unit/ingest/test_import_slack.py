"""A Slack export: threads, edits, bots and comings and goings; hostile archives do no harm."""

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from klankbord_ingest.imports import slack
from klankbord_ingest.imports.archive import ExportError
from klankbord_ingest.imports.row import Refusal, Row
from klankbord_ingest.imports.slack import read_slack, readable
from klankbord_ingest.submission import InteractionSubmission, PostSubmission

USERS = [
    {
        "id": "U1",
        "team_id": "T1",
        "name": "jo",
        "profile": {
            "real_name": "Jo Jansen",
            "display_name": "jojo",
            "image_72": "https://example.org/jo.png",
        },
    },
    {"id": "U2", "team_id": "T1", "name": "helper", "is_bot": True, "profile": {}},
]
CHANNELS = [{"id": "C1", "name": "general"}]
TS = "1763805600.000100"


def export(tmp_path: Path, *messages: dict[str, Any], root: str = "") -> Path:
    file = tmp_path / "export.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{root}users.json", json.dumps(USERS))
        archive.writestr(f"{root}channels.json", json.dumps(CHANNELS))
        archive.writestr(f"{root}integration_logs.json", "[]")
        archive.writestr(f"{root}general/2025-11-22.json", json.dumps(messages))
    return file


def message(**fields: Any) -> dict[str, Any]:
    return {"type": "message", "user": "U1", "text": "Hello", "ts": TS} | fields


def only(rows: list[Row]) -> Any:
    (row,) = rows
    return row.content


def content(tmp_path: Path, **fields: Any) -> Any:
    return only(list(read_slack(export(tmp_path, message(**fields)))))


@pytest.mark.parametrize("root", ["", "Acme export/"])
def test_a_message_is_a_post_of_its_workspace(tmp_path: Path, root: str) -> None:
    (row,) = read_slack(export(tmp_path, message(), root=root))
    post = row.content
    assert isinstance(post, PostSubmission)
    assert row.position == "general/2025-11-22.json, message 1"
    assert (post.native_id, post.platform, post.tag) == (f"C1:{TS}", "slack:T1", ["general"])
    assert post.published == datetime(2025, 11, 22, 10, 0, 0, 100, tzinfo=UTC)
    assert post.attributed_to is not None
    assert post.attributed_to.preferred_username == "jo"
    assert post.attributed_to.name == "Jo Jansen"
    assert not post.is_automated


def test_a_reply_names_its_thread_and_the_thread_does_not_answer_itself(tmp_path: Path) -> None:
    reply = content(tmp_path, thread_ts="1763800000.000000")
    opening = content(tmp_path, thread_ts=TS)
    assert reply.in_reply_to == reply.context == "C1:1763800000.000000"
    assert (opening.in_reply_to, opening.context) == (None, f"C1:{TS}")


def test_an_edited_message_is_an_update(tmp_path: Path) -> None:
    post = content(tmp_path, edited={"user": "U1", "ts": "1763805700.000000"})
    assert post.operation == "update"
    assert post.updated == datetime(2025, 11, 22, 10, 1, 40, tzinfo=UTC)


def test_a_deleted_message_is_a_delete(tmp_path: Path) -> None:
    post = content(tmp_path, subtype="tombstone", user="USLACKBOT")
    assert (post.operation, post.native_id) == ("delete", f"C1:{TS}")


@pytest.mark.parametrize(
    "fields", [{"subtype": "bot_message", "bot_id": "B1", "user": None}, {"user": "U2"}]
)
def test_a_bots_message_is_automated(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert content(tmp_path, **fields).is_automated


@pytest.mark.parametrize(("subtype", "kind"), [("channel_join", "join"), ("group_leave", "leave")])
def test_comings_and_goings_are_interactions(tmp_path: Path, subtype: str, kind: str) -> None:
    interaction = content(tmp_path, subtype=subtype)
    assert isinstance(interaction, InteractionSubmission)
    assert (interaction.kind, interaction.native_id) == (kind, f"C1:{TS}")


def test_attachments_say_what_the_text_does_not(tmp_path: Path) -> None:
    post = content(tmp_path, text="", attachments=[{"title": "CI", "text": "<https://x.org|red>"}])
    assert post.content == "CI\nred (https://x.org)"


def test_blocks_say_what_there_is_no_text_for(tmp_path: Path) -> None:
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "*Build* <https://x.org|7>"}}
    context = {"type": "context", "elements": [{"type": "mrkdwn", "text": "by &lt;CI&gt;"}]}
    line = [
        {"type": "text", "text": "a < b & "},
        {"type": "user", "user_id": "U1"},
        {"type": "emoji", "name": "wave"},
        {"type": "link", "url": "https://x.org"},
    ]
    sections = [{"type": "rich_text_section", "elements": line}] * 2
    rich = {"type": "rich_text", "elements": [{"type": "rich_text_list", "elements": sections}]}
    said = "a < b & @jojo:wave:https://x.org"
    blocks = [section, context, rich, {"type": "divider"}, 7]
    post = content(tmp_path, text="", blocks=blocks)
    assert post.content == f"*Build* 7 (https://x.org)\nby <CI>\n{said}\n{said}"
    assert content(tmp_path, text="Hello", blocks=[section]).content == "Hello"
    attached = {"fallback": "[no preview available]", "blocks": [section]}
    post = content(tmp_path, text="", attachments=[attached])
    assert post.content == "*Build* 7 (https://x.org)"


def test_what_slack_shows_of_a_linked_page_is_not_what_the_author_says(tmp_path: Path) -> None:
    page = {"from_url": "https://x.org", "title": "Example", "text": "Their words"}
    assert content(tmp_path, text="See", attachments=[page]).content == "See"


def test_links_and_mentions_are_told(tmp_path: Path) -> None:
    long = f"<@> <https://x.org/{'a' * 2000}>"
    text = f"<@U1> <@U1> <https://x.org/?a=1&amp;b=2|x> <mailto:a@x.org> {long}"
    post = content(tmp_path, text=text)
    assert (post.mention, post.link) == (["U1"], ["https://x.org/?a=1&b=2"])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"subtype": "channel_topic"}, "not_a_post"),
        ({"type": "event"}, "not_a_post"),
        ({"ts": "now"}, "no_moment"),
        ({"ts": None}, "no_moment"),
        ({"text": ""}, "empty"),
        ({"text": None, "attachments": "x", "files": [1], "edited": 3, "user": 9}, "empty"),
    ],
)
def test_what_is_no_post_is_refused(tmp_path: Path, fields: dict[str, Any], code: str) -> None:
    refused = content(tmp_path, **fields)
    assert isinstance(refused, Refusal)
    assert refused.code == code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<@U1> look", "@jo look"),
        ("<@U9|old>", "@old"),
        ("<#C1|general>", "#general"),
        ("<!here> <!subteam^S1|@helpers>", "@here @helpers"),
        ("<https://x.org>", "https://x.org"),
        ("<https://x.org|here>", "here (https://x.org)"),
        ("<mailto:a@x.org|a@x.org>", "a@x.org"),
        ("a &lt;b&gt; &amp; c", "a <b> & c"),
        pytest.param("&#" + "9" * 5000, "&#" + "9" * 5000, id="a number too long for Python"),
    ],
)
def test_markup_is_readable(text: str, expected: str) -> None:
    assert readable(text, lambda user: "jo" if user == "U1" else user) == expected


def test_a_folder_is_read_like_its_zip_file(tmp_path: Path) -> None:
    file = export(tmp_path, message())
    zipfile.ZipFile(file).extractall(tmp_path / "folder")
    assert list(read_slack(tmp_path / "folder")) == list(read_slack(file))


def test_a_zip_bomb_is_refused_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = export(tmp_path, message())
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("general/2025-11-23.json", "[" + " " * 50_000_000 + "]")
        archive.writestr("general/2025-11-24.json", "[" * 100_000)
    post, bomb, deep = (row.content for row in read_slack(file))
    assert isinstance(post, PostSubmission)
    assert [bomb.code, deep.code] == ["too_large", "no_json"]  # type: ignore[union-attr]


def test_names_that_climb_out_of_the_archive_are_only_names(tmp_path: Path) -> None:
    file = export(tmp_path, message())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("../../etc/2025-11-22.json", json.dumps([message()]))
        archive.writestr("/general/2025-11-25.json", json.dumps([message()]))
    before = sorted(tmp_path.rglob("*"))
    assert len(list(read_slack(file))) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_no_export_is_refused_with_a_reason(tmp_path: Path) -> None:
    empty = tmp_path / "other.zip"
    zipfile.ZipFile(empty, "w").close()
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 not really")
    for file in (empty, broken, tmp_path):
        with pytest.raises(ExportError):
            list(slack.read_slack(file))
