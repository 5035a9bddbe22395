"""Which messages are about a member: theirs, and not those of whoever quotes them."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from klankbord_runtime.deadletter import DeadLetter
from klankbord_schemas import (
    FeedbackRouted,
    Interaction,
    InteractionReceived,
    Post,
    PostReceived,
    post_identity,
)
from klankbord_schemas.feedback import Feedback
from klankbord_standalone.member_files import files_naming, forget_discarded
from klankbord_standalone.traces import Member, Search

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
THEM = Member("acme", "p-" + "1" * 32, native_id="añna")
OTHER = "p-" + "2" * 32


def post(native_id: str, author: str | None, version: int = 1, **more: Any) -> bytes:
    said = {
        "community": "acme", "source": "forum", "platform": "forum", "native_id": native_id,
        "post": post_identity("acme", "forum", native_id), "operation": "create",
        "published": NOON, "published_trust": "attested", "attributed_to": author, "content": "x",
    }  # fmt: skip
    return PostReceived.of(Post.model_validate(said | more), version, NOON).to_json()


def like(post_id: str, author: str | None) -> bytes:
    done = Interaction(
        community="acme", source="forum", platform="forum", kind="like", attributed_to=author,
        post=post_identity("acme", "forum", post_id), published=NOON, published_trust="attested",
    )  # fmt: skip
    return InteractionReceived.of(done, NOON).to_json()


def routed(native_id: str) -> bytes:
    cause = PostReceived.from_json(post(native_id, None, 2))
    feedback = Feedback(
        community="acme", source="forum", department="product", post=cause.data.post,
        post_sequence=2, case_revision=1, intent="bug", score=0.5, priority="low", due_at=NOON,
        rules="0" * 64, published=NOON, content="their words", language="en",
    )  # fmt: skip
    return FeedbackRouted.of(cause, feedback, NOON).to_json()


def letter(body: bytes, detail: str = "") -> bytes:
    return DeadLetter.model_construct(
        stream="POSTS", stream_sequence=1, consumer="metrics-posts", subject="x", reason="bug",
        detail=detail, deliveries=3, died=NOON, body=body,
    ).model_dump_json().encode()  # fmt: skip


def found(*messages: bytes, stream: str = "POSTS") -> list[int]:
    search = Search(THEM)
    for place, message in enumerate(messages):
        search.hear(stream, place, message)
    traces = search.finish()
    assert traces.read == len(messages)
    return sorted(traces.places.get(stream, []))


def test_what_they_said_and_did_is_found_and_nothing_of_others() -> None:
    theirs = THEM.pseudonym
    assert found(post("1", theirs), post("2", OTHER), like("2", theirs), like("1", OTHER)) == [0, 2]


def test_in_another_community_they_stay() -> None:
    assert found(post("1", THEM.pseudonym, community="other")) == []


def test_a_version_that_names_nobody_is_theirs_with_the_post_in_whatever_order() -> None:
    delete, nobodys = (post(n, None, 2, operation="delete") for n in ("1", "2"))
    theirs = post("1", THEM.pseudonym)
    assert found(delete, nobodys, theirs) == [0, 2]
    assert found(theirs, nobodys, delete) == [0, 2]


def test_what_was_routed_of_a_version_that_names_nobody_is_theirs_with_the_post() -> None:
    assert found(post("1", THEM.pseudonym), routed("1"), routed("2")) == [0, 1]


def test_whoever_quotes_them_is_not_them() -> None:
    assert found(post("1", OTHER, content=f'she is "{THEM.pseudonym}", "añna"')) == []


@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_cannot_be_read_is_theirs_if_it_names_them(*, ascii_only: bool) -> None:
    unread = json.dumps({"who": "añna"}, ensure_ascii=ascii_only).encode()
    other = json.dumps({"who": "añnabel"}, ensure_ascii=ascii_only).encode()
    assert found(unread, other, THEM.pseudonym.encode(), b"\xff") == [0, 2]


def test_a_dead_letter_is_judged_by_the_event_in_it() -> None:
    theirs, others = post("1", THEM.pseudonym), post("2", OTHER)
    assert base64.b64encode(THEM.pseudonym.encode()) not in letter(theirs), "it is in base64"
    letters = letter(theirs), letter(others), letter(b'{"who": "a\\u00f1na"}'), b"no letter"
    assert found(*letters, stream="DEAD") == [0, 2]


def test_discarded_letters_of_theirs_are_taken_out_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "discarded.ndjson"
    bodies = [post("1", THEM.pseudonym), post("2", OTHER), post("3", THEM.pseudonym)]
    lines = [json.dumps({"number": n, "body": b.decode()}) + "\n" for n, b in enumerate(bodies)]
    file.write_text("".join(lines))
    assert forget_discarded(file, THEM) == 2
    assert file.read_text() == lines[1]
    assert forget_discarded(file, THEM) == 0
    assert forget_discarded(tmp_path / "none", THEM) == 0


def test_files_of_refused_rows_that_name_them_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.refused.ndjson").write_text(json.dumps({"row": {"author": "añna"}}))
    within = json.dumps({"author": "añna"})
    (tmp_path / "a2.refused.ndjson").write_text(json.dumps({"row": within}))
    (tmp_path / "b.refused.ndjson").write_text(json.dumps({"row": {"author": "bert"}}))
    told = [str(tmp_path / f"{name}.refused.ndjson") for name in ("a", "a2")]
    assert files_naming(tmp_path, THEM) == told
