"""Yardstick: a loop over compiled expressions, as a bot that moderates a chat is written."""

import re
from collections.abc import Sequence

Hit = tuple[int, tuple[int, int]]
"""Which rule, and where."""


class PlainRules:
    """One list of expressions a rule."""

    def __init__(self, rules: Sequence[Sequence[str]]) -> None:
        self._rules = [
            (index, re.compile(expression, re.IGNORECASE))
            for index, expressions in enumerate(rules)
            for expression in expressions
        ]

    def hits(self, text: str) -> list[Hit]:
        """Everything that matches."""
        return [
            (index, match.span())
            for index, compiled in self._rules
            for match in compiled.finditer(text)
        ]
