"""The rules of a policy, compiled: which of them a text breaks, and with which words."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from klankbord_moderation.patterns import PatternSet
from klankbord_moderation.policy import Rule
from klankbord_moderation.reading import Reading, readings
from klankbord_moderation.terms import Term, TermSet
from klankbord_runtime.plain_text import Folded, Span

MAX_SPANS = 20
"""The most places that are shown for one rule in one text."""


class Matcher:
    """All rules at once: terms by Aho-Corasick, patterns by RE2, disguises undone first."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._terms = TermSet(
            Term.of(index, written, exempts=exempts)
            for index, rule in enumerate(rules)
            for exempts, words in ((False, rule.terms), (True, rule.except_terms))
            for written in words
        )
        patterns = [(index, text) for index, rule in enumerate(rules) for text in rule.patterns]
        self._pattern_rules = [index for index, _ in patterns]
        self._patterns = PatternSet([text for _, text in patterns])

    def broken(self, text: Folded) -> dict[int, list[Span]]:
        """Which rules a text breaks, by their place in the policy.

        Returns:
            For each, where in the original its words stand: at most `MAX_SPANS` spans in order,
            none inside another.
        """
        broken: dict[int, list[Span]] = {}
        for reading in readings(text):
            for rule, spans in self._broken_in(reading).items():
                original = [reading.span(start, end) for start, end in spans]
                broken.setdefault(rule, []).extend(original)
        return {rule: _outermost(spans)[:MAX_SPANS] for rule, spans in broken.items()}

    def _broken_in(self, reading: Reading) -> dict[int, list[Span]]:
        accused: dict[int, list[Span]] = {}
        exempt: dict[int, list[Span]] = {}
        for term, span in self._terms_in(reading):
            (exempt if term.exempts else accused).setdefault(term.rule, []).append(span)
        for index, span in self._patterns.found(reading.text):
            accused.setdefault(self._pattern_rules[index], []).append(span)
        broken = {}
        for rule, spans in accused.items():
            remaining = _outside(_outermost(spans), exempt.get(rule, ()))
            if remaining:
                broken[rule] = remaining[:MAX_SPANS]
        return broken

    def _terms_in(self, reading: Reading) -> Iterator[tuple[Term, Span]]:
        yield from self._terms.found(reading.text)
        if reading.is_elongated:
            yield from self._terms.found_elongated(reading.text)


def _outermost(spans: Iterable[Span]) -> list[Span]:
    """Each span once and in order, without those inside another."""
    kept: list[Span] = []
    for start, end in sorted(set(spans), key=lambda span: (span[0], -span[1])):
        if not kept or end > kept[-1][1]:
            kept.append((start, end))
    return kept


def _outside(spans: Sequence[Span], exempt: Iterable[Span]) -> list[Span]:
    """The spans that do not lie inside an exempt one."""
    ordered = sorted(exempt)
    starts = [start for start, _ in ordered]
    reach = [0, *accumulate((end for _, end in ordered), max)]
    return [(start, end) for start, end in spans if reach[bisect_right(starts, start)] < end]
