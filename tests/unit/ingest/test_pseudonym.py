"""Who someone is, without the name."""

import hashlib
import hmac
import re

from hypothesis import assume, given
from hypothesis import strategies as st

from klankbord_ingest.facts import author_of, mentioned_in, named_author_of
from klankbord_ingest.pseudonym import is_pseudonym, pseudonym
from klankbord_ingest.sources import parse_sources
from klankbord_ingest.submission import PostSubmission

KEY = bytes(range(32))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1f\x00"), min_size=1)


def test_it_is_the_hmac_of_platform_and_native_id() -> None:
    expected = hmac.new(KEY, b"forum.example.org\x1fanna", hashlib.sha256).hexdigest()[:32]
    assert pseudonym(KEY, "forum.example.org", "anna") == f"p-{expected}"


@given(NAMES, NAMES)
def test_it_looks_like_one_and_is_kept_when_it_is_one(platform: str, native_id: str) -> None:
    made = pseudonym(KEY, platform, native_id)
    assert re.fullmatch("p-[0-9a-f]{32}", made)
    assert is_pseudonym(made)
    assert pseudonym(KEY, "anywhere", made) == made


@given(NAMES, NAMES, NAMES, NAMES)
def test_two_authors_are_two(
    platform: str, native_id: str, other_platform: str, other_id: str
) -> None:
    assume((platform, native_id) != (other_platform, other_id))
    assert pseudonym(KEY, platform, native_id) != pseudonym(KEY, other_platform, other_id)


def test_another_key_gives_another_pseudonym() -> None:
    assert pseudonym(KEY, "forum", "anna") != pseudonym(bytes(32), "forum", "anna")


SOURCES = """
communities:
  - {slug: demo, name: Demo, time_zone: UTC, languages: [en]}
sources:
  - {name: blog, community: demo, kind: feed, url: 'https://example.org/comments'}
  - {name: forum, community: demo, kind: webhook, platform: forum.example.org}
"""


def test_nobody_on_a_platform_speaks_as_a_member_by_calling_themselves_by_their_pseudonym() -> None:
    sources = parse_sources(SOURCES.encode())
    anna = pseudonym(KEY, "forum.example.org", "anna")
    said = PostSubmission.model_validate(
        {
            "nativeId": "1",
            "published": "2026-11-22T12:00:00Z",
            "attributedTo": {"id": anna, "name": anna},
            "mention": [anna],
        }
    )
    blog, forum = sources.by_name["blog"], sources.by_name["forum"]
    stranger = author_of(said, blog, KEY)
    assert stranger != anna
    assert named_author_of(said, blog, KEY) == stranger
    assert mentioned_in(said, blog, KEY) == [stranger]
    for own in (forum, sources.importing("blog", "demo")):
        assert author_of(said, own, KEY) == anna
        assert named_author_of(said, own, KEY) is None
        assert mentioned_in(said, own, KEY) == [anna]
