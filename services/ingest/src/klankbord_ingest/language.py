"""What a post is written in, as far as anyone can tell."""

import re
from functools import lru_cache

import eldc

UNDETERMINED = "und"

NO_WORDS = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`"  # code
    r"|\b(?:[Hh][Tt][Tt][Pp][Ss]?://|www\.|WWW\.)\S+|\S+@\S+\.\S+"  # addresses
    r"|(?<!\w)[@#][\w.-]+",  # mentions and tags
    re.DOTALL,
)
NO_WORDS_SIGNS = ("`", "@", "#", "://", "www.", "WWW.")
"""One of these stands in whatever `NO_WORDS` finds; looking for them is far cheaper."""

MAX_CHARACTERS = 1_000
"""How much of a post is read: more does not make a judgement surer."""

MACROLANGUAGE = {"nb": "no", "nn": "no"}
"""Written forms of Norwegian, which the detector tells from Danish but not from each other."""


class LanguageDetector:
    """Tells the language of short texts among those that a community writes in."""

    def __init__(self) -> None:
        eldc.init()
        self._among = lru_cache(maxsize=256)(_Among)

    def language(self, text: str, languages: tuple[str, ...]) -> str:
        """The language of a text; `und` when nobody can tell.

        Args:
            text: plain text, of any length.
            languages: BCP 47 tags of what the community writes in; the answer is one of them.
        """
        return self._among(languages).language(text)


class _Among:
    """A detector that knows only these languages: far surer than one that knows them all."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        self._tags: dict[str, str] = {}
        for tag in languages:
            base = tag.split("-")[0].lower()
            self._tags.setdefault(MACROLANGUAGE.get(base, base), tag)
        self._known = [code for code in self._tags if code in eldc.LANGUAGES]
        self._detector = eldc.instance()
        if self._known:
            self._detector.set_languages(self._known)

    def language(self, text: str) -> str:
        if not self._known:
            return UNDETERMINED
        found = self._detector.detect_details(_words(text[:MAX_CHARACTERS]))
        return self._tags[found.language] if found.reliable else UNDETERMINED


def _words(text: str) -> str:
    """The text without what says nothing of its language."""
    if any(sign in text for sign in NO_WORDS_SIGNS):
        return NO_WORDS.sub(" ", text)
    return text
