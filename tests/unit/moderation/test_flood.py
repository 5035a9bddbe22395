"""Repeats and link floods: counted by author and window, the same in every order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_moderation.flood import Sighting, Sightings, key
from klankbord_moderation.judge import Heard, Judge
from klankbord_moderation.links import links_in
from klankbord_schemas import Label, Post, PostReceived, post_identity

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = b"""
repeats:
  - id: by-one
    label: spam
    severity: medium
    mode: live
    explanation: Again.
    by: author
    count: 3
    window: 1h
    min_length: 10
  - id: by-many
    label: spam
    severity: high
    mode: live
    explanation: Again.
    by: several-authors
    count: 3
    window: 1h
    min_length: 20
links:
  - id: many
    label: link-flood
    severity: low
    mode: live
    explanation: Links.
    same: post
    count: 3
    allowed_domains: [good.example]
  - id: site
    label: link-flood
    severity: low
    mode: live
    explanation: Links.
    same: domain
    count: 2
    window: 1h
    allowed_domains: [good.example]
  - id: page
    label: link-flood
    severity: critical
    mode: shadow
    explanation: Links.
    same: url
    count: 2
    window: 1h
"""


def author(number: int) -> str:
    return f"p-{number:032x}"


def said(
    content: str, by: int | None = 1, minutes: int = 0, name: str = "1", **more: object
) -> PostReceived:
    moment = NOON + timedelta(minutes=minutes)
    post = Post.model_validate(
        {
            "community": "acme", "source": "forum", "platform": "forum", "native_id": name,
            "post": post_identity("acme", "forum", name), "operation": "create",
            "published": moment, "published_trust": "attested", "content": content,
            "attributed_to": None if by is None else author(by), **more,
        }
    )  # fmt: skip
    return PostReceived.of(post, 1, moment)


def labels(*posts: PostReceived) -> list[list[str]]:
    """The rules that each post broke, judged one after another."""
    judge, sightings = Judge.read(POLICY), Sightings()
    return [[label.rule for label in judged(judge, judge.hear(post), sightings)] for post in posts]


def judged(judge: Judge, heard: Heard, sightings: Sightings) -> list[Label]:
    for one in heard.keys:
        sightings.add(heard.sighting(one))
    return judge.labels(heard, sightings)


def test_an_author_who_says_the_same_is_noticed_from_the_count_on() -> None:
    posts = [said("Buy my lamps", minutes=n) for n in range(4)]
    assert labels(*posts) == [[], [], ["by-one"], ["by-one"]]


def test_the_same_in_other_spelling_is_the_same() -> None:
    posts = [said("Buy my lamps"), said("  BUY  MY\nLAMPS "), said("ｂｕｙ my\u200b lamps")]
    assert labels(*posts)[-1] == ["by-one"]


@pytest.mark.parametrize(
    "posts",
    [
        [said("Buy my lamps", minutes=n * 61) for n in range(4)],
        [said("Buy my lamps", by=n % 2) for n in range(4)],
        [said("thanks!") for _ in range(9)],
        [said("Buy my lamps", by=None) for _ in range(9)],
        [said("Buy my lamps", is_automated=True) for _ in range(9)],
        [said("Buy my lamps", community=f"c{n}") for n in range(9)],
        [said(f"Buy {n} of my lamps") for n in range(9)],
    ],
    ids=["far apart", "two authors", "short", "nobody", "a bot", "communities", "texts"],
)
def test_what_is_no_repeat_is_left_alone(posts: list[PostReceived]) -> None:
    assert labels(*posts) == [[] for _ in posts]


def test_several_authors_who_say_the_same_are_noticed() -> None:
    text = "Everyone should buy these lamps"
    assert labels(*(said(text, by=n) for n in (1, 2, 2, 3))) == [[], [], [], ["by-many"]]


@given(
    st.lists(st.integers(0, 59), min_size=3, max_size=8).flatmap(
        lambda minutes: st.tuples(st.just(minutes), st.permutations(minutes))
    )
)
def test_as_many_repeats_are_noticed_in_every_order(orders: tuple[list[int], list[int]]) -> None:
    """All within one window: the count is reached by all but the first two that are heard."""
    for minutes in orders:
        broken = labels(*(said("Buy my lamps", minutes=minute) for minute in minutes))
        assert broken == [[], [], *(["by-one"] for _ in minutes[2:])]


def test_links_in_one_post_are_counted_once_each_and_shown() -> None:
    judge = Judge.read(POLICY)
    text = (
        "a.example? http://a.example/1, https://www.a.example/1 http://b.example (www.c.example)."
    )
    heard = judge.hear(said(text))
    (label,) = judge.labels(heard, Sightings())
    assert label.rule == "many"
    assert [text[e.start : e.end] for e in label.evidence] == [
        "http://a.example/1",
        "https://www.a.example/1",
        "http://b.example",
        "www.c.example",
    ]
    allowed = said("http://a.example http://b.example https://x.good.example/1")
    assert labels(allowed) == [[]]


def test_an_author_who_links_to_the_same_site_or_page_is_noticed() -> None:
    posts = [
        said("see https://shop.example/1"),
        said("and http://www.shop.example/2"),
        said("and shop.example/1, no link"),
        said("or https://shop.example/1#top", by=2),
        said("or https://SHOP.example/1/ again"),
        said("https://good.example/1"),
        said("http://good.example/1/"),
    ]
    assert labels(*posts) == [[], ["site"], [], [], ["site", "page"], [], ["page"]]


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("see https://A.example/Path?q=1#x.", ["a.example/Path?q=1"]),
        ("<https://a.example/>", ["a.example"]),
        ("http://user:secret@a.example:8080/b", ["a.example/b"]),
        ("mail me@www.example.org or x.www.y", []),
        ("www.example.org!", ["example.org"]),
        ("http:// https://", []),
        ("no links at all", []),
        ("http://[::1]/x", []),
    ],
)
def test_links_are_read_where_they_stand(text: str, urls: list[str]) -> None:
    assert [link.url for link in links_in(text)] == urls


def test_keys_are_stable_and_fit_a_bigint() -> None:
    assert key("text", "acme", "hello") == key("text", "acme", "hello")
    assert key("a", "bc") != key("ab", "c")
    assert all(-(2**63) <= key(str(n)) < 2**63 for n in range(1000))


def test_sightings_far_apart_in_time_are_apart() -> None:
    sightings = Sightings(Sighting(1, "a", NOON + n * HOUR) for n in (-2, -1, 0, 1, 2))
    assert sightings.posts(Sighting(1, "a", NOON), HOUR) == 3
    assert sightings.authors(Sighting(1, None, NOON), HOUR) == 1
    assert sightings.posts(Sighting(2, "a", NOON), HOUR) == 0
