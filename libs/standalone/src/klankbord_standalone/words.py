"""Words for people: numbers, days and codes as one says them, and foreign text safe to show."""

from collections.abc import Mapping
from datetime import date, datetime
from unicodedata import category
from zoneinfo import ZoneInfo

EXACT_DAYS = 4
"""From so many days on, nobody asks for the hours."""

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


def listed(numbers: Mapping[str, int]) -> str:
    """How many of each: `3 high, 1 low`."""
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items())


def printable(text: str) -> str:
    """The text without what may stand neither in a page nor in a terminal."""
    return "".join(char for char in text if char in "\n\t" or category(char) not in UNPRINTABLE)


def spelled(day: date) -> str:
    """A day as one says it: `9 November 2026`."""
    return f"{day.day} {day:%B %Y}"


def span(first: date, last: date) -> str:
    """From one day to another: `9–15 November 2026`, `28 September – 4 October 2026`."""
    if first.month == last.month:
        return f"{first.day}–{spelled(last)}"
    year = f" {first.year}" if first.year != last.year else ""
    return f"{first.day} {first:%B}{year} – {spelled(last)}"


def shortly(day: date) -> str:
    """A day for a narrow column: `9 Nov`."""
    return f"{day.day} {day:%b}"


def local(moment: datetime, time_zone: str, rest: str = "%Y %H:%M") -> str:
    """A moment where the community lives: `9 Nov 2026 14:05`, or the day and another rest."""
    there = moment.astimezone(ZoneInfo(time_zone))
    return f"{shortly(there.date())} {there.strftime(rest)}"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 post`, `412 posts`, `2 people`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def compared(number: int, before: int) -> str:
    """`38 more than`, `5 fewer than`, `as many as`."""
    if number == before:
        return "as many as"
    return f"{abs(number - before):,} {'more' if number > before else 'fewer'} than"


def lasting(seconds: float) -> str:
    """A length of time, as exact as one needs it: `45 s`, `1 h 20 min`, `2 d 3 h`, `9 d`."""
    if seconds < 60:
        return f"{int(seconds)} s"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days >= EXACT_DAYS:
        return f"{days} d"
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"
