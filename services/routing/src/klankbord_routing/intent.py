"""Intent: what a post is, from weighted cues in several languages, with the words that say so.

The cues are in `cues.yaml`, for a community manager to read. Each cue that is found leaves less
doubt: `score = 1 - 2 ** (-weight / 2)`, so that a `clear` cue (weight 2) halves the doubt that
is left. The score orders and thresholds; it is not a measured probability (see the README).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StringConstraints, model_validator

from klankbord_routing.phrases import Found, Phrases
from klankbord_routing.plain import Plain
from klankbord_runtime.yamlfile import Strict, read_yaml
from klankbord_schemas.types import Slug

Intent = Literal["bug", "idea", "question", "complaint", "praise", "lead", "risk"]
PRECEDENCE: tuple[Intent, ...] = (
    "risk", "lead", "bug", "complaint", "idea", "question", "praise",
)  # fmt: skip
"""Among intents that score the same, the one that can wait least comes first."""

Phrase = Annotated[
    str,
    StringConstraints(pattern=r"^\S+( \S+)*$", min_length=1, max_length=100, to_lower=True),
]
ByLanguage = Annotated[
    dict[Annotated[str, StringConstraints(pattern=r"^([a-z]{2,3}|any)$")], list[Phrase]],
    Field(default_factory=dict),
]
Strength = Literal["strong", "clear", "hint", "against"]
Structure = Literal[
    "question-mark", "opens-with-question-word", "asks-for-oneself", "stack-trace",
    "error-code", "version-number", "code-block", "exclamation",
]  # fmt: skip

FRAME = r"\s+at [\w.$<>/]+ ?\("
STACK_TRACE = re.compile(
    r"Traceback \(most recent call last\)|Exception in thread|SIGSEGV|panic: "
    rf"|\b[A-Z]\w*(?:Error|Exception): |^{FRAME}",
    re.MULTILINE,
)
STACK_TRACE_MARKS = ("Traceback", "Exception", "Error: ", "SIGSEGV", "panic: ")
"""What any stack trace holds one of, or else nothing but frames. Looking for these first is
twenty times as fast."""
FRAME_LINE = re.compile(rf"\n{FRAME}")
"""What `STACK_TRACE` finds of a frame. It begins with one fixed character, which `re` looks for
first: fast where there is none."""
DIGITS = "0123456789"
ERROR_MARKS = ("err", "status", "fout", "fel", "fehler", "virhe", "0x")
"""What any error code holds one of."""
ERROR_CODE = re.compile(
    r"\b(?:error|errno|status|http (?:status|error)"
    r"|fout|foutcode|fel|felkod|fehler|fehlercode|virhe|virhekoodi)"
    r"(?: code| kod| koodi)?:? ?#?\d{2,5}\b"
    r"|\b0x[0-9a-f]{4,16}\b"
)
VERSION_NUMBER = re.compile(r"\bv?\d{1,4}\.\d{1,4}\.\d{1,6}\b|\bv\d{1,4}\.\d{1,4}\b")
DECIMAL = re.compile(r"\.\d")
"""What any version number holds. Like `FRAME_LINE` it begins with a fixed character."""
CLAUSE_END = re.compile(r"[.,;:!?()]")
EXCLAMATIONS = re.compile(r"!\s*!|!\?|\?!")


class CueList(Strict):
    """Phrases that say the same thing, by strength and language."""

    name: Slug
    intent: Intent | None = None
    """What they speak for; nothing for phrases that only hide the words inside them."""
    explain: str
    when_negated: Literal["counts", "silent"] | Intent = "counts"
    """After "not": they count all the same, say nothing, or speak for another intent."""
    strong: ByLanguage
    clear: ByLanguage
    hint: ByLanguage
    against: ByLanguage

    def by_strength(self) -> Iterator[tuple[Strength, Mapping[str, list[str]]]]:
        """Each strength with its phrases by language."""
        yield "strong", self.strong
        yield "clear", self.clear
        yield "hint", self.hint
        yield "against", self.against


class Negations(Strict):
    """Words that turn a cue around: before it (`not a bug`) or after it (`crasht niet`)."""

    before: ByLanguage
    after: ByLanguage


class CueFile(Strict):
    """The cue file as it is written."""

    weights: dict[Strength, float]
    structure: dict[Structure, dict[Intent, float]]
    negations: Negations
    question_words: ByLanguage
    first_person: ByLanguage
    greetings: ByLanguage
    cues: list[CueList]

    @model_validator(mode="after")
    def _names_are_unique(self) -> "CueFile":
        names = [cues.name for cues in self.cues]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two cue lists are named '{name}'; give one another name")
        return self

    def languages(self) -> set[str]:
        """Every language that has cues of its own."""
        named: set[str] = set()
        for cues in self.cues:
            for _, phrases in cues.by_strength():
                named.update(phrases)
        return named - {"any"}


class Sign(NamedTuple):
    """One thing that speaks for an intent."""

    rule: str
    """The cue list, or the kind of structure."""
    words: str
    """The words that were found."""
    weight: float


class Reading(NamedTuple):
    """How much speaks for one intent of a post, and what."""

    intent: Intent
    score: float
    signs: tuple[Sign, ...]


class Meaning(NamedTuple):
    """What a found phrase says."""

    rule: str
    intent: Intent | None
    weight: float
    when_negated: str


@dataclass(frozen=True)
class Lexicon:
    """The cues of one language, compiled."""

    phrases: Phrases
    meanings: tuple[tuple[Meaning, ...], ...]
    """By phrase, as numbered in `phrases`."""
    negated_before: frozenset[str]
    negated_after: frozenset[str]
    question_words: frozenset[str]
    question_endings: tuple[str, ...]
    """Endings that make the first word of a sentence a question (Finnish -ko and -kö)."""
    first_person: frozenset[str]
    greetings: frozenset[str]


class Cues:
    """The compiled cue file: reads what a post is."""

    def __init__(self, file: CueFile) -> None:
        self._structure = file.structure
        languages = file.languages()
        self._lexicons = {language: _compile(file, {language, "any"}) for language in languages}
        self._shared = _compile(file, {"any"})
        self._all = _compile(file, {*languages, "any"})

    @classmethod
    def parse(cls, body: bytes) -> "Cues":
        """Compile a cue file.

        Raises:
            klankbord_runtime.accepted.Refused: the file is wrong; says in which line and why.
        """
        return cls(read_yaml(body, CueFile))

    def read(self, plain: Plain, language: str) -> tuple[Reading, ...]:
        """What the post is: every intent that something speaks for, the likeliest first.

        Args:
            plain: the post's words.
            language: BCP 47; for `und` the cues of all languages are tried, for a language
                without cues only the shared ones and the structure.
        """
        lexicon = self._lexicon(language)
        speaking = [*_spoken(plain, lexicon), *self._built(plain, lexicon)]
        if not speaking:
            return ()
        signs: dict[Intent, dict[tuple[str, str], Sign]] = {}
        for intent, sign in speaking:
            signs.setdefault(intent, {}).setdefault((sign.rule, sign.words), sign)
        readings = [_weigh(intent, tuple(found.values())) for intent, found in signs.items()]
        return tuple(
            sorted(
                (reading for reading in readings if reading.score > 0),
                key=lambda reading: (-reading.score, PRECEDENCE.index(reading.intent)),
            )
        )

    def _lexicon(self, language: str) -> Lexicon:
        if language == "und":
            return self._all
        return self._lexicons.get(language.partition("-")[0].lower(), self._shared)

    def _built(self, plain: Plain, lexicon: Lexicon) -> Iterator[tuple[Intent, Sign]]:
        """What the post's structure speaks for."""
        for structure, words in _structures(plain, lexicon):
            for intent, weight in self._structure.get(structure, {}).items():
                yield intent, Sign(structure, words, weight)


def shipped_cues() -> Cues:
    """The cue file that comes with the service, compiled."""
    return Cues.parse(files("klankbord_routing").joinpath("cues.yaml").read_bytes())


def _weigh(intent: Intent, signs: tuple[Sign, ...]) -> Reading:
    weight = sum(sign.weight for sign in signs)
    score = 1 - 2 ** (-weight / 2) if weight > 0 else 0.0
    return Reading(intent, round(score, 4), tuple(sorted(signs, key=lambda sign: -sign.weight)))


def _spoken(plain: Plain, lexicon: Lexicon) -> Iterator[tuple[Intent, Sign]]:
    """What the post's words speak for."""
    for found in lexicon.phrases.find(plain.words):
        for rule, intent, weight, when_negated in lexicon.meanings[found.phrase]:
            speaks_for = intent
            if when_negated != "counts" and _is_negated(plain.words, found, lexicon):
                speaks_for = _intent(when_negated)
            if speaks_for is not None:
                words = plain.words[found.start : found.end]
                if speaks_for != intent:
                    words = f"not {words}"
                yield speaks_for, Sign(rule, words, weight)


def _intent(when_negated: str) -> Intent | None:
    return next((intent for intent in PRECEDENCE if intent == when_negated), None)


def _is_negated(words: str, found: Found, lexicon: Lexicon) -> bool:
    """Whether a negation stands within two words of what was found, in the same clause."""
    before = CLAUSE_END.split(words[max(0, found.start - 30) : found.start])[-1].split()[-2:]
    if not lexicon.negated_before.isdisjoint(before):
        return True
    if not lexicon.negated_after:
        return False
    after = CLAUSE_END.split(words[found.end : found.end + 30])[0].split()[:2]
    return not lexicon.negated_after.isdisjoint(after)


def _structures(plain: Plain, lexicon: Lexicon) -> Iterator[tuple[Structure, str]]:
    """The structures in a post, each with the words that show it."""
    yield from _questions(plain.sentences, lexicon)
    if plain.has_code:
        yield "code-block", "```"
    if trace := _stack_trace(plain.written):
        yield "stack-trace", trace[0].strip()
    if _holds_any(plain.words, DIGITS):
        yield from _numbers(plain.words)
    if "!" in plain.words and (exclamations := EXCLAMATIONS.search(plain.words)):
        yield "exclamation", exclamations[0]


def _questions(sentences: Iterable[str], lexicon: Lexicon) -> Iterator[tuple[Structure, str]]:
    for sentence in sentences:
        end = sentence[-1]
        if end == "?":
            yield "question-mark", "?"
            if not lexicon.first_person.isdisjoint(sentence.rstrip("?!").split()):
                yield "asks-for-oneself", "?"
        if end != "!":
            opening = _question_word(sentence, lexicon)
            if opening is None and ", " in sentence:
                opening = _question_word(sentence.rpartition(", ")[2], lexicon)
            if opening is not None:
                yield "opens-with-question-word", opening


def _question_word(clause: str, lexicon: Lexicon, greetings: int = 2) -> str | None:
    """The question word that opens the clause, or that follows at most so many greetings."""
    words = clause.split(None, 1)
    if not words:
        return None
    word = words[0].rstrip(",:?")
    if word in lexicon.question_words:
        return word
    if lexicon.question_endings and len(word) > 3 and word.endswith(lexicon.question_endings):
        return word
    if greetings and len(words) == 2 and word in lexicon.greetings:
        return _question_word(words[1], lexicon, greetings - 1)
    return None


def _stack_trace(written: str) -> re.Match[str] | None:
    if _holds_any(written, STACK_TRACE_MARKS):
        return STACK_TRACE.search(written)
    if " at " in written and "(" in written:
        return FRAME_LINE.search(f"\n{written}")
    return None


def _numbers(words: str) -> Iterator[tuple[Structure, str]]:
    """The structures with digits in them."""
    if _holds_any(words, ERROR_MARKS) and (code := ERROR_CODE.search(words)):
        yield "error-code", code[0]
    if DECIMAL.search(words) and (version := VERSION_NUMBER.search(words)):
        yield "version-number", version[0]


def _holds_any(text: str, parts: Iterable[str]) -> bool:
    for part in parts:  # noqa: SIM110 - four times as fast as any() over a generator
        if part in text:
            return True
    return False


def _compile(file: CueFile, languages: set[str]) -> Lexicon:
    meanings: dict[str, list[Meaning]] = {}
    for cues in file.cues:
        for strength, by_language in cues.by_strength():
            weight = file.weights[strength]
            for phrase in sorted(_words(by_language, languages)):
                meaning = Meaning(cues.name, cues.intent, weight, cues.when_negated)
                meanings.setdefault(phrase, []).append(meaning)
    question_words = _words(file.question_words, languages)
    return Lexicon(
        phrases=Phrases(list(meanings)),
        meanings=tuple(map(tuple, meanings.values())),
        negated_before=frozenset(_words(file.negations.before, languages)),
        negated_after=frozenset(_words(file.negations.after, languages)),
        question_words=frozenset(word for word in question_words if word[0] != "*"),
        question_endings=tuple(sorted(word[1:] for word in question_words if word[0] == "*")),
        first_person=frozenset(_words(file.first_person, languages)),
        greetings=frozenset(_words(file.greetings, languages)),
    )


def _words(by_language: Mapping[str, Iterable[str]], languages: set[str]) -> set[str]:
    return {word for language in languages for word in by_language.get(language, ())}
