"""All literal terms of a policy, looked for at once (Aho-Corasick), as whole words."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick, Implementation

from klankbord_moderation.reading import elongates, squeeze
from klankbord_runtime.plain_text import Span, fold, is_within_word


@dataclass(frozen=True, slots=True)
class Term:
    """A word or phrase of a rule, and whether it accuses or exempts what it covers."""

    rule: int
    """Which rule, by its place in the policy."""
    text: str
    """Its plain reading."""
    is_beginning: bool
    """Whether a word may go on after it: `idiot*`."""
    exempts: bool

    @classmethod
    def of(cls, rule: int, written: str, *, exempts: bool) -> "Term":
        """The term as a policy writes it."""
        return cls(rule, fold(written.removesuffix("*")).text, written.endswith("*"), exempts)


class TermSet:
    """Terms that are looked for all at once, in time that hardly depends on their number."""

    def __init__(self, terms: Iterable[Term]) -> None:
        self._terms: dict[str, list[Term]] = {}
        for term in terms:
            self._terms.setdefault(term.text, []).append(term)
        self._by_index = list(self._terms.values())
        # A DFA reads a text twice as fast as the default; 10,000 terms take it 6 MiB.
        self._automaton = AhoCorasick(list(self._terms), implementation=Implementation.DFA)
        squeezed: dict[str, list[tuple[Term, Sequence[int]]]] = {}
        for text, same in self._terms.items():
            short, starts = squeeze(text)
            squeezed.setdefault(short, []).extend((term, starts) for term in same)
        self._squeezed_by_index = list(squeezed.values())
        self._squeezed = AhoCorasick(list(squeezed))

    def found(self, text: str) -> Iterator[tuple[Term, Span]]:
        """Which terms stand in a reading, and where."""
        if not self._by_index:
            return
        for index, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True):
            if is_within_word(text, start):
                continue
            ends_word = not is_within_word(text, end)
            for term in self._by_index[index]:
                if ends_word or term.is_beginning:
                    yield term, (start, end)

    def found_elongated(self, text: str) -> Iterator[tuple[Term, Span]]:
        """Which terms stand in a reading with letters said three times or more, and where."""
        if not self._by_index:
            return
        short, starts = squeeze(text)
        for index, start, end in self._squeezed.find_matches_as_indexes(short, overlapping=True):
            if is_within_word(short, start):
                continue
            ends_word = not is_within_word(short, end)
            for term, meant in self._squeezed_by_index[index]:
                if (ends_word or term.is_beginning) and elongates(starts[start : end + 1], meant):
                    yield term, (starts[start], starts[end])
