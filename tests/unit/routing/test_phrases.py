import string
import sys

from hypothesis import given
from hypothesis import strategies as st

from klankbord_routing.phrases import Phrases
from klankbord_routing.plain import Plain


def words(phrases: list[str], text: str) -> list[str]:
    return [text[found.start : found.end] for found in Phrases(phrases).find(text)]


def test_whole_words_are_found() -> None:
    assert words(["bug"], " a bug, debugged. bug ") == ["bug", "bug"]


def test_a_prefix_finds_longer_words_whole() -> None:
    assert words(["crash*"], " crash crashes scrash ") == ["crash", "crashes"]


def test_a_phrase_within_a_longer_one_is_left_out() -> None:
    assert words(["bug", "not a bug"], " this is not a bug, but that is a bug ") == [
        "not a bug",
        "bug",
    ]


def test_phrases_that_only_overlap_are_both_found() -> None:
    assert words(["please add", "add support"], " please add support ") == [
        "please add",
        "add support",
    ]


def test_two_phrases_that_find_the_same_words_both_count() -> None:
    assert len(Phrases(["crash", "crash*"]).find(" crash ")) == 2


@given(
    st.lists(st.text("ab ", min_size=1, max_size=4).map(str.strip).filter(bool), min_size=1),
    st.text("ab .", max_size=40),
)
def test_what_is_found_stands_there_as_whole_words_and_nothing_lies_within_another(
    phrases: list[str], text: str
) -> None:
    text = f" {text} "
    spans = []
    for found in Phrases(phrases).find(text):
        assert text[found.start : found.end] == phrases[found.phrase]
        assert not text[found.start - 1].isalnum()
        assert not text[found.end].isalnum()
        spans.append((found.start, found.end))
    for one in spans:
        assert not any(
            other != one and other[0] <= one[0] and one[1] <= other[1] for other in spans
        )


@given(st.text(string.printable + "äöåßéı’😀", max_size=300), st.none() | st.text(max_size=30))
def test_any_text_becomes_words_between_spaces(content: str, name: str | None) -> None:
    plain = Plain.of(name, content)
    assert plain.words[0] == plain.words[-1] == " "
    assert plain.words.strip() == " ".join(plain.words.split())
    assert plain.is_empty == (not plain.has_code and not any(c.isalnum() for c in plain.words))


def test_any_white_space_between_words_becomes_one_space() -> None:
    for blank in filter(str.isspace, map(chr, range(sys.maxunicode + 1))):
        for between in (blank, f" {blank}", blank + blank):
            assert Plain.of(None, f"{between}a{between}b{between}").words == " a b "
