"""What the door reads: one submission, a batch, CloudEvents; everything or nothing."""

import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.kind import JSON, RefusedError
from klankbord_ingest.sources import parse_sources
from klankbord_ingest.submission import InteractionSubmission, PostSubmission
from klankbord_ingest.webhook import (
    CLOUD_EVENT,
    CLOUD_EVENT_BATCH,
    read,
    read_whole,
)
from klankbord_schemas.post import Post, PostReceived

FORUM = parse_sources(b"""
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}
sources:
  - {name: forum, community: demo, kind: webhook}
""").by_name["forum"]

POST = {"nativeId": "a", "published": "2026-11-20T10:00:00Z", "content": "Hello"}
LIKE = {"kind": "like", "object": "a", "published": "2026-11-20T10:00:00Z"}
EVENT = {"specversion": "1.0", "id": "1", "source": "/x", "type": "org.example.said", "data": POST}


def body(document: object) -> bytes:
    return json.dumps(document).encode()


def refused(content_type: str, raw: bytes) -> list[tuple[int | None, str, str]]:
    with pytest.raises(RefusedError) as caught:
        read_whole(content_type, raw, FORUM)
    return [(error.index, error.field, error.code) for error in caught.value.errors]


def test_a_body_is_one_post_or_one_interaction() -> None:
    assert read_whole(JSON, body(POST), FORUM) == [PostSubmission.model_validate(POST)]
    assert read_whole(JSON, body(LIKE), FORUM) == [InteractionSubmission.model_validate(LIKE)]


def test_a_conversion_is_a_click_with_the_name_of_its_goal() -> None:
    told = {
        "kind": "click",
        "name": "signup",
        "nativeId": "order-4711",
        "published": "2026-11-20T10:00:00Z",
        "campaign": "launch",
        "channel": "email",
        "referrer": "mail.example.org",
        "url": "https://example.org/join",
    }
    (alone,) = read_whole(JSON, body(told), FORUM)
    assert [alone] == read_whole(JSON, body({"interactions": [told]}), FORUM)
    assert isinstance(alone, InteractionSubmission)
    assert (alone.name, alone.campaign, alone.channel) == ("signup", "launch", "email")
    wrong = body(told | {"channel": "telepathy"})
    assert refused(JSON, wrong) == [(0, "channel", "unknown_value")]


def test_a_body_is_a_batch_of_posts_and_interactions() -> None:
    posts = [POST | {"nativeId": str(number)} for number in range(500)]
    read_back = read_whole(JSON, body({"posts": posts, "interactions": [LIKE]}), FORUM)
    assert [entry.native_id for entry in read_back] == [*map(str, range(500)), None]
    assert read_whole(JSON, body({"posts": []}), FORUM) == []


def test_a_body_is_a_cloud_event_or_a_batch_of_them() -> None:
    post = PostSubmission.model_validate(POST)
    assert read_whole(CLOUD_EVENT, body(EVENT), FORUM) == [post]
    assert read_whole(CLOUD_EVENT_BATCH, body([EVENT, EVENT]), FORUM) == [post, post]
    like = EVENT | {"type": "org.klankbord.interaction.received.v1", "data": LIKE}
    assert read_whole(CLOUD_EVENT, body(like), FORUM) == [
        InteractionSubmission.model_validate(LIKE)
    ]


def test_a_post_that_klankbord_published_keeps_its_version() -> None:
    post = Post(
        community="demo",
        source="forum",
        platform="forum",
        post="6d1f1a52-5f0b-5c0e-9a6e-0d8f6f3a7c11",
        native_id="a",
        operation="update",
        published=datetime(2026, 11, 20, tzinfo=UTC),
        published_trust="attested",
    )
    event = PostReceived.of(post, 7, datetime(2026, 11, 21, tzinfo=UTC))
    (submission,) = read_whole(CLOUD_EVENT, event.to_json(), FORUM)
    assert isinstance(submission, PostSubmission)
    assert submission.sequence == 7
    (foreign,) = read_whole(CLOUD_EVENT, body(EVENT | {"sequence": "7"}), FORUM)
    assert isinstance(foreign, PostSubmission)
    assert foreign.sequence is None


def test_one_wrong_row_refuses_the_whole_and_every_problem_is_told() -> None:
    rows = [POST, {"nativeId": "b"}, POST | {"operation": "x", "source": "other"}]
    document = {"posts": rows, "interactions": [LIKE, {"kind": "poke", "published": 0}]}
    assert refused(JSON, body(document)) == [
        (1, "published", "missing"),
        (2, "operation", "unknown_value"),
        (1, "interactions.kind", "unknown_value"),
    ]
    assert refused(JSON, body(POST | {"source": "other"})) == [(0, "source", "wrong_source")]


def test_where_rows_are_judged_one_by_one_the_rest_is_taken_in() -> None:
    handed = read(JSON, body({"posts": [POST, {"nativeId": "b"}, POST]}), FORUM)
    assert len(handed.submissions) == 2
    assert [(error.index, error.field) for error in handed.errors] == [(1, "published")]


@pytest.mark.parametrize(
    ("content_type", "raw", "code"),
    [
        (JSON, b"", "no_json"),
        (JSON, b"{", "no_json"),
        (JSON, b'{"a": "\xff"}', "no_json"),
        (JSON, b'{"content": "\\ud800"}', "no_json"),
        (JSON, b"[" * 100_000, "no_json"),
        (JSON, b'{"a":' * 1_000 + b"1" + b"}" * 1_000, "no_json"),
        (JSON, b"[]", "no_object"),
        (JSON, b'"posts"', "no_object"),
        (JSON, b'{"posts": {}}', "no_list"),
        (JSON, b'{"posts": null}', "no_list"),
        (JSON, body({"posts": [POST] * 501}), "too_many"),
        (JSON, body({"interactions": [LIKE] * 501}), "too_many"),
        (CLOUD_EVENT_BATCH, body(EVENT), "no_list"),
        (CLOUD_EVENT_BATCH, body([EVENT] * 501), "too_many"),
    ],
)
def test_a_body_that_is_none_is_refused_as_a_whole(
    content_type: str, raw: bytes, code: str
) -> None:
    assert [(index, told) for index, _, told in refused(content_type, raw)] == [(None, code)]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "id"),
        ({"source": None}, "source"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
        ({"data": "Hello"}, "data"),
        ({"data": {"nativeId": "a"}}, "data.published"),
    ],
)
def test_a_cloud_event_that_is_none_is_refused_with_its_field(
    changed: dict[str, object], field: str
) -> None:
    assert [told for _, told, _ in refused(CLOUD_EVENT, body(EVENT | changed))] == [field]


@given(
    st.sampled_from([JSON, CLOUD_EVENT, CLOUD_EVENT_BATCH]), st.binary() | st.text().map(str.encode)
)
def test_whatever_arrives_is_read_or_refused(content_type: str, raw: bytes) -> None:
    with suppress(RefusedError):
        submissions = read_whole(content_type, raw, FORUM)
        assert all(isinstance(one, PostSubmission | InteractionSubmission) for one in submissions)
