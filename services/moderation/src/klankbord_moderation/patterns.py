"""Patterns that a policy writes: RE2, which reads any text once, whatever the pattern.

Syntax: https://github.com/google/re2/wiki/Syntax. A backtracking engine can be made to hang by a
post (`(a+)+$`); RE2 cannot, and its memory is capped here.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import re2

from klankbord_runtime.plain_text import Span

MAX_PATTERN = 500
ONE_PATTERN_BYTES = 1024**2
ALL_PATTERNS_BYTES = 16 * 1024**2

FIXES = (
    ("(?<=", "RE2 looks neither ahead nor behind; write what stands there as part of the pattern"),
    ("(?<!", "RE2 looks neither ahead nor behind; use except_terms for what is meant well"),
    ("(?=", "RE2 looks neither ahead nor behind; write what stands there as part of the pattern"),
    ("(?!", "RE2 looks neither ahead nor behind; use except_terms for what is meant well"),
    ("invalid escape sequence", "RE2 knows no such escape; write a plain backslash twice"),
    ("missing )", "close the bracket with ), or write \\( for a plain one"),
    ("missing parenthesis", "close the bracket with ), or write \\( for a plain one"),
    ("unexpected )", "take it out, or write \\) for a plain one"),
    ("missing ]", "close the class with ], or write \\[ for a plain bracket"),
    ("no argument for repetition", "write what is repeated before it, or \\ before a plain sign"),
    ("bad repetition operator", "keep one of the signs"),
    ("invalid repetition size", "repeat less than 1000 times, and write the smaller number first"),
    ("invalid character class range", "write the range from low to high, such as a-z"),
    ("too large", "shorten it, or repeat less"),
)  # fmt: skip
"""By what RE2 complains of: what to do."""


def check_pattern(pattern: str) -> str:
    """Check one pattern; gives it back.

    Raises:
        ValueError: it is not RE2, too long, too large, or it matches the empty text. Says where in
            the pattern, and what to do.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"is {len(pattern)} characters long; keep to {MAX_PATTERN}")
    try:
        compiled = re2.compile(pattern, _options(ONE_PATTERN_BYTES))
    except re2.error as error:
        raise ValueError(_explained(pattern, error)) from error
    if compiled.search("") is not None:
        raise ValueError(
            f"{pattern!r} matches the empty text, so every post; "
            "say what must be there, with + in place of *"
        )
    return pattern


def check_patterns(patterns: Sequence[str]) -> str | None:
    """Whether patterns that are each good are too large together; says so and what to do."""
    try:
        PatternSet(patterns)
    except re2.error:
        return "has patterns that are too large together; shorten them, or repeat less in them"
    return None


class PatternSet:
    """Patterns that are looked for all at once."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile patterns, each of which passed `check_pattern`.

        Raises:
            re2.error: together they are too large.
        """
        self._patterns = [re2.compile(pattern, _options(ONE_PATTERN_BYTES)) for pattern in patterns]
        self._any = re2.compile("|".join(f"(?:{pattern})" for pattern in patterns), _options())
        self._set = re2.Set.SearchSet(_options())
        for pattern in patterns:
            self._set.Add(pattern)
        self._set.Compile()

    def found(self, text: str) -> Iterator[tuple[int, Span]]:
        """Which patterns match where: indexes and spans in `text`, a plain reading."""
        if not self._patterns or self._any.search(text.encode()) is None:
            return
        # A set that runs out of memory says that nothing matches: then each pattern is asked.
        for index in self._set.Match(text) or range(len(self._patterns)):
            for match in self._patterns[index].finditer(text):
                if match.end() > match.start():
                    yield index, match.span()


def _options(max_bytes: int = ALL_PATTERNS_BYTES) -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    options.log_errors = False
    options.max_mem = max_bytes
    return options


def _explained(pattern: str, error: Exception) -> str:
    """RE2's complaint with where in the pattern it is, and what to do."""
    said = error.args[0]
    said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    wrong, _, part = said.partition(": ")
    at = pattern.find(part) if part else -1
    where = f" at character {at + 1} ({part})" if at >= 0 else ""
    fixes = (fix for sign, fix in FIXES if sign in said)
    return f"{pattern!r} is no RE2 pattern: {wrong}{where}; {next(fixes, 'see RE2’s syntax')}"
