"""How a text is read when words are looked for in it: neither case nor accents count.

On top of the plain reading (`klankbord_runtime.plain_text`), marks go from Latin and Greek letters:
people leave them out, and add them, as their keyboard has it. So `cafe` and `café`, `prive` and
`privé` are one word, and `für` is found by `fur`. Marks that make another letter stay: й is not и,
が is not か; but ё is written as е so often that they are one.
"""

import unicodedata
from functools import lru_cache

from klankbord_runtime.plain_text import Span, fold, folded_characters

ASCII = bytes(range(128))

OFTEN_WRITTEN = {"ё": "е"}
"""Cyrillic letters that readers put the mark to themselves."""


def read(text: str) -> str:
    """The text as words are looked for in it."""
    plain = fold(text).text
    if plain.isascii():
        return plain
    for char in set(plain.encode().translate(None, ASCII).decode()):
        if (bare := _bare(char)) != char:
            plain = plain.replace(char, bare)
    return plain


def origins(text: str) -> list[Span]:
    """For each character of `read(text)`, where in `text` it came from."""
    if fold(text).is_plain and len(read(text)) == len(text):  # each came from the one in its place
        return [(at, at + 1) for at in range(len(text))]
    return [(start, end) for char, start, end in folded_characters(text) for _ in _bare(char)]


@lru_cache(8192)
def _bare(char: str) -> str:
    """The character without accents; nothing, where it is an accent itself."""
    if char <= "\x7f":
        return char
    apart = unicodedata.normalize("NFD", char)
    letter = apart[0]
    if _is_accent(letter):
        return ""
    if not unicodedata.name(letter, "").startswith(("LATIN", "GREEK")):
        return OFTEN_WRITTEN.get(char, char)
    kept = "".join(mark for mark in apart if not _is_accent(mark))
    return unicodedata.normalize("NFC", kept)


def _is_accent(mark: str) -> bool:
    return "\u0300" <= mark <= "\u036f"
