"""The same post, heard and imported, is one: its ids agree, and so do its words."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from klankbord_ingest.imports.csv import read_csv
from klankbord_ingest.imports.discord import read_discord
from klankbord_ingest.imports.mapping import read_mapping
from klankbord_ingest.imports.mastodon import read_mastodon
from klankbord_ingest.imports.row import Row
from klankbord_ingest.kind import Request, submission_of
from klankbord_ingest.kinds.discord import Discord, Place
from klankbord_ingest.kinds.discourse import Discourse, post_said
from klankbord_ingest.kinds.mastodon import Mastodon
from klankbord_ingest.sequence import digest_of
from klankbord_ingest.sources import source_of
from klankbord_ingest.submission import PostSubmission
from klankbord_schemas.community import Community

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ENTRY = {"name": "place", "community": "demo"}
HOME = Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))
PAGE = Path(__file__).parents[3] / "docs" / "sources" / "import.md"


def told(post: PostSubmission) -> dict[str, Any]:
    """What makes it one post, and one version of it."""
    assert post.attributed_to is not None
    return {
        "ids": (post.native_id, post.in_reply_to, post.context, post.attributed_to.id),
        "when": (post.operation, post.published, post.updated),
        "words": digest_of(post),
        "more": (post.name, post.url, post.tag, post.mention, post.link),
    }


def one(rows: list[Row]) -> PostSubmission:
    (row,) = rows
    assert isinstance(row.content, PostSubmission), row.content
    return row.content


def test_a_message_of_discord(tmp_path: Path) -> None:
    kind = Discord.model_validate({**ENTRY, "kind": "discord", "guild": "44444"})
    author: dict[str, Any] = {"id": "80351", "username": "jo", "global_name": "Jo"}
    message: dict[str, Any] = {
        "id": "100100",
        "channel_id": "66666",
        "guild_id": "44444",
        "type": 19,
    }
    message |= {"content": "Hello", "author": author, "timestamp": "2026-03-01T10:00:00+00:00"}
    message |= {"edited_timestamp": "2026-03-01T11:00:00+00:00"}
    message |= {"message_reference": {"message_id": "90000"}, "mentions": [{"id": "7"}]}
    places = {"66666": Place("66666", "It hangs", 11, "55555"), "55555": Place("55555", "help", 0)}
    heard = submission_of(kind.said(message, places))

    exported: dict[str, Any] = {
        "id": "100100",
        "type": "Reply",
        "content": "Hello",
        "mentions": [{"id": "7"}],
    }
    exported |= {"timestamp": "2026-03-01T10:00:00+00:00", "author": {"id": "80351", "name": "jo"}}
    exported |= {"timestampEdited": "2026-03-01T11:00:00+00:00"}
    exported |= {"reference": {"messageId": "90000"}}
    channel: dict[str, Any] = {
        "id": "66666",
        "type": "GuildPublicThread",
        "name": "It hangs",
        "category": "help",
    }
    file = tmp_path / "export.json"
    file.write_text(
        json.dumps({"guild": {"id": "44444"}, "channel": channel, "messages": [exported]})
    )
    imported = one(list(read_discord(file)))
    assert isinstance(heard, PostSubmission)
    assert told(imported) == told(heard)
    assert imported.platform == kind.own_platform


def test_a_status_of_mastodon(tmp_path: Path) -> None:
    kind = Mastodon.model_validate(
        {**ENTRY, "kind": "mastodon", "url": "https://social.example", "timeline": "public"}
    )
    uri, html = (
        "https://social.example/users/ada/statuses/1",
        '<p>See <a href="https://x.org">x</a></p>',
    )
    account: dict[str, Any] = {"id": "9", "acct": "ada", "username": "ada", "display_name": "Ada"}
    status: dict[str, Any] = {
        "id": "1",
        "uri": uri,
        "url": "https://social.example/@ada/1",
        "account": account,
    }
    status |= {"created_at": "2026-03-01T10:00:00Z", "edited_at": "2026-03-01T11:00:00Z"}
    status |= {"content": html, "visibility": "public", "tags": [{"name": "help"}]}
    status |= {"mentions": [{"id": "3", "acct": "bo@other.example"}], "spoiler_text": "About"}
    body = json.dumps({"event": "status.created", "object": status}).encode()
    page = kind.read(Request("POST", "", {}, [], body), source_of(kind, HOME), NOW)
    (heard,) = page.submissions

    note: dict[str, Any] = {
        "id": uri,
        "type": "Note",
        "content": html,
        "url": "https://social.example/@ada/1",
    }
    note |= {"published": "2026-03-01T10:00:00Z", "updated": "2026-03-01T11:00:00Z"}
    tags: list[Any] = [
        {"type": "Hashtag", "name": "#help"},
        {"type": "Mention", "name": "@bo@other.example"},
    ]
    outbox: dict[str, Any] = {
        "type": "Create",
        "actor": "https://social.example/users/ada",
        "to": "as:Public",
    }
    outbox |= {"object": {**note, "inReplyTo": None, "tag": tags, "summary": "About"}}
    file = tmp_path / "outbox.json"
    file.write_text(json.dumps({"orderedItems": [outbox]}))
    imported = one(list(read_mastodon(file)))
    assert isinstance(heard, PostSubmission)
    assert told(imported) == told(heard)
    assert imported.platform == kind.own_platform


def test_a_post_of_discourse(tmp_path: Path) -> None:
    kind = Discourse.model_validate(
        {**ENTRY, "kind": "discourse", "url": "https://forum.example.org"}
    )
    raw, cooked = (
        '[quote="ada"]\nHow?\n[/quote]\nLike this.',
        "<aside>How?</aside><p>Like this.</p>",
    )
    post: dict[str, Any] = {
        "id": 77,
        "topic_id": 9,
        "post_number": 2,
        "user_id": 6,
        "username": "bo",
        "name": "",
    }
    post |= {"raw": raw, "cooked": cooked, "created_at": "2026-03-01T10:00:00.123Z", "version": 2}
    post |= {"updated_at": "2026-03-01T11:00:00.500Z", "post_type": 1, "reply_to_post_number": None}
    post |= {"category_slug": "help", "topic_slug": "-"}
    heard = submission_of(post_said(post, "", kind.base, NOW))

    row: dict[str, Any] = {
        "topic_id": 9,
        "post_number": 2,
        "reply_to_post_number": "",
        "user_id": 6,
    }
    row |= {"username": "bo", "name": "", "raw": raw, "cooked": cooked, "title": ""}
    row |= {"created_at": "2026-03-01 10:00:00.123", "edited_at": "2026-03-01 11:00:00.5"}
    row |= {"post_type": 1, "hidden": "f", "archetype": "regular", "category": "help"}
    row |= {"read_restricted": "f"}
    text = io.StringIO()
    table = csv.DictWriter(text, list(row))
    table.writeheader()
    table.writerow(row)
    file = tmp_path / "posts.csv"
    file.write_text(text.getvalue())
    _, _, after = PAGE.read_text().partition("# discourse.yaml")
    mapping = read_mapping(after.partition("```")[0].encode())
    imported = one(list(read_csv(file, UTC, mapping)))
    assert isinstance(heard, PostSubmission)
    assert told(imported) == told(heard)
