"""The rule engine against a plain loop over `re`: same rules, same texts, processor time."""

import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import yaml
from bench.rounds import Round
from bench.sizes import Size
from bench.talk import PLANTED, Talk, policy, terms
from bench.yardsticks.plain import PlainRules

from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import Judge
from klankbord_schemas import PostReceived

COUNTS = {f"rules_vs_re_{count}": count for count in (10, 100, 500, 10_000)}
PATTERNS = "rules_vs_re_patterns"
NAMES = (*COUNTS, PATTERNS)
FEW = 10
CHECKED = 30
"""Texts of which both must find the same, those with a planted term first."""


class UnlikeError(RuntimeError):
    """Both sides were to find the same and did not."""


@dataclass(frozen=True)
class Contest:
    """Both engines, with the same rules, and texts for them."""

    judge: Judge
    plain: PlainRules
    events: Sequence[PostReceived]

    def judged(self, event: PostReceived) -> object:
        """What moderation finds."""
        return self.judge.labels(self.judge.hear(event), Sightings())

    def looped(self, event: PostReceived) -> object:
        """What the loop finds."""
        return self.plain.hits(event.data.content)


class Rules:
    """Every contest; each is prepared once."""

    def __init__(self, size: Size, seed: int) -> None:
        self._seconds = size.cpu_seconds
        self._texts = size.texts
        self._seed = seed
        self._contests: dict[str, Contest] = {}

    async def round(self, wanted: Collection[str]) -> Round:
        """Every wanted contest once."""
        found = Round()
        for name in NAMES:
            if name not in wanted:
                continue
            contest = self._contests.get(name) or self._prepare(name)
            self._contests[name] = contest
            own = cpu_us(contest.judged, contest.events, self._seconds)
            loop = cpu_us(contest.looped, contest.events, self._seconds)
            found.values[name] = loop / own
            found.notes[name] = f"{own:,.1f} µs a text, the loop {loop:,.1f} µs"
        return found

    def _prepare(self, name: str) -> Contest:
        count = COUNTS.get(name)
        document = _patterns_alone() if count is None else _terms_alone(count)
        document |= {"repeats": [], "links": []}  # the plain loop knows no floods
        talk, now = Talk(self._seed, terms(count or FEW)), datetime.now(UTC)
        contest = Contest(
            Judge.read(yaml.safe_dump(document, allow_unicode=True).encode()),
            PlainRules([_expressions(rule) for rule in document["rules"]]),
            [talk.event(number, now) for number in range(self._texts)],
        )
        if count is not None:  # RE2 and re differ in what \b and \d mean beyond ASCII
            _require_same(contest, [rule["id"] for rule in document["rules"]])
        return contest


def _terms_alone(count: int) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(policy(count, shipped=False))
    return document


def _patterns_alone() -> dict[str, Any]:
    """The rules of the shipped policy that have expressions, without their terms."""
    document: dict[str, Any] = yaml.safe_load(policy(0))
    document["rules"] = [
        {name: value for name, value in rule.items() if "terms" not in name}
        for rule in document["rules"]
        if "patterns" in rule
    ]
    return document


def _expressions(rule: dict[str, Any]) -> list[str]:
    literal = [rf"\b{re.escape(term)}\b" for term in rule.get("terms", ())]
    return [*literal, *rule.get("patterns", ())]


def _require_same(contest: Contest, ids: Sequence[str]) -> None:
    planted_first = sorted(contest.events, key=lambda event: PLANTED not in event.data.content)
    for event in planted_first[:CHECKED]:
        labels = contest.judge.labels(contest.judge.hear(event), Sightings())
        own = {(label.rule, (e.start, e.end)) for label in labels for e in label.evidence}
        hits = contest.plain.hits(event.data.content)
        loop = {(ids[index], span) for index, span in hits}
        if own != loop:
            raise UnlikeError(f"{event.data.content!r}: we find {own}, the loop finds {loop}")


def cpu_us(
    way: Callable[[PostReceived], object], events: Sequence[PostReceived], seconds: float
) -> float:
    """Microseconds of processor time a text, over as many texts as fit into that time."""
    way(events[0])
    begun = time.process_time()
    for done, event in enumerate(cycle(events), start=1):
        way(event)
        if (spent := time.process_time() - begun) >= seconds:
            return spent / done * 1e6
    raise AssertionError("no texts")


@asynccontextmanager
async def rules(size: Size, seed: int) -> AsyncIterator[Rules]:
    """Nothing has to be started."""
    yield Rules(size, seed)
