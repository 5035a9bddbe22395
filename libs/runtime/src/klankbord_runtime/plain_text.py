"""The plain reading of a text: one spelling for what is the same.

Compatibility forms are unified (NFKC, https://unicode.org/reports/tr15/), case is folded, and what
that takes apart is unified again; invisible characters are gone, white space is single. Words keep
their accents and their script, so ordinary Finnish, German or Russian stays whole. And where words
begin and end in it.
"""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from klankbord_runtime.whitespace import single_spaced

Span: TypeAlias = tuple[int, int]
"""Where something begins and the first character after it, in code points."""

APOSTROPHES = dict.fromkeys("´‘’‛ʹʼˈ′＇", "'")
"""What people type for an apostrophe. NFKC would make a space and an accent of ´."""

BLANKS = dict.fromkeys("\u2800\u3164\uffa0", " ")
"""Signs of a script that are drawn as nothing, but take room."""


def _is_invisible(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind == "Cf" or (kind == "Cc" and not char.isspace()) or char in FILLERS


VARIATION_SELECTORS = "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f" + VARIATION_SELECTORS
INVISIBLE = frozenset(
    char for code in (*range(0x10000), *range(0xE0000, 0xE0200)) if _is_invisible(char := chr(code))
)
"""Format and control characters, variation selectors, fillers: they are not seen in a word."""

ORDINARY = bytes(code for code in range(128) if chr(code).isprintable() or chr(code).isspace())
"""ASCII that needs lower case and single spaces, no more."""
REPLACED = APOSTROPHES | BLANKS | dict.fromkeys(INVISIBLE, "")
UNSPACED = (
    ("\u0e00", "\u0eff"),  # Thai, Lao
    ("\u1000", "\u109f"),  # Myanmar
    ("\u1780", "\u17ff"),  # Khmer
    ("\u3040", "\u30ff"),  # Hiragana, Katakana
    ("\u3400", "\u9fff"),  # Han
    ("\uf900", "\ufaff"),  # Han, compatibility
    ("\U00020000", "\U0003ffff"),  # Han, extensions
)
"""Scripts that set no spaces between words: in those a term may stand anywhere."""


class Folded(NamedTuple):
    """A text and its plain reading."""

    original: str
    text: str
    """The plain reading: what texts are compared by."""
    unusual: frozenset[str]
    """The characters of the original that are not ordinary ASCII."""
    is_plain: bool
    """Whether each character was read by itself: as one other, or as none if it is not seen."""


def fold(original: str) -> Folded:
    """Make the plain reading of a text."""
    unusual = frozenset(original.encode().translate(None, ORDINARY).decode())
    text = original
    for char in unusual & REPLACED.keys():
        text = text.replace(char, REPLACED[char])
    is_plain = all(map(_is_plain, unusual))
    text = text.casefold() if is_plain else _unified(text)
    return Folded(original, single_spaced(text), unusual, is_plain)


def folded_characters(source: str) -> Iterator[tuple[str, int, int]]:
    """`fold(source).text` character by character, each with where in `source` it came from."""
    gap: Span | None = None
    begun = False
    for start, end in _clusters(source):
        for char in _folded_cluster(source[start:end]):
            if char.isspace():
                gap = (gap[0] if gap else start, end)
                continue
            if gap and begun:
                yield " ", *gap
            gap, begun = None, True
            yield char, start, end


def _clusters(source: str) -> Iterator[Span]:
    """The spans of `source` that normalise apart: a character and what may combine with it.

    Only marks and Hangul vowels and finals combine with what stands before them.
    """
    start = end = 0
    for at, char in enumerate(source):
        if REPLACED.get(char) == "":
            continue
        if not _combines(REPLACED.get(char, char)):
            if end:
                yield start, end
            start = at
        end = at + 1
    if end:
        yield start, end


@lru_cache(8192)
def _folded_cluster(cluster: str) -> str:
    seen = "".join(REPLACED.get(char, char) for char in cluster)
    return _unified(seen)


def _unified(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@lru_cache(8192)
def _is_plain(char: str) -> bool:
    """Whether to fold the case of a character is to unify it, whatever stands around it."""
    if char in REPLACED:
        return True
    folded = char.casefold()
    return len(folded) == 1 and _unified(char) == folded and not _combines(char)


@lru_cache(8192)
def _combines(char: str) -> bool:
    first = unicodedata.normalize("NFKD", char)[0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"


def is_within_word(text: str, at: int) -> bool:
    """Whether a word goes on across this place: no term may begin or end there."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    return (
        _in_word(before) and _in_word(after) and not (_is_unspaced(before) or _is_unspaced(after))
    )


def _in_word(char: str) -> bool:
    return char.isalnum() or (char > "\x7f" and unicodedata.category(char)[0] == "M")


def _is_unspaced(char: str) -> bool:
    return char > "\u0dff" and any(first <= char <= last for first, last in UNSPACED)
