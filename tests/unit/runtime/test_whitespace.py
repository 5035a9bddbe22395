"""White space of any kind is one space."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from klankbord_runtime.whitespace import single_spaced

WHITE = [char for char in map(chr, range(sys.maxunicode + 1)) if char.isspace()]


@given(st.text(st.one_of(st.sampled_from(WHITE), st.characters(exclude_categories=["Cs"]))))
def test_words_stand_apart_by_one_space(text: str) -> None:
    assert single_spaced(text) == " ".join(text.split())


def test_each_kind_of_white_space_becomes_one_space() -> None:
    for blank in WHITE:
        for between in (blank, f" {blank}", blank + blank):
            assert single_spaced(f"{between}a{between}b{between}") == "a b"
