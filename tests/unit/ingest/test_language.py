"""What a post is written in, or that nobody can tell."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.language import LanguageDetector

DETECTOR = LanguageDetector()
FIVE = ("en", "nl", "sv", "de", "fi")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The new version is much faster, thank you for that!"),
        ("nl", "De nieuwe versie is veel sneller, heel erg bedankt daarvoor!"),
        ("sv", "Den nya versionen är mycket snabbare, tack så mycket för det!"),
        ("de", "Die neue Version ist viel schneller, vielen Dank dafür!"),
        ("fi", "Uusi versio on paljon nopeampi, kiitos paljon siitä!"),
    ],
)
def test_a_sentence_is_told(language: str, text: str) -> None:
    assert DETECTOR.language(text, FIVE) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "thx!",
        "ok",
        "@anna",
        "👍👍",
        "https://www.example.org/the/news/of/today",
        "12:30",
    ],
)
def test_what_nobody_can_tell_is_und(text: str) -> None:
    assert DETECTOR.language(text, FIVE) == "und"


def test_addresses_mentions_and_code_do_not_count() -> None:
    dutch = "Dit werkt bij mij helaas nog steeds niet"
    english = "https://example.org/this/is/the/english/news `this is what the code does here`"
    assert DETECTOR.language(f"@the_english_one {english} {dutch}", ("en", "nl")) == "nl"
    assert DETECTOR.language(f"{dutch}\n```\nif this then that or the other\n", FIVE) == "nl"


def test_the_answer_is_one_of_the_communitys_own_tags() -> None:
    norwegian = "Det er en fin dag i dag, og jeg er veldig glad for den nye versjonen"
    assert DETECTOR.language(norwegian, ("nb", "en")) == "nb"
    assert DETECTOR.language("This is rather good, I think", ("en-GB", "nl")) == "en-GB"


def test_a_language_that_the_detector_does_not_know_is_never_guessed() -> None:
    assert DETECTOR.language("This is rather good, I think", ("fy",)) == "und"
    assert DETECTOR.language("This is rather good, I think", ("fy", "en")) == "en"


@given(st.text(), st.lists(st.sampled_from([*FIVE, "fy", "nb", "pt-BR"]), min_size=1, max_size=4))
def test_every_text_gets_an_answer(text: str, languages: list[str]) -> None:
    assert DETECTOR.language(text, tuple(languages)) in {*languages, "und"}


SENTENCES = Path(__file__).parents[3].parent / "shared/real/corpora/lingua-langid"


@pytest.mark.skipif(not SENTENCES.is_dir(), reason="the real corpora are not beside the repository")
@pytest.mark.parametrize("language", FIVE)
def test_real_sentences_are_told_nearly_always(language: str) -> None:
    (file,) = [
        file
        for file in SENTENCES.rglob("*.txt")
        if "sentence" in str(file) and file.stem.startswith(language)
    ]
    sentences = file.read_text("utf-8").splitlines()
    told = [DETECTOR.language(sentence, FIVE) for sentence in sentences]
    assert told.count(language) / len(told) > 0.95
    wrong = len(told) - told.count(language) - told.count("und")
    assert wrong / len(told) < 0.01
