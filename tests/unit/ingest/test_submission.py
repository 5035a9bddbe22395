"""What is handed in: read kindly, refused with reasons."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from klankbord_ingest.markup import plain_text, sanitised
from klankbord_ingest.sources import parse_sources
from klankbord_ingest.submission import (
    InteractionSubmission,
    PostSubmission,
    field_errors,
    misplaced,
)
from klankbord_schemas.post import Post

PUBLISHED = "2026-11-20T10:00:00Z"
SOURCES = parse_sources(b"""
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}
sources:
  - {name: forum, community: demo, kind: webhook, platform: forum.example.org}
""")
FORUM = SOURCES.by_name["forum"]
ARCHIVE = SOURCES.importing("archive", "demo")


def read(**fields: object) -> PostSubmission:
    given = {"nativeId": "a", "published": PUBLISHED} | fields
    return PostSubmission.model_validate_json(json.dumps(given))


def refused(**fields: object) -> dict[str, tuple[str, str]]:
    """By field, the code and the reason."""
    with pytest.raises(ValidationError) as caught:
        read(**fields)
    return {error.field: (error.code, error.why) for error in field_errors(caught.value, 3)}


def test_an_event_of_klankbords_own_is_a_submission() -> None:
    post = Post(
        community="demo",
        source="forum",
        platform="forum.example.org",
        post="6d1f1a52-5f0b-5c0e-9a6e-0d8f6f3a7c11",
        native_id="42",
        operation="update",
        attributed_to="p-" + "a" * 32,
        in_reply_to="41",
        context="40",
        published=datetime(2026, 11, 20, tzinfo=UTC),
        published_trust="attested",
        updated=datetime(2026, 11, 21, tzinfo=UTC),
        name="Title",
        content="Hello",
        content_html="<p>Hello</p>",
        language="nl",
        tag=["news"],
    )
    submission = PostSubmission.model_validate_json(post.model_dump_json(by_alias=True))
    same = set(PostSubmission.model_fields) & set(Post.model_fields) - {"attributed_to"}
    assert {name: getattr(submission, name) for name in same} == {
        name: getattr(post, name) for name in same
    }
    assert submission.attributed_to is not None
    assert submission.attributed_to.id == post.attributed_to


def test_the_least_there_is_to_say() -> None:
    submission = PostSubmission.model_validate_json('{"id": 42, "published": 1795339800}')
    assert submission.native_id == "42"
    assert submission.operation == "create"
    assert submission.published == datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def test_only_a_delete_needs_no_moment() -> None:
    assert read(operation="delete", published=None).published is None
    code, why = refused(published=None)["published"]
    assert (code, why) == ("missing", "is missing; write when it was, such as 2026-11-22T09:30:00Z")


def test_an_author_is_an_id_or_an_activitystreams_actor() -> None:
    assert (
        read(attributedTo="anna").attributed_to == read(attributedTo={"id": "anna"}).attributed_to
    )
    actor = read(
        attributedTo={
            "id": 7,
            "type": "Service",
            "name": "Helper",
            "preferredUsername": "helper",
            "icon": {"type": "Image", "url": "https://example.org/helper.png"},
        }
    ).attributed_to
    assert actor is not None
    assert actor.is_automated
    assert actor.is_described
    assert (actor.id, actor.icon) == ("7", "https://example.org/helper.png")


def test_tags_are_words_or_activitystreams_objects_and_a_mention_is_none() -> None:
    given = [
        "#news",
        "launch",
        {"type": "Hashtag", "name": "#sv"},
        {"type": "Mention", "name": "x"},
    ]
    assert read(tag=given).tag == ["news", "launch", "sv"]


@pytest.mark.parametrize(("given", "read_as"), [("en_US", "en-US"), ("", None), (" nl ", "nl")])
def test_languages_are_read_as_platforms_write_them(given: str, read_as: str | None) -> None:
    assert read(language=given).language == read_as


def test_html_is_made_harmless_and_gives_the_text_where_there_is_none() -> None:
    acting = '<p onclick="x()">Tom &amp; Jo</p><script>alert(1)</script>'
    markup = f"{acting}<ul><li>one</li><li>two</li></ul>"
    submission = read(contentHtml=markup)
    assert submission.content_html == "<p>Tom &amp; Jo</p><ul><li>one</li><li>two</li></ul>"
    assert submission.text == "Tom & Jo\none\ntwo"
    assert read(contentHtml=markup, content="said so").text == "said so"


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"nativeId": None}, "nativeId", "invalid"),
        ({"nativeId": ""}, "nativeId", "empty"),
        ({"nativeId": "a\0"}, "nativeId", "nul"),
        ({"nativeId": "x" * 501}, "nativeId", "too_long"),
        ({"nativeId": True}, "nativeId", "invalid"),
        ({"operation": "upsert"}, "operation", "unknown_value"),
        ({"published": "2026-11-20T10:00:00"}, "published", "no_time_zone"),
        ({"published": "yesterday"}, "published", "no_moment"),
        ({"published": "1969-12-31T23:59:59Z"}, "published", "before_1970"),
        ({"published": "0001-01-01T00:00:00+14:00"}, "published", "invalid"),
        ({"updated": "9999-12-31T23:59:59-14:00"}, "updated", "invalid"),
        ({"published": 1e999}, "published", "no_moment"),
        ({"sequence": -1}, "sequence", "invalid"),
        ({"sequence": 2**63}, "sequence", "invalid"),
        ({"sequence": "third"}, "sequence", "invalid"),
        ({"content": "a\0b"}, "content", "nul"),
        ({"content": "x" * 100_001}, "content", "too_long"),
        ({"content": ["a"]}, "content", "invalid"),
        ({"contentHtml": "&" * 30_000}, "contentHtml", "too_long"),
        ({"content": "\x01" * 90_000, "contentHtml": "\x01" * 90_000}, "", "too_long"),
        ({"tag": ["x"] * 101}, "tag", "too_many"),
        ({"tag": [5]}, "tag.0", "invalid"),
        ({"language": "the Dutch one"}, "language", "malformed"),
        ({"attributedTo": {"name": "Anna"}}, "attributedTo.id", "missing"),
        ({"attributedTo": ["anna"]}, "attributedTo", "invalid"),
        ({"community": "Demo Community"}, "community", "malformed"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(
    fields: dict[str, object], field: str, code: str
) -> None:
    assert refused(**fields)[field][0] == code


def test_reasons_tell_what_to_do() -> None:
    told = refused(published="2026-11-20T10:00:00", operation="upsert", name="x" * 2001)
    assert told["published"][1] == (
        "has no time zone; write when it was, such as 2026-11-22T09:30:00Z"
    )
    assert told["operation"][1] == "is 'upsert', none of 'create', 'update' or 'delete'"
    assert told["name"][1] == "is longer than 2000 characters; shorten it"


def test_a_missing_id_is_missing() -> None:
    with pytest.raises(ValidationError) as caught:
        PostSubmission.model_validate_json('{"published": 1795339800}')
    (error,) = field_errors(caught.value, 0)
    assert (error.index, error.field, error.code) == (0, "nativeId", "missing")


def test_a_webhook_speaks_for_its_own_source_alone() -> None:
    own = read(community="demo", source="forum", platform="forum.example.org")
    assert list(misplaced(own, FORUM, 0)) == []
    other = read(community="other", source="blog", platform="blog.example.org")
    told = {error.field: error.code for error in misplaced(other, FORUM, 0)}
    assert told == {
        "community": "wrong_community",
        "source": "wrong_source",
        "platform": "wrong_platform",
    }


def test_an_import_may_bring_in_any_source_and_platform_of_its_community() -> None:
    assert list(misplaced(read(source="blog", platform="blog.example.org"), ARCHIVE, 0)) == []
    (error,) = misplaced(read(community="other"), ARCHIVE, 7)
    assert (error.index, error.field) == (7, "community")
    assert "'demo'" in error.why


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"kind": "poke"}, "kind", "unknown_value"),
        ({"published": None}, "published", "no_moment"),
        ({"object": ""}, "object", "empty"),
    ],
)
def test_an_interaction_is_judged_likewise(
    fields: dict[str, object], field: str, code: str
) -> None:
    given = {"kind": "like", "published": PUBLISHED, "object": 42, "attributedTo": "anna"}
    assert InteractionSubmission.model_validate(given).object == "42"
    with pytest.raises(ValidationError) as caught:
        InteractionSubmission.model_validate(given | fields)
    assert {error.field: error.code for error in field_errors(caught.value)}[field] == code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = [field.alias or name for name, field in PostSubmission.model_fields.items()]


@given(st.dictionaries(st.sampled_from([*FIELDS, "nativeId", "id"]), JSON))
def test_whatever_is_handed_in_is_read_or_refused_with_reasons(
    given_fields: dict[str, object],
) -> None:
    for model in (PostSubmission, InteractionSubmission):
        try:
            model.model_validate(given_fields)
        except ValidationError as error:
            told = field_errors(error, 0)
            assert told
            assert all(problem.why and problem.code for problem in told)


PIECES = (
    "<script>",
    "</script>",
    "<img src=x onerror=y>",
    "<svg/onload=z>",
    "<a href='javascript:x'>",
    "<style>",
    "<!--",
    "<p>",
    "<br>",
    "&lt;",
    "&#0;",
    "&#xD800;",
    "a",
)
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


@given(HOSTILE | st.text())
def test_no_html_keeps_what_acts_and_its_text_can_be_stored(markup: str) -> None:
    harmless = sanitised(markup).lower()
    assert not any(sign in harmless for sign in ("<script", "onerror=", "onload=", "javascript:"))
    text = plain_text(markup.replace("\0", ""))
    assert "\0" not in text
    text.encode()


def test_html_that_nests_too_deep_is_refused_and_much_of_it_is_not() -> None:
    assert refused(contentHtml="<div>" * 300)["contentHtml"][0] == "too_deep"
    assert read(contentHtml="<div>a</div>" * 300).text.count("a") == 300
    assert read(contentHtml="<p>a<br>" * 300).text.count("a") == 300
