"""A thousand saved queries against 500 of moderation's rules: same texts, processor time."""

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from bench.rounds import Round
from bench.rules import cpu_us
from bench.sizes import Size
from bench.talk import PLANTED, Talk, policy, terms

from klankbord_ingest.query.matcher import QuerySet
from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import Judge
from klankbord_schemas import PostReceived

NAME = "queries_vs_rules"
NAMES = (NAME,)
QUERIES, WORDS, RULES = 1_000, 4, 500
OFTEN = ("the", "app", "settings", "thanks", "works")
"""Words that many posts have: what a query asks for beside its own."""


class NothingFoundError(RuntimeError):
    """Texts with words of the queries in them were not found."""


class Queries:
    """Both sides, prepared once."""

    def __init__(self, size: Size, seed: int) -> None:
        self._seconds = size.cpu_seconds
        words = terms(QUERIES * WORDS)
        self._queries = QuerySet.read(_document(words))
        self._judge = Judge.read(policy(RULES, shipped=False))
        talk, now = Talk(seed, words), datetime.now(UTC)
        self._events = [talk.event(number, now) for number in range(size.texts)]
        planted = [event for event in self._events if PLANTED in event.data.content]
        if not all(self._found(event) for event in planted):
            raise NothingFoundError

    async def round(self, wanted: Collection[str]) -> Round:
        """Measure both once."""
        found = Round()
        if NAME in wanted:
            rules = cpu_us(self._judged, self._events, self._seconds)
            queries = cpu_us(self._found, self._events, self._seconds)
            found.values[NAME] = rules / queries
            found.notes[NAME] = f"{queries:,.1f} µs a text, {RULES} rules {rules:,.1f} µs"
        return found

    def _found(self, event: PostReceived) -> object:
        return list(self._queries.matches(event.data, event.version))

    def _judged(self, event: PostReceived) -> object:
        return self._judge.labels(self._judge.hear(event), Sightings())


def _document(words: list[str]) -> bytes:
    """Queries of four words of their own; every fourth asks for a word beside that many posts have,
    every fourth does not want one, every fourth knows its language.
    """
    queries = []
    for number in range(QUERIES):
        own = words[number * WORDS : (number + 1) * WORDS]
        query = {"name": f"made-{number}", "any": own}
        often = OFTEN[number % len(OFTEN)]
        match number % 4:
            case 1:
                query["any"] = [*own, f"{often} {own[0]}"]
            case 2:
                query["none"] = [f"{often} again and again"]
            case 3:
                query["languages"] = ["en", "und"]
        queries.append(query)
    queries += [
        {"name": f"both-{number}", "all": [often, words[number]]}
        for number, often in enumerate(OFTEN)
    ]
    return json.dumps({"queries": queries}).encode()  # YAML 1.2 contains JSON


@asynccontextmanager
async def queries(size: Size, seed: int) -> AsyncIterator[Queries]:
    """Nothing has to be started."""
    yield Queries(size, seed)
