"""A reading and the way back to the original agree, whatever the text."""

from hypothesis import example, given
from hypothesis import strategies as st

from klankbord_moderation.reading import elongates, readings, squeeze
from klankbord_runtime.plain_text import fold, folded_characters

ODD = st.sampled_from(
    ["s p a m", "fr33", "frее", "a\u0308", "n\u0303", "q\u0337", "ﬁ", "ß", "İ", "ǰ", "㎏", "가",
     "가", "\u1100\u1161\u11a8", "ｶﾞ", "\uff9e", "\u3164", "\u200d", "´", "  ", "\n", "\x07", "ﷺ",
     "1dio1"]
)  # fmt: skip
TEXTS = st.lists(st.one_of(ODD, st.text(max_size=4)), max_size=10).map("".join)


@given(TEXTS)
def test_character_by_character_gives_the_same_reading(text: str) -> None:
    assert "".join(char for char, _, _ in folded_characters(text)) == fold(text).text


@given(TEXTS)
def test_every_character_of_a_reading_stands_somewhere_in_the_original(text: str) -> None:
    for reading in readings(fold(text)):
        last = 0
        for at in range(len(reading.text)):
            start, end = reading.span(at, at + 1)
            assert last <= start < end <= len(text)
            last = start


@given(TEXTS)
def test_the_way_back_is_the_same_as_character_by_character(text: str) -> None:
    plain = next(readings(fold(text)))
    spans = [plain.span(at, at + 1) for at in range(len(plain.text))]
    assert spans == [(start, end) for _, start, end in folded_characters(text)]


@given(TEXTS)
@example("İﾞ")  # case folding takes İ apart, and its dot belongs after the other mark
def test_reading_twice_changes_nothing_more(text: str) -> None:
    folded = fold(text).text
    assert " ".join(folded.split()) == folded
    assert fold(folded.upper()).text == fold(folded.upper().casefold()).text


@given(st.text(st.sampled_from("abc 12"), max_size=30))
def test_a_squeezed_text_knows_where_its_letters_began(text: str) -> None:
    short, starts = squeeze(text)
    assert len(starts) == len(short) + 1
    assert starts[-1] == len(text)
    rebuilt = [
        char * (end - start) for char, start, end in zip(short, starts, starts[1:], strict=False)
    ]
    assert "".join(rebuilt) == text
    assert elongates(starts, starts)
