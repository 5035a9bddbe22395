"""The compiled matcher finds what a plain loop over the rules finds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_moderation.matcher import MAX_SPANS, Matcher
from klankbord_moderation.policy import Rule
from klankbord_runtime.plain_text import Span, fold

WORDS = st.text(st.sampled_from("ab"), min_size=2, max_size=4).filter(
    lambda word: "aaa" not in word and "bbb" not in word
)
PHRASES = st.lists(WORDS, min_size=1, max_size=2).map(" ".join)
TERMS = st.lists(st.tuples(PHRASES, st.sampled_from(["", "*"])).map("".join), max_size=4)
TEXTS = st.lists(st.one_of(WORDS, st.just("-"), st.just(".")), max_size=15).map(" ".join)


def rule(**parts: list[str]) -> Rule:
    named = {"id": "r", "label": "spam", "severity": "low", "mode": "live", "explanation": "x"}
    return Rule.model_validate({**named, **parts})


def spans(words: list[str], text: str) -> set[Span]:
    """Where words stand, by one regular expression after another."""
    found = set()
    for word in words:
        literal = re.escape(word.removesuffix("*"))
        ending = "" if word.endswith("*") else r"\b"
        found |= {match.span(1) for match in re.finditer(rf"(?=\b({literal}){ending})", text)}
    return found


def inside(span: Span, others: set[Span]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in others)


@given(terms=TERMS.filter(bool), exceptions=TERMS, text=TEXTS)
def test_it_finds_what_a_loop_of_regular_expressions_finds(
    terms: list[str], exceptions: list[str], text: str
) -> None:
    accused, exempt = spans(terms, text), spans(exceptions, text)
    outermost = {span for span in accused if not inside(span, accused - {span})}
    expected = sorted(span for span in outermost if not inside(span, exempt))

    broken = Matcher([rule(terms=terms, except_terms=exceptions)]).broken(fold(text))

    assert broken.get(0, []) == expected[:MAX_SPANS]


def test_each_rule_is_told_apart() -> None:
    rules = [rule(terms=["red"]), rule(patterns=["r.d"]), rule(terms=["blue"])]
    assert Matcher(rules).broken(fold("a red sky")) == {0: [(2, 5)], 1: [(2, 5)]}


def test_patterns_read_any_case_and_show_the_original() -> None:
    text = "Straße 12\n\nring  +31 6 12345678 now"
    (span,) = Matcher([rule(patterns=[r"\+\d{2}(?: ?\d){9}"])]).broken(fold(text))[0]
    assert text[slice(*span)] == "+31 6 12345678"
    assert Matcher([rule(patterns=["NL[0-9]"])]).broken(fold("nl9")) == {0: [(0, 3)]}


def test_patterns_see_through_disguises_too() -> None:
    text = "buy fr33 m0ney"
    (span,) = Matcher([rule(patterns=[r"free\s+money"])]).broken(fold(text))[0]
    assert text[slice(*span)] == "fr33 m0ney"


def test_an_exception_covers_patterns_as_well() -> None:
    matcher = Matcher(
        [rule(patterns=["kill [a-z]+"], except_terms=["kill switch", "kill the process"])]
    )
    assert matcher.broken(fold("use the kill switch")) == {}
    assert matcher.broken(fold("please kill the process")) == {}
    assert matcher.broken(fold("I kill you")) == {0: [(2, 10)]}


def test_of_very_many_hits_the_first_are_shown() -> None:
    (shown,) = Matcher([rule(terms=["spam"])]).broken(fold("spam " * 5000)).values()
    assert shown == [(at * 5, at * 5 + 4) for at in range(MAX_SPANS)]


def test_patterns_too_rich_for_one_automaton_are_still_all_found() -> None:
    rules = [rule(patterns=[rf"\b\w{{1,40}}[a-m]\w{{1,40}}x{number}\b"]) for number in range(60)]
    broken = Matcher(rules).broken(fold("hallo wereldbolx7 en meerbolx42"))
    assert set(broken) == {7, 42}


@pytest.mark.parametrize("count", [1, 10, 10_000])
def test_any_number_of_terms_finds_the_same(count: int) -> None:
    terms = [f"term{number}x" for number in range(count)]
    assert Matcher([rule(terms=terms)]).broken(fold("a term0x b")) == {0: [(2, 8)]}


def test_no_rules_find_nothing() -> None:
    assert Matcher([]).broken(fold("fr33 spaaam s.p.a.m")) == {}
