"""Disguised words are found where they stand; words that only look odd are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_moderation.lookalikes import LOOKALIKES
from klankbord_moderation.matcher import Matcher
from klankbord_moderation.policy import Rule
from klankbord_runtime.plain_text import fold


def rule(*terms: str, **parts: tuple[str, ...]) -> Rule:
    return Rule(
        id="r", label="spam", severity="low", mode="live", explanation="x", terms=terms, **parts
    )


def found(terms: str | tuple[str, ...], text: str) -> list[str]:
    """The pieces of the original text that a rule with these terms finds."""
    words = (terms,) if isinstance(terms, str) else terms
    return [text[slice(*span)] for span in Matcher([rule(*words)]).broken(fold(text)).get(0, [])]


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("get FREE Money now", "FREE Money"),
        ("free\n\n  money!", "free\n\n  money"),
        ("ｆｒｅｅ ｍｏｎｅｙ", "ｆｒｅｅ ｍｏｎｅｙ"),
        ("𝕗𝕣𝕖𝕖 𝓶𝓸𝓷𝓮𝔂 here", "𝕗𝕣𝕖𝕖 𝓶𝓸𝓷𝓮𝔂"),
        ("fr\u200be\u200de mo\u00adney", "fr\u200be\u200de mo\u00adney"),
        ("frее mоnеу", "frее mоnеу"),
        ("FRЕЕ МОNЕУ", "FRЕЕ МОNЕУ"),
        ("frεε mοney", "frεε mοney"),
        ("ꜰʀᴇᴇ ᴍᴏɴᴇʏ", "ꜰʀᴇᴇ ᴍᴏɴᴇʏ"),
        ("🅵🆁🅴🅴 🅜🅞🅝🅔🅨", "🅵🆁🅴🅴 🅜🅞🅝🅔🅨"),
        ("fr33 m0n3y!!", "fr33 m0n3y"),
        ("(FR33 MONEY)", "FR33 MONEY"),
        ("f r e e  m o n e y", "f r e e  m o n e y"),
        ("f.r.e.e m.o.n.e.y.", "f.r.e.e m.o.n.e.y"),
        ("f-r-e-e m_o_n_e_y", "f-r-e-e m_o_n_e_y"),
        ("f💰r💰e💰e money", "f💰r💰e💰e money"),
        ("freeeee moneyyy", "freeeee moneyyy"),
        ("ffffrreee", None),
        ("f̷r̷e̷e̷ m̷o̷n̷e̷y", "f̷r̷e̷e̷ m̷o̷n̷e̷y"),
        ("fre\u0301e mo\u0302ney", "fre\u0301e mo\u0302ney"),
        ("f\u0300\u0301\u0302\u0303ree money", "f\u0300\u0301\u0302\u0303ree money"),
        ("f r 3 3 money", None),
    ],
)
def test_a_disguised_phrase_is_found_where_it_stands(text: str, evidence: str | None) -> None:
    assert found("free money", text) == ([] if evidence is None else [evidence])


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("cunt*", "Scunthorpe"),
        ("ass", "class, passage, assistant, bass and Massachusetts"),
        ("ass", "as soon as possible"),
        ("god", "good gods"),
        ("vaara", "väärä määrä"),
        ("schon", "schön"),
        ("fan", "får"),
        ("hora", "хора"),
        ("cop", "Сор и пот, ура, нос"),
        ("spam", "spám"),
        ("ia", "IT-специалист, iPhone-ы и 3D-принтер"),
        ("mpe", "an mp3 or 4th"),
        ("bob", "b0 b8 800"),
        ("aanna", "@anna"),
        ("usaid", "the U.S.A. id"),
        ("ab", "a b"),
        ("iii", "xxii"),
        ("ano", "el año pasado"),
        ("nais", "nàïs"),
    ],
)
def test_ordinary_words_are_left_alone(term: str, text: str) -> None:
    assert found(term, text) == []


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("väärä", "VÄÄRÄ"),
        ("väärä", "va\u0308a\u0308ra\u0308"),
        ("straße", "STRASSE"),
        ("strasse", "Straße"),
        ("спам", "это СПАМ!"),
        ("don't", "don’t"),
        ("don't", "don´t"),
        ("idiot", "Idiot's"),
        ("idiot", "_idiot_"),
        ("idiot*", "idioterna"),
        ("c++", "no c++ here"),
        ("$$$", "win $$$ now"),
        ("💰💰", "see 💰💰 here"),
        ("免费", "请免费领取"),
        ("नमस्ते", "नमस्ते दुनिया"),
    ],
)
def test_words_of_every_script_are_found_as_they_are_written(term: str, text: str) -> None:
    assert found(term, text) != []


def test_a_mark_of_a_script_belongs_to_its_word() -> None:
    assert found("क", "कि") == []


def test_the_longest_of_words_inside_each_other_is_shown() -> None:
    assert found(("free", "free money", "money"), "free money") == ["free money"]


def test_an_elongated_word_stands_for_one_with_as_many_letters() -> None:
    assert found("cool", "coooool") == ["coooool"]
    assert found("col", "cool") == []
    assert found("cooool", "coool") == []
    assert found("asshole", "aaasssshooole") == ["aaasssshooole"]


def test_every_lookalike_is_one_character_and_not_ascii() -> None:
    for latin, row in LOOKALIKES.items():
        assert latin.isascii()
        assert not any(char.isascii() for char in row)
    drawn = "".join(LOOKALIKES.values())
    assert len(set(drawn)) == len(drawn)


INVISIBLE = st.sampled_from(["", "", "", "\u200b", "\u00ad", "\ufeff", "\u2060"])
PLAIN = st.text(st.sampled_from("bcdhjkqwz ,."), max_size=12)


def _disguise(letter: str, how: str) -> str:
    if how == "look-alike" and letter in LOOKALIKES:
        return LOOKALIKES[letter][0]
    if how == "wide" and letter.isalpha():
        return chr(ord(letter) + 0xFEE0)
    if how == "long" and letter.isalpha():
        return letter * 3
    if how == "upper":
        return letter.upper()
    if how == "marked" and letter.isalpha():
        return letter + "\u0337"
    return letter


@given(
    before=PLAIN,
    after=PLAIN,
    hows=st.lists(
        st.sampled_from(["plain", "look-alike", "wide", "long", "upper", "marked"]),
        min_size=12,
        max_size=12,
    ),
    hidden=st.lists(INVISIBLE, min_size=12, max_size=12),
)
def test_evidence_is_the_disguised_word_itself(
    before: str, after: str, hows: list[str], hidden: list[str]
) -> None:
    letters = [_disguise(letter, how) for letter, how in zip("spamvertizer", hows, strict=True)]
    hidden[-1] = ""
    written = "".join(letter + invisible for letter, invisible in zip(letters, hidden, strict=True))
    text = f"{before} s {written} {after}".replace(" s ", " ", 1)
    (evidence,) = found("spamvertizer", text)
    assert evidence.rstrip("\u0337") == written.rstrip("\u0337")
