"""The ways to read a text, each with its way back to the original.

The plain reading is made for every text; readings without disguises only for one that looks
disguised; and letters said three times or more (`spaaaam`) are compared by `squeeze`.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

from klankbord_moderation.disguise import Signs, looks_disguised, undisguised
from klankbord_runtime.plain_text import Folded, Span, fold, folded_characters

RUN = re.compile(r"([^\W\d_])\1+")


class Reading:
    """One way to read a text, and how to get from there to the original."""

    def __init__(self, folded: Folded, kept: Sequence[int], *, is_elongated: bool) -> None:
        self.text = folded.text
        """What is read."""
        self.is_elongated = is_elongated
        """Whether a letter is said three times or more, as in `spaaaam`."""
        self._folded = folded
        self._kept = kept

    def span(self, start: int, end: int) -> Span:
        """Where in the original the characters from `start` up to `end` of `text` stand."""
        starts, ends = self._origins
        return self._kept[starts[start]], self._kept[ends[end - 1] - 1] + 1

    @cached_property
    def _origins(self) -> tuple[Sequence[int], Sequence[int]]:
        """For each character of `text`, where what it was made of begins and ends in its source."""
        if self._folded.is_plain and len(self.text) == len(self._folded.original):
            return range(len(self.text)), range(1, len(self.text) + 1)
        made = list(folded_characters(self._folded.original))
        return [start for _, start, _ in made], [end for _, _, end in made]


def readings(folded: Folded) -> Iterator[Reading]:
    """The plain reading, then those in which disguises are undone, if it looks like one."""
    signs = Signs.of(folded.text)
    whole = range(len(folded.original))
    yield Reading(folded, whole, is_elongated=signs.elongated)
    if not looks_disguised(folded, signs):
        return
    seen = {folded.text}
    for source, kept in undisguised(folded):
        undone = fold(source)
        if undone.text not in seen:
            seen.add(undone.text)
            yield Reading(undone, kept, is_elongated=Signs.of(undone.text).elongated)


def squeeze(text: str) -> tuple[str, list[int]]:
    """Say each repeated letter once.

    Returns:
        The squeezed text, and where in `text` each of its characters begins; last, `len(text)`.
    """
    starts: list[int] = []
    end = 0
    for run in RUN.finditer(text):
        starts += range(end, run.start() + 1)
        end = run.end()
    starts += range(end, len(text) + 1)
    return RUN.sub(r"\1", text), starts


def elongates(said: Sequence[int], meant: Sequence[int]) -> bool:
    """Whether one squeezed text may stand for another, by where their characters begin.

    Each letter must be said as often as is meant, or three times or more.
    """
    pairs = zip(pairwise(said), pairwise(meant), strict=True)
    lengths = ((end - start, last - first) for (start, end), (first, last) in pairs)
    return all(length == needed or length >= max(3, needed) for length, needed in lengths)
