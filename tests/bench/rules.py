"""The rule engine against a plain loop over `re`: same rules, same texts, processor time."""

import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import yaml
from bench.rounds import Round
from bench.sizes import Size
from bench.talk import Talk, policy, terms
from bench.yardsticks.plain import PlainRules

from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import Judge
from klankbord_schemas import PostReceived

COUNTS = {f"rules_vs_re_{count}": count for count in (10, 100, 500, 10_000)}
PATTERNS = "rules_vs_re_patterns"
NAMES = (*COUNTS, PATTERNS)
CHECKED = 50
"""Texts of which both must find the same."""


class UnlikeError(RuntimeError):
    """Both sides were to find the same and did not."""


class Rules:
    """Texts, and both engines."""

    def __init__(self, size: Size, seed: int) -> None:
        self._seconds = size.cpu_seconds
        self._texts = size.texts
        self._seed = seed

    async def round(self, wanted: Collection[str]) -> Round:
        """Every number of rules once."""
        found = Round()
        for name, count in COUNTS.items():
            if name in wanted:
                document = yaml.safe_load(policy(count, shipped=False))
                self._compare(found, name, document, terms(count), same=True)
        if PATTERNS in wanted:
            document = yaml.safe_load(policy(0))
            document["rules"] = [
                {name: value for name, value in rule.items() if "terms" not in name}
                for rule in document["rules"]
                if "patterns" in rule
            ]
            self._compare(found, PATTERNS, document, terms(10), same=False)
        return found

    def _compare(
        self, found: Round, name: str, document: Any, hits: Sequence[str], *, same: bool
    ) -> None:
        document |= {"repeats": [], "links": []}  # the plain loop knows no floods
        judge = Judge.read(yaml.safe_dump(document).encode())
        plain = PlainRules([_expressions(rule) for rule in document["rules"]])
        talk, now = Talk(self._seed, hits), datetime.now(UTC)
        events = [talk.event(number, now) for number in range(self._texts)]
        if same:
            ids = [rule["id"] for rule in document["rules"]]
            _require_same(events[:CHECKED], judge, plain, ids)

        def judged(event: PostReceived) -> object:
            return judge.labels(judge.hear(event), Sightings())

        def looped(event: PostReceived) -> object:
            return plain.hits(event.data.content)

        own, loop = (_cpu_us(way, events, self._seconds) for way in (judged, looped))
        found.values[name] = loop / own
        found.notes[name] = f"{own:,.1f} µs a text, the loop {loop:,.1f} µs"


def _expressions(rule: dict[str, Any]) -> list[str]:
    literal = [rf"\b{re.escape(term)}\b" for term in rule.get("terms", ())]
    return [*literal, *rule.get("patterns", ())]


def _require_same(
    events: Sequence[PostReceived], judge: Judge, plain: PlainRules, ids: Sequence[str]
) -> None:
    for event in events:
        labels = judge.labels(judge.hear(event), Sightings())
        own = {(label.rule, (e.start, e.end)) for label in labels for e in label.evidence}
        loop = {(ids[index], span) for index, span in plain.hits(event.data.content)}
        if own != loop:
            raise UnlikeError(f"{event.data.content!r}: we find {own}, the loop finds {loop}")


def _cpu_us(
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
