"""Plain text: what a member said, without quotations, code, addresses and mentions."""

import re
from typing import NamedTuple
from unicodedata import normalize

from klankbord_runtime.whitespace import single_spaced

LONGEST = 2_000
"""Characters that are read. What a post is about, it says early; chance words come with length."""

ADDRESS = re.compile(r"(?:https?://|www\.)\S+|(?<!\w)@[\w.@-]+")
INLINE_CODE = re.compile(r"`[^`\n]+`")
QUOTED_LINE = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")


class Plain(NamedTuple):
    """A post as it is read for words."""

    words: str
    """Lower case, one space between words and one at either end, without what is not said."""
    sentences: tuple[str, ...]
    """The same words by sentence, each with the marks that end it."""
    written: str
    """As it was written, code included."""
    has_code: bool
    """Whether it holds a fenced block of code."""

    @classmethod
    def of(cls, name: str | None, content: str) -> "Plain":
        """Read the title and the text of a post as plain words."""
        written = f"{name}\n{content}"[:LONGEST] if name else content[:LONGEST]
        text = written
        if not text.isascii():
            text = normalize("NFC", text).replace("’", "'")
        has_code = "```" in text
        if has_code:
            text = "\n".join(text.split("```")[::2])
        if "`" in text:
            text = INLINE_CODE.sub(" ", text)
        if ">" in text:
            text = QUOTED_LINE.sub("", text)
        if "@" in text or "://" in text or "www." in text:
            text = ADDRESS.sub(" ", text)
        text = text.lower()
        return cls(
            words=f" {single_spaced(text)} ",
            sentences=tuple(SENTENCE.findall(text)),
            written=written,
            has_code=has_code,
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said: no letter and no digit outside quotations and addresses."""
        return not self.has_code and not any(map(str.isalnum, self.words))
