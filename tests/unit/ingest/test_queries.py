"""Saved queries: what finds which post, and by which words."""

from datetime import UTC, datetime
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.query.file import NOTHING, Query, parse_queries
from klankbord_ingest.query.matcher import MAX_FOUND, QuerySet, Term
from klankbord_ingest.query.reading import _bare, origins, read
from klankbord_runtime.accepted import Refused
from klankbord_runtime.plain_text import folded_characters, is_within_word
from klankbord_runtime.whitespace import single_spaced
from klankbord_schemas import Post, post_identity

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHOR = "p-" + "1" * 32


def post(content: str = "", **more: Any) -> Post:
    said = {
        "community": "acme", "source": "forum", "platform": "forum.example", "native_id": "1",
        "post": post_identity("acme", "forum.example", "1"), "operation": "create",
        "attributed_to": AUTHOR, "published": NOON, "published_trust": "attested",
        "content": content, "language": "en",
    }  # fmt: skip
    return Post.model_validate(said | more)


def found(queries: str, said: Post) -> list[str]:
    """The names of the queries that find it."""
    return [match.query for match in QuerySet.read(queries.encode()).matches(said, 1)]


def one(**asked: Any) -> QuerySet:
    return QuerySet([Query.model_validate({"name": "one"} | asked)])


class TestWhatIsFound:
    @pytest.mark.parametrize(
        ("word", "text"),
        [
            ("outage", "An OUTAGE, again"),
            ("outage*", "Outages everywhere"),
            ("is down", "The site is\n  down"),
            ("cafe", "le CAFÉ"),
            ("privé", "mijn prive account"),
            ("prijs", "de p\u0301rijs"),  # an accent that no letter has
            ("café", "cafe\u0301"),  # typed in two
            ("strasse", "Straße"),
            ("ﬁnance", "finance"),
            ("don't", "I don’t"),
            ("wachtwoord", "wacht\u00adwoord"),  # a soft hyphen
            ("ёлка", "елка"),
            ("Ἀθῆναι", "ΑΘΗΝΑΙ"),
            ("c++", "In C++, always"),
            ("#storing", "Weer #Storing!"),
            ("停機", "現在停機中"),  # no spaces between words
            ("서울", "서울 간다"),
            ("हिन्दी", "यह हिन्दी है"),
            ("👍", "goed 👍🏽"),
        ],
    )
    def test_a_word_is_found(self, word: str, text: str) -> None:
        assert list(one(any=[word]).matches(post(text), 1)), read(text)

    @pytest.mark.parametrize(
        ("word", "text"),
        [
            ("outage", "outages"),
            ("age", "outage"),
            ("is down", "this download"),
            ("мои", "мой"),  # another letter, not an accent
            ("か", "が"),
            ("서", "서울"),
            ("हिन", "हिन्दी"),  # a vowel sign goes on with the word
            ("in", "én 1n"),
        ],
    )
    def test_a_part_of_a_word_or_another_one_is_not(self, word: str, text: str) -> None:
        assert not list(one(any=[word]).matches(post(text), 1)), read(text)

    def test_any_all_and_none(self) -> None:
        asked = one(any=["down", "offline"], all=["site", "again"], none=["planned"])

        def is_found(text: str) -> bool:
            return bool(list(asked.matches(post(text), 1)))

        assert is_found("The site is offline again")
        assert not is_found("The site is offline")
        assert not is_found("The site is slow again")
        assert not is_found("The site is down again, as planned")

    def test_the_title_is_read_too_and_no_phrase_goes_over_its_end(self) -> None:
        asked = one(all=["very slow", "site"])
        assert list(asked.matches(post("It is very slow", name="The site"), 1))
        assert not list(asked.matches(post("slow site", name="very"), 1))

    def test_where_it_listens(self) -> None:
        text = (
            "queries:\n- {name: q, any: [down], communities: [acme], sources: [forum, chat],"
            " languages: [nl, und], authors: people}"
        )
        said = post("It is down", language="nl-BE")
        assert found(text, said) == ["q"]
        assert found(text, said.model_copy(update={"language": "und"})) == ["q"]
        for other in (
            {"community": "other"}, {"source": "blog"}, {"language": "de"}, {"is_automated": True},
        ):  # fmt: skip
            assert found(text, said.model_copy(update=other)) == []
        assert found(text.replace("people", "bots"), said) == []
        bot = said.model_copy(update={"is_automated": True})
        assert found(text.replace("people", "bots"), bot) == ["q"]
        assert found(text.replace("people", "everyone"), bot) == ["q"]

    def test_a_deleted_post_matches_nothing(self) -> None:
        gone = post("down", operation="delete")
        assert not list(one(any=["down"]).matches(gone, 2))

    def test_a_match_points_to_the_post_and_quotes_the_words_where_they_stand(self) -> None:
        said = post("Hélàs… it is\n DOWN", name="Ｄｏｗｎ", url="https://forum.example/1")
        (match,) = one(any=["is down", "down"], all=["helas"]).matches(said, 7)
        assert (match.post, match.post_sequence, match.attributed_to) == (said.post, 7, AUTHOR)
        assert [(it.term, it.field, it.start, it.end, it.text) for it in match.found] == [
            ("down", "name", 0, 4, "Ｄｏｗｎ"),
            ("helas", "content", 0, 5, "Hélàs"),
            ("is down", "content", 10, 18, "is\n DOWN"),
            ("down", "content", 14, 18, "DOWN"),
        ]

    def test_many_places_are_told_in_part(self) -> None:
        (match,) = one(any=["down"]).matches(post("down " * 1000), 1)
        assert len(match.found) == MAX_FOUND


class TestTheFile:
    def test_the_one_that_is_shipped_asks_for_nothing_and_its_examples_are_good(self) -> None:
        body = files("klankbord_ingest").joinpath("queries.yaml").read_bytes()
        assert parse_queries(body) == parse_queries(NOTHING) == ()
        lines = body.decode().partition("queries: []\n")[2].splitlines()
        examples = "queries:\n" + "\n".join(line.removeprefix("#") for line in lines)
        assert [query.name for query in parse_queries(examples.encode())] == ["outage", "prices"]

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("queries: [{name: q}]", "write words under any, or under all"),
            ("queries: [{name: q, none: [x]}]", "looks for nothing"),
            ("queries: [{name: q, any: [x]}, {name: q, any: [y]}]", "the name of queries"),
            ("queries: [{name: Q!, any: [x]}]", "name"),
            ("queries: [{name: q, any: ['*']}]", "nothing is left"),
            ("queries: [{name: q, any: [a*b]}]", "before its end"),
            ("queries: [{name: q, any: [x], languages: [Dutch]}]", "is no language"),
            ("queries: [{name: q, anny: [x]}]", "anny"),
            ("queries: [{name: q, any: [x], authors: robots}]", "authors"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_line(self, text: str, told: str) -> None:
        with pytest.raises(Refused, match="line 1") as refused:
            parse_queries(text.encode())
        assert told in str(refused.value)

    def test_a_revision_is_what_is_asked_for_in_whatever_order(self) -> None:
        (first, second, third) = (
            Query(name="q", any=words) for words in (("a", "b"), ("b", "a"), ("a", "b", "c"))
        )
        assert first.revision == second.revision
        assert first.revision != third.revision
        assert first.revision != Query(name="q", all=("a", "b")).revision
        assert first.revision != Query(name="q", any=("a", "b"), authors="bots").revision

    def test_one_is_taken_by_its_name(self) -> None:
        both = QuerySet([Query(name="a", any=("x",)), Query(name="b", any=("y",))])
        assert [query.name for query in both.only("b").queries] == ["b"]
        with pytest.raises(KeyError):
            both.only("c")


# -- against a naive matcher ----------------------------------------------------------------------

ALPHABET = st.sampled_from(
    ["a", "b", "A", "é", "e", "e\u0301", " ", "  ", "\n", "-", "'", "’", "ß", "ss", "İ", "の", "停",
     "が", "か", "й", "и", "\u0306", "\u00ad", "1", "ﬁ", "fi", "한", "\u1112\u1161", "ह", "ि", "´"]
)  # fmt: skip
TEXTS = st.lists(ALPHABET, max_size=25).map("".join)
WORDS = (
    st.lists(ALPHABET, min_size=1, max_size=3)
    .map("".join)
    .flatmap(lambda word: st.sampled_from([word, word + "*"]))
    .filter(lambda word: bool(read(word.removesuffix("*"))))
)
SOME = st.lists(WORDS, max_size=3).map(tuple)
QUERIES = st.builds(
    lambda any_, all_, none: Query.model_construct(name="q", any=any_, all=all_, none=none),
    SOME,
    SOME,
    SOME,
).filter(lambda query: bool(query.any or query.all))


def naively(query: Query, said: Post) -> bool:
    """Look for each word at each place."""

    def stands(written: str) -> bool:
        term = Term.of(written)
        return any(
            text.startswith(term.text, at)
            and not is_within_word(text, at)
            and (term.is_beginning or not is_within_word(text, at + len(term.text)))
            for text in (read(said.name or ""), read(said.content))
            for at in range(len(text) + 1)
        )

    return (
        all(map(stands, query.all))
        and (not query.any or any(map(stands, query.any)))
        and not any(map(stands, query.none))
    )


@given(st.lists(QUERIES, max_size=6), TEXTS, TEXTS)
def test_all_at_once_finds_what_looking_for_each_at_each_place_finds(
    queries: list[Query], name: str, content: str
) -> None:
    named = [query.model_copy(update={"name": f"q{at}"}) for at, query in enumerate(queries)]
    said = post(content, name=name)
    matches = list(QuerySet(named).matches(said, 1))
    assert [match.query for match in matches] == [q.name for q in named if naively(q, said)]
    for match in matches:
        for place in match.found:
            text = said.content if place.field == "content" else said.name or ""
            assert place.text == text[place.start : place.end]
            assert Term.of(place.term).text in read(place.text)


@given(st.lists(st.one_of(ALPHABET, st.text(max_size=3)), max_size=12).map("".join))
def test_every_character_that_is_read_stands_somewhere_in_the_text(text: str) -> None:
    places = origins(text)
    assert len(places) == len(read(text))
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert all(first[0] <= then[0] for first, then in pairwise(places))
    one_by_one = [span for char, *span in folded_characters(text) for _ in _bare(char)]
    assert list(map(list, places)) == one_by_one


@given(st.lists(ALPHABET, max_size=25).map("".join))
def test_reading_what_was_read_changes_nothing_more(text: str) -> None:
    once, twice = read(text), read(read(text))
    assert single_spaced(twice) == single_spaced(once)  # an accent on nothing leaves its place
