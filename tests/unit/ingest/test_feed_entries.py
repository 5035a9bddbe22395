"""An entry becomes a post: with a lasting id, a whole address, and an edit only if it is one."""

from datetime import UTC, datetime, timedelta

import pytest

from klankbord_ingest.feeds.document import FeedDocument, FeedEntry
from klankbord_ingest.feeds.entries import base_of, submissions, unwrapped
from klankbord_ingest.submission import PostSubmission

HEARD = datetime(2026, 11, 22, 12, tzinfo=UTC)
URL = "https://forum.example.org/latest.rss"


def post_of(entry: FeedEntry) -> PostSubmission:
    (post,), refused = submissions(FeedDocument(entries=(entry,)), URL, HEARD)
    assert refused == []
    return post


def test_the_feeds_own_id_comes_first_then_the_link_then_the_words() -> None:
    words = FeedEntry(title="Hi", content="there")
    linked = words.model_copy(update={"link": "/t/7"})
    named = linked.model_copy(update={"id": "7"})
    assert post_of(named).native_id == "7"
    assert post_of(linked).native_id == "https://forum.example.org/t/7"
    assert post_of(words).native_id.startswith("sha256:")
    assert post_of(words) == post_of(words)


def test_an_id_longer_than_an_id_may_be_is_replaced_by_its_digest() -> None:
    assert post_of(FeedEntry(id="x" * 501)).native_id.startswith("sha256:")


def test_an_entry_without_a_date_is_taken_to_be_written_when_it_was_heard() -> None:
    assert post_of(FeedEntry(id="7")).published == HEARD


def test_only_a_later_time_of_change_makes_an_edit() -> None:
    written = HEARD - timedelta(days=1)
    first = post_of(FeedEntry(id="7", published=written, updated=written))
    edited = post_of(FeedEntry(id="7", published=written, updated=HEARD))
    assert (first.operation, first.updated) == ("create", None)
    assert (edited.operation, edited.updated) == ("update", HEARD)


def test_the_second_entry_of_an_id_is_refused_and_counted() -> None:
    twice = FeedDocument(entries=(FeedEntry(id="7", content="a"), FeedEntry(id="7", content="b")))
    posts, refused = submissions(twice, URL, HEARD)
    assert [post.content for post in posts] == ["a"]
    assert [(error.index, error.code) for error in refused] == [(1, "same_id")]


def test_an_entry_that_is_no_post_does_not_keep_the_others_out() -> None:
    entries = (FeedEntry(id="1", content="x" * 100_001), FeedEntry(id="2"))
    posts, refused = submissions(FeedDocument(entries=entries), URL, HEARD)
    assert [post.native_id for post in posts] == ["2"]
    assert [(error.index, error.field, error.code) for error in refused] == [
        (0, "content", "too_long")
    ]


@pytest.mark.parametrize("language", ["?", "een taal", "n"])
def test_a_language_that_is_none_is_left_to_be_found_out(language: str) -> None:
    assert post_of(FeedEntry(id="7", language=language)).language is None


def test_a_link_that_is_no_address_is_left_out() -> None:
    assert post_of(FeedEntry(id="7", link="http://[::1")).url is None


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (
            "https://www.google.com/url?rct=j&sa=t&url=https://blog.example.org/a%3Fb%3D1&ct=ga",
            "https://blog.example.org/a?b=1",
        ),
        ("https://www.google.com/url?q=https://example.org/x", "https://example.org/x"),
        ("https://www.google.com/url?url=javascript:alert(1)",) * 2,
        ("https://www.google.evil.example/url2?url=https://x.example",) * 2,
        ("https://example.org/url?url=https://x.example",) * 2,
    ],
)
def test_links_of_google_alerts_lead_straight_to_the_page(link: str, expected: str) -> None:
    assert unwrapped(link) == expected


def test_an_id_that_begins_at_the_root_of_a_host_is_made_whole() -> None:
    assert post_of(FeedEntry(id="/t/7")).native_id == "https://forum.example.org/t/7"


@pytest.mark.parametrize(
    ("given", "base"),
    [
        (None, URL),
        ("/en/latest.rss", "https://forum.example.org/en/latest.rss"),
        ("https://www.example.org/", "https://www.example.org/"),
        ("file:///etc/passwd", URL),
        ("http://[", URL),
    ],
)
def test_links_are_relative_to_what_the_server_says_it_gave(given: str | None, base: str) -> None:
    assert base_of(URL, {} if given is None else {"content-location": given}) == base
