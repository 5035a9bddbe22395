"""The auditor: compares what must be with what is, everywhere, and knows every post by its id."""

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from nats.aio.msg import Msg
from stage import Staged
from trust.crowd import MALFORMED, POISON, Expected, Said, measured_days
from trust.ledger import ADVISORIES, HANDLED

from klankbord_runtime.deadletter import DeadLetter
from klankbord_runtime.permissions import overlap
from klankbord_runtime.puller import delivery_of
from klankbord_schemas.topology import CONSUMERS, SERVICES, STREAMS, stream_of

Place = tuple[str, int, str]
"""A stream, a sequence in it, and a consumer."""


@dataclass
class Audit:
    """What was found wrong."""

    lost: int = 0
    """What must be and is not."""
    doubled: int = 0
    """What is more than once."""
    strange: int = 0
    """What is and must not be: said or counted of what never happened."""
    dead_unexplained: int = 0
    """Dead letters that nobody can explain, or that are not there, or are there twice."""
    dead_letters: int = 0
    terminated: int = 0
    """Messages that the server was told to give up."""
    terminated_silently: int = 0
    """Messages that the server was told to give up, without a dead letter."""
    findings: list[str] = field(default_factory=list)
    """Each of these in words."""

    @property
    def clean(self) -> bool:
        return not self.findings

    def compare(self, where: str, expected: Collection[Hashable], seen: Iterable[Hashable]) -> None:
        """Hold what is seen somewhere against what must be there, each once."""
        times = Counter(seen)
        must = set(expected)
        lost = len(must - times.keys())
        doubled = sum(count - 1 for count in times.values())
        strange = len(times.keys() - must)
        self.lost += lost
        self.doubled += doubled
        self.strange += strange
        for count, what in ((lost, "lost"), (doubled, "doubled"), (strange, "out of nowhere")):
            if count:
                self.findings.append(f"{where}: {count} {what} of {len(must)}")

    def compare_values(
        self, where: str, expected: Mapping[Any, float], seen: Mapping[Any, float]
    ) -> None:
        """Hold numbers against what they must be: too small has lost, too large has doubled."""
        for key in sorted(expected.keys() | seen.keys(), key=str):
            must, found = expected.get(key, 0.0), seen.get(key, 0.0)
            if must != found:
                self.lost += max(0, round(must - found))
                self.doubled += max(0, round(found - must))
                self.findings.append(f"{where} {key}: {found:g} instead of {must:g}")

    def __add__(self, other: "Audit") -> "Audit":
        return Audit(
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.strange + other.strange,
            self.dead_unexplained + other.dead_unexplained,
            self.dead_letters + other.dead_letters,
            self.terminated + other.terminated,
            self.terminated_silently + other.terminated_silently,
            self.findings + other.findings,
        )


Heard = Mapping[str, Sequence[dict[str, Any]]]
"""What third parties heard, by stream: the first of each id."""


async def audit(
    scene: Staged, accepted: Collection[Said], undecided: Collection[Said], heard: Heard
) -> Audit:
    """Look everywhere.

    Args:
        scene: settled.
        accepted: posts that a door answered 202 for.
        undecided: posts that nobody knows of whether they were taken in: all of it, or nothing.
        heard: what third parties heard.
    """
    found = Audit()
    known = await _column(scene, "ingest", "select post from post")
    expected = Expected([*accepted, *(said for said in undecided if said.identity in set(known))])
    streams = {s.name: await scene.messages(s.name) for s in STREAMS}
    events = {name: _distinct(messages) for name, messages in streams.items()}
    found.compare("ingest's posts", expected.identities, known)
    await _tables(scene, expected, found)
    _bus(expected, events, found, "the bus")
    _bus(expected, {name: list(said) for name, said in heard.items()}, found, "third parties")
    await _outboxes(scene, events, found)
    await _ledgers(scene, expected, events, found)
    await _dead_letters(scene, streams, found)
    return found


async def _tables(scene: Staged, expected: Expected, found: Audit) -> None:
    """What each service ended as."""
    found.compare(
        "moderation's posts",
        expected.judged,
        await _column(scene, "moderation", "select post from heard_post"),
    )
    found.compare(
        "verdicts", expected.flagged, await _column(scene, "moderation", "select post from verdict")
    )
    cases = await scene.fetch(
        "routing", "select post, department from feedback where state = 'open'"
    )
    found.compare("cases", expected.cases, [(row["post"], row["department"]) for row in cases])
    for what, posts, query in (
        ("metrics' posts", expected.identities, "select post from post"),
        ("metrics' counted posts", expected.identities, "select post from counted"),
        ("metrics' flags", expected.flagged, "select post from flag"),
    ):
        found.compare(what, posts, await _column(scene, "metrics", query))
    days = await scene.fetch(
        "reader",
        "select metric, window_start, value from metrics.published_measurement"
        " where grain = 'day' and source is null",
    )
    found.compare_values("a day's", expected.days(), _of(expected.days(), measured_days(days)))
    (total,) = await scene.fetch("reader", "select * from metrics.published_total")
    totals = {name: float(value) for name, value in expected.totals().items()}
    found.compare_values("the total of", totals, {name: float(total[name]) for name in totals})


def _bus(
    expected: Expected, events: Mapping[str, Sequence[dict[str, Any]]], found: Audit, where: str
) -> None:
    """What was said, each id once: two ids of one fact would be a fact said twice."""
    if "POSTS" in events:
        posts = [UUID(event["data"]["post"]) for event in events["POSTS"]]
        found.compare(f"posts on {where}", expected.identities, posts)
    flags = [UUID(event["data"]["post"]) for event in events["MODERATION"]]
    found.compare(f"flags on {where}", expected.flagged, flags)
    routed = [event["data"] for event in events["ROUTING"] if ".routed." in event["type"]]
    found.compare(
        f"cases on {where}",
        expected.cases,
        [(UUID(data["post"]), data["department"]) for data in routed],
    )
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for event in events["METRICS"]:
        data = event["data"]
        if data["window"]["grain"] == "day" and "source" not in data:
            key = data["metric"], data["window"]["start"]
            if key not in newest or data["revision"] > newest[key]["revision"]:
                newest[key] = data
    rows = [
        {
            "metric": metric,
            "window_start": datetime.fromisoformat(start),
            "value": data.get("value"),
        }
        for (metric, start), data in newest.items()
    ]
    days = expected.days()
    found.compare_values(f"a day's, on {where},", days, _of(days, measured_days(rows)))


async def _outboxes(
    scene: Staged, events: Mapping[str, Sequence[dict[str, Any]]], found: Audit
) -> None:
    """What a service said is on the bus if and only if it was committed."""
    for service in SERVICES:
        for said in service.produces:
            committed = await _column(
                scene,
                service.name,
                "select distinct id from outbox where subject like $1",
                f"{said.subject_prefix()}.%",
            )
            kept = events[stream_of(said).name]
            published = [e["id"] for e in kept if e["type"] == said.type_name()]
            found.compare(
                f"{said.type_name()} of the outbox", committed, [UUID(text) for text in published]
            )


async def _ledgers(
    scene: Staged, expected: Expected, events: Mapping[str, Sequence[dict[str, Any]]], found: Audit
) -> None:
    """How often the effect of each event was committed, by consumer."""
    poison = {str(said.identity) for said in expected.posts if said.poison}
    for consumer in CONSUMERS:
        types = {event.type_name() for event in consumer.events}
        must = [
            UUID(event["id"])
            for event in events[consumer.stream]
            if event["type"] in types
            and not (consumer.service == "moderation" and event["data"].get("post") in poison)
        ]
        handled = await _column(scene, consumer.service, HANDLED, consumer.name)
        found.compare(f"what {consumer.name} handled", must, handled)


async def _dead_letters(scene: Staged, streams: Mapping[str, Sequence[Msg]], found: Audit) -> None:
    """Each event that cannot be handled is kept once, with the reason, and nothing else is."""
    must: set[Place] = set()
    for consumer in CONSUMERS:
        for message in streams[consumer.stream]:
            is_bad = (message.headers or {}).get("Nats-Msg-Id", "").startswith(MALFORMED)
            is_poison = consumer.service == "moderation" and POISON.encode() in message.data
            if (is_bad or is_poison) and any(
                overlap(s, message.subject) for s in consumer.subjects
            ):
                sequence = delivery_of(message).stream_sequence
                must.add((consumer.stream, sequence, consumer.name))
    letters = [DeadLetter.model_validate_json(message.data) for message in streams["DEAD"]]
    dead = Counter((letter.stream, letter.stream_sequence, letter.consumer) for letter in letters)
    found.dead_letters = len(letters)
    wrong = {
        "unexplained": len(dead.keys() - must),
        "not there": len(must - dead.keys()),
        "there twice": sum(count - 1 for count in dead.values()),
        "without a reason": sum(not letter.detail for letter in letters),
    }
    advisories = [json.loads(message.data) for message in await scene.messages(ADVISORIES)]
    ended = {(a["stream"], a["stream_seq"], a["consumer"]) for a in advisories}
    found.dead_unexplained = sum(wrong.values())
    found.terminated = len(ended)
    found.terminated_silently = len(ended - dead.keys())
    if found.terminated_silently:
        wrong["missing, although the server was told to give the message up"] = (
            found.terminated_silently
        )
    found.findings += [f"dead letters: {count} {what}" for what, count in wrong.items() if count]


def _distinct(messages: Iterable[Msg]) -> list[dict[str, Any]]:
    """The events among them, the first of each id."""
    found: dict[str, dict[str, Any]] = {}
    for message in messages:
        if not (message.headers or {}).get("Nats-Msg-Id", "").startswith((MALFORMED, "dead:")):
            event = json.loads(message.data)
            found.setdefault(event["id"], event)
    return list(found.values())


def _of(expected: Mapping[Any, float], seen: Mapping[Any, float]) -> dict[Any, float]:
    """Those of the metrics that the crowd knows; a day with nothing of one counts as none."""
    metrics = {metric for metric, _ in expected}
    return {key: value for key, value in seen.items() if key[0] in metrics and value}


async def _column(scene: Staged, service: str, query: str, *arguments: Any) -> list[Any]:
    return [row[0] for row in await scene.fetch(service, query, *arguments)]
