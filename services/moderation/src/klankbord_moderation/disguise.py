"""Disguises, and how they are undone.

Letters of another script among Latin ones, digits and signs among letters (`fr33`), letters set
apart (`s p a m`), letters with decoration (`s̷p̷a̷m̷`). Only words that look disguised are changed:
what else stands in the text, in whatever script, stays as it is.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from string import ascii_letters
from typing import Any

import re2

from klankbord_moderation.lookalikes import (
    AS_LATIN,
    DIGITS_AS_LETTERS,
    ENCLOSED,
    FOREIGN,
    STYLED,
)
from klankbord_runtime.plain_text import INVISIBLE, Folded, Span

ASCII = bytes(range(128))
ASCII_LETTERS = ascii_letters.encode()

MARKS = "\u0300-\u036f\u0488\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
"""Marks that can stand on any letter, unlike the vowel signs that some scripts need."""
OWN_LETTER = "(?<=[aouAOU])\u0308|(?<=[aA])\u030a|(?<=[nN])\u0303"
"""Marks that make a letter of its own, also when it is typed in two: ä ö ü å ñ."""

HIDDEN = re.escape("".join(sorted(INVISIBLE)))
DECORATION = re.compile(f"(?!{OWN_LETTER})[{MARKS}]|[{HIDDEN}]")
DECORATED = re.compile(f"[{MARKS}]")
LOOKING_LATIN = frozenset(FOREIGN + STYLED)
LATIN = re.compile(f"[A-Za-z{STYLED}]")
WORD = re.compile(f"(?:[^\\W_]|[{ENCLOSED}])+")
SPELT = re.compile(r"(?<![^\W_])[^\W\d_]([\W_]{1,3})[^\W\d_](?:\1[^\W\d_])+(?![^\W_])")
"""Three letters or more with the same sign or signs between them: `s p a m`, `s--p--a--m`."""
WITH_SIGN = re.compile(r"(?<!\S)[^\s0-9@$!]*+[0-9@$!]\S*")
"""A word with a digit or sign that may stand for a letter, and the punctuation around it."""
PUNCTUATION = "\"'(),.:;?!*"


LETTER = r"(?:[a-z]|[\xc3-\xdf][\x80-\xbf])"
APART = r"(?:[^a-z0-9\x80-\xff]|\xc2[\x80-\xbf]|\xe2[\x80-\xbf]{2}|\xf0[\x80-\xbf]{3})"
SPELT_SIGN = f"(?:^|{APART}){LETTER}(?:{APART}{{1,3}}{LETTER}){{2}}(?:$|{APART})"
IN_WORD = r"[a-z0-9@$!\x80-\xff]"
DIGIT_SIGN = (
    rf"""(?:^|[ "'(*]){IN_WORD}*(?:[a-z\x80-\xff][0-9@$]|[0-9$!][a-z\x80-\xff]){IN_WORD}*"""
    r"""["'),.:;?!*]*(?:$| )"""
)
REPEATED = "abcdefghijklmnopqrstuvxyzåäöüßéæøабвгдежзиклмнопрсту"
ELONGATED_SIGN = "|".join(f"(?:{letter}){{3}}" for letter in REPEATED) + "|w{4}"  # www is a link


def _signs() -> Any:
    """What disguises leave in a plain reading, as RE2 over its UTF-8 bytes.

    One look tells, at a tenth of the cost of `SPELT` and `WITH_SIGN`, that most texts have none.
    Bytes, because RE2's tables for Unicode's classes would outgrow its memory.
    """
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    signs = re2.Set.SearchSet(options)
    for pattern in (ELONGATED_SIGN, SPELT_SIGN, DIGIT_SIGN):
        signs.Add(pattern.encode())
    signs.Compile()
    return signs


SIGNS = _signs()
ELONGATED = 0


@dataclass(frozen=True, slots=True)
class Signs:
    """What a plain reading shows of disguises."""

    elongated: bool
    """Whether a letter is said three times or more."""
    spelt: bool
    """Whether letters seem to be set apart, or digits to stand for letters."""

    @classmethod
    def of(cls, text: str) -> "Signs":
        """Look at a plain reading."""
        found = SIGNS.Match(text.encode())
        if found is None:
            return NO_SIGNS
        return cls(ELONGATED in found, found != [ELONGATED])


NO_SIGNS = Signs(elongated=False, spelt=False)


def looks_disguised(folded: Folded, signs: Signs) -> bool:
    """Whether it is worth undoing disguises: most posts are spared the cost."""
    if signs.spelt:
        return True
    return bool(folded.unusual) and (_is_decorated(folded) or _has_lookalikes(folded))


def _is_decorated(folded: Folded) -> bool:
    return DECORATED.search("".join(folded.unusual)) is not None


def _has_lookalikes(folded: Folded) -> bool:
    return not folded.unusual.isdisjoint(LOOKING_LATIN) and LATIN.search(folded.text) is not None


def _is_mostly_latin(folded: Folded) -> bool:
    """Whether a foreign word stands among Latin ones, by a count that costs next to nothing."""
    octets = folded.original.encode()
    others = len(octets.translate(None, ASCII).decode())
    return len(octets) - len(octets.translate(None, ASCII_LETTERS)) > others


def undisguised(folded: Folded) -> Iterator[tuple[str, Sequence[int]]]:
    """The text with disguised words as they look, and where each of its characters stood."""
    text = folded.original
    kept: Sequence[int] = range(len(text))
    if _is_decorated(folded) or not folded.unusual.isdisjoint(INVISIBLE):
        text, kept = _without(text, kept, (mark.span() for mark in DECORATION.finditer(text)))
    text, kept = _without(text, kept, _gaps(text))
    if _has_lookalikes(folded):
        mostly_latin = _is_mostly_latin(folded)
        text = WORD.sub(lambda word: _as_latin(word[0], mostly_latin), text)
    for table in DIGITS_AS_LETTERS:
        yield WITH_SIGN.sub(partial(_as_letters, table), text), kept


def _without(text: str, kept: Sequence[int], gaps: Iterable[Span]) -> tuple[str, Sequence[int]]:
    pieces: list[str] = []
    positions: list[int] = []
    end = 0
    for gap_start, gap_end in gaps:
        pieces.append(text[end:gap_start])
        positions += kept[end:gap_start]
        end = gap_end
    if not pieces:
        return text, kept
    return "".join((*pieces, text[end:])), positions + list(kept[end:])


def _gaps(text: str) -> Iterator[Span]:
    """What stands between the letters of words that are spelt out."""
    for spelt in SPELT.finditer(text):
        width = len(spelt[1])
        for at in range(spelt.start() + 1, spelt.end(), width + 1):
            yield at, at + width


def _as_latin(word: str, mostly_latin: bool) -> str:
    """The word in Latin letters, if it can be read so, and it or the text around it is Latin."""
    latin = word.translate(AS_LATIN)
    if latin == word or not unicodedata.normalize("NFKC", latin).isascii():
        return word
    return latin if mostly_latin or LATIN.search(unicodedata.normalize("NFKC", word)) else word


def _as_letters(table: dict[int, int], found: re.Match[str]) -> str:
    """The word with letters for its digits and signs, if that makes a word of it.

    Of three characters only the middle one may stand for a letter: mp3 and 4th are none. Nor is an
    @ before a name.
    """
    word = found[0].strip(PUNCTUATION)
    spoken = word.translate(table)
    if word.isalpha() or not spoken.isalpha() or not any(char.isalpha() for char in word):
        return found[0]
    if word[0] == "@" or len(word) < 3 or (len(word) == 3 and word[1].isalpha()):
        return found[0]
    return found[0].replace(word, spoken)
