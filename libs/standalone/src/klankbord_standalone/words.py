"""Names for what is stored as a code."""

from collections.abc import Mapping

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
