"""What the sample community says: hand-written sentences with words to fill in, per language."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from klankbord_runtime.yamlfile import read_yaml
from klankbord_standalone.sample.chance import Chance
from klankbord_standalone.sample.meaning import Kind

LANGUAGES = ("en", "nl", "sv", "de", "fi")

PIECES = (
    "Locus iste", "Finlandia", "Für Alina", "Lux aurumque", "Abendlied", "Sicut cervus", "Nimrod",
    "Peer Gynt", "Boléro", "Gymnopédie No. 1", "Clair de lune", "Adiemus", "Pavane", "Ave verum",
    "Northern Lights", "Stabat Mater", "Bogoroditse Devo", "Gabriellas sång", "Uti vår hage",
    "Spiegel im Spiegel", "Gloria", "Libertango", "Jupiter", "Magnificat", "O Magnum Mysterium",
    "The Lark Ascending", "Hymne à l'amour", "Panis angelicus", "Ubi caritas", "Tundra",
)  # fmt: skip
FEATURES = ("Stage", "Setlist", "Roll Call", "Loop", "Folio", "Pulse")
"""The parts of the product: performing, programme, attendance, practice, library, metronome."""

COLLEAGUES = ("Joakim", "Eline", "Petteri", "Wiebke", "Sunniva")
CODES = ("KW-204", "KW-311", "KW-417", "KW-520", "KW-608")

BLANK = re.compile(r"\{(\w+)\}")
SENTENCE = re.compile(r"(?:^|[.!?] )\w")
"""Where a capital belongs, whatever word fills the blank there."""

MOST_TRIES = 2_000

Sentences = Annotated[list[str], Field(min_length=1)]


class Phrases(BaseModel):
    """One language: `texts/<language>.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    words: dict[str, Sentences]
    """What may fill a blank."""
    talk: Sentences
    reply: Sentences
    agree: Sentences
    helping: Sentences
    bug: Sentences
    idea: Sentences
    question: Sentences
    complaint: Sentences
    praise: Sentences
    lead: Sentences
    staff: dict[Kind, Sentences]
    """How the makers answer each kind of post."""
    opening: Sentences
    closing: Sentences
    correction: Sentences
    """What an author adds who changes a post."""


@cache
def phrases(language: str) -> Phrases:
    """The sentences of a language."""
    path = files(__package__) / "texts" / f"{language}.yaml"
    return read_yaml(path.read_bytes(), Phrases)


class Writer:
    """Writes texts, and no text twice: people do not repeat each other to the letter."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._written: set[str] = set()

    def write(self, language: str, sentences: Sequence[str], you: str = "") -> str:
        """One of these sentences, filled in, as nobody has written it yet.

        Args:
            language: whose words fill the blanks.
            sentences: patterns with blanks.
            you: the first name of whoever is answered.
        """
        book = phrases(language)
        for _ in range(MOST_TRIES):
            text = self._filled(self._chance.pick(sentences), book, you)
            if self._chance.happens(0.25):
                text = f"{text} {self._filled(self._chance.pick(book.closing), book, you)}"
            if not you and self._chance.happens(0.15):
                text = f"{self._chance.pick(book.opening)}\n\n{text}"
            if text not in self._written:
                self._written.add(text)
                return text
        raise ValueError(f"the {language} sentences are used up: {sentences[0]!r} and its like")

    def corrected(self, language: str, text: str) -> str:
        """The same text, as its author leaves it after a second look."""
        book = phrases(language)
        return f"{text} {self._filled(self._chance.pick(book.correction), book, '')}"

    def _filled(self, sentence: str, book: Phrases, you: str) -> str:
        filled = {"you": you}
        for blank in BLANK.findall(sentence):
            if blank not in filled:
                filled[blank] = self._word(blank, book)
        return SENTENCE.sub(lambda start: start[0].upper(), sentence.format(**filled))

    def _word(self, blank: str, book: Phrases) -> str:
        match blank:
            case "piece":
                return self._chance.pick(PIECES)
            case "feature":
                return self._chance.pick(FEATURES)
            case "colleague":
                return self._chance.pick(COLLEAGUES)
            case "code":
                return self._chance.pick(CODES)
            case "bar":
                return str(self._chance.number(9, 180))
            case "people":
                return str(self._chance.number(12, 64))
            case "seats":
                return str(self._chance.number(8, 60) * 5)
            case "tempo":
                return str(self._chance.number(24, 80) * 2)
            case _:
                return self._chance.pick(book.words[blank])
