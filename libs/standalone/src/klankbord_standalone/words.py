"""Words for people: names for what is stored as a code, and foreign text made safe to show."""

from collections.abc import Mapping
from unicodedata import category

LANGUAGE_NAMES: Mapping[str, str] = {
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fi": "Finnish",
    "fr": "French",
    "is": "Icelandic",
    "it": "Italian",
    "nb": "Norwegian Bokmål",
    "nl": "Dutch",
    "nn": "Norwegian Nynorsk",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "sv": "Swedish",
    "und": "too short to tell",
}
"""English names of languages, by their BCP 47 tag."""

UNPRINTABLE = ("Cc", "Cs")
"""Control characters, with which a text could steer a terminal, and halves of surrogates."""

MANY: Mapping[str, str] = {
    "bug": "bugs",
    "idea": "ideas",
    "question": "questions",
    "complaint": "complaints",
    "praise": "words of praise",
    "lead": "leads",
    "risk": "risks",
}
"""Several of one intent."""


def intents_listed(numbers: Mapping[str, int]) -> str:
    """How many of each intent: `98 bugs, 1 idea`."""
    return ", ".join(
        f"{number:,} {intent if number == 1 else MANY.get(intent, intent)}"
        for intent, number in numbers.items()
    )


def printable(text: str) -> str:
    """The text without what may stand neither in a page nor in a terminal."""
    return "".join(char for char in text if char in "\n\t" or category(char) not in UNPRINTABLE)
