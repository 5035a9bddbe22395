"""The sample's texts, read by the engines as they are shipped: each is found to be what it is
meant to be. The truth is declared with the texts; here it is only compared."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from hashlib import md5
from importlib.resources import files
from itertools import combinations
from typing import NamedTuple

import pytest

from klankbord_ingest.language import LanguageDetector
from klankbord_ingest.sources import parse_sources
from klankbord_moderation.flood import Sightings
from klankbord_moderation.judge import Heard, Judge
from klankbord_moderation.policy import parse_policy
from klankbord_routing.intent import Cues
from klankbord_routing.plain import Plain
from klankbord_routing.rules import parse_rules
from klankbord_schemas import Post, PostReceived, post_identity
from klankbord_schemas.post import SEVERITIES
from klankbord_standalone.sample import CONFIGURATION, SEED, Sample, sample
from klankbord_standalone.sample.planted import FLOOD
from klankbord_standalone.sample.post import SamplePost

TODAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Found(NamedTuple):
    """What the engines make of the last version of a post."""

    post: SamplePost
    heard: Heard
    live: set[str]
    shadow: set[str]
    departments: set[str]

    def __str__(self) -> str:
        found = f"{self.live or ''} {self.shadow or ''} {self.departments or ''}"
        return f"{self.post.last_meaning} was found {found}: {self.heard.event.data.content}"


class Engines:
    """Moderation and routing as they are shipped, without bus and database."""

    def __init__(self) -> None:
        self.detector = LanguageDetector()
        self.sources = parse_sources(json.dumps(CONFIGURATION).encode())
        self.judge = Judge(parse_policy(shipped("klankbord_moderation", "policy.yaml")))
        self.cues = Cues.parse(shipped("klankbord_routing", "cues.yaml"))
        self.rules = parse_rules(shipped("klankbord_routing", "routing.yaml"))

    def read(self, post: SamplePost) -> Found:
        event = self.event(post)
        heard = self.judge.hear(event)
        labels = self.judge.labels(heard, Sightings())
        plain = Plain.of(event.data.name, event.data.content)
        readings = self.cues.read(plain, event.data.language)
        assigned = self.rules.assign(event, plain, readings)
        bothered = not event.data.is_automated and not any(
            label.mode == "live"
            and SEVERITIES.index(label.severity) >= SEVERITIES.index(self.rules.withdraw_at)
            for label in labels
        )
        return Found(
            post,
            heard,
            {label.val for label in labels if label.mode == "live"},
            {label.val for label in labels if label.mode == "shadow"},
            {assignment.department for assignment in assigned} if bothered else set(),
        )

    def event(self, post: SamplePost) -> PostReceived:
        """What ingest says of the last version."""
        source = self.sources.by_name[post.source]
        text = post.edit.text if post.edit else post.text
        words = f"{post.name}\n{text}" if post.name else text
        heard = Post(
            community=source.community.slug,
            source=source.name,
            platform=source.platform,
            post=post_identity(source.community.slug, source.platform, post.native_id),
            native_id=post.native_id,
            operation="create",
            attributed_to=f"p-{md5(post.author.id.encode()).hexdigest()}",
            is_automated=post.author.is_bot,
            published=post.at,
            published_trust="attested",
            url=post.url,
            name=post.name,
            content=text,
            language=self.detector.language(words, source.community.languages),
        )
        return PostReceived.of(heard, 1, NOW)


def shipped(package: str, name: str) -> bytes:
    return files(package).joinpath(name).read_bytes()


def read(made: Sample) -> Iterator[Found]:
    engines = Engines()
    return (engines.read(post) for post in made.posts if post.stands)


@pytest.fixture(scope="module")
def found() -> list[Found]:
    return list(read(sample(SEED, TODAY)))


def test_moderation_finds_what_was_planted_and_nothing_else(found: list[Found]) -> None:
    wrong = [
        str(one)
        for one in found
        if one.live != some(one.post.last_meaning.label)
        or one.shadow != some(one.post.last_meaning.shadow)
    ]
    assert wrong == []


def test_routing_carries_each_post_to_its_department(found: list[Found]) -> None:
    wrong = [str(one) for one in found if one.departments != some(one.post.last_meaning.department)]
    assert wrong == []


def test_other_seeds_hold_as_well() -> None:
    wrong = [
        str(one)
        for one in read(sample(SEED + 1, date(2027, 3, 31)))
        if (one.live, one.departments)
        != (some(one.post.last_meaning.label), some(one.post.last_meaning.department))
    ]
    assert wrong == []


def test_no_order_of_arrival_changes_how_many_posts_are_a_flood(found: list[Found]) -> None:
    planted = sample(SEED, TODAY).planted
    judge = Engines().judge
    for order in (found, found[::-1]):
        sightings, flagged = Sightings(), Counter[str]()
        for one in order:
            for key in one.heard.keys:
                sightings.add(one.heard.sighting(key))
            labels = judge.labels(one.heard, sightings)
            flagged.update({label.val for label in labels if label.mode == "live"})
        assert dict(sorted(flagged.items())) == planted.flagged_posts_by_label
        assert flagged[FLOOD] > 1


def test_the_flood_is_one_author_within_the_hour(found: list[Found]) -> None:
    flood = [one.post for one in found if one.post.last_meaning.floods]
    assert len({post.author for post in flood}) == 1
    assert all(abs(a.at - b.at).total_seconds() < 3600 for a, b in combinations(flood, 2))
    assert all(post.last_meaning.label == "spam" for post in flood)


def some(value: str | None) -> set[str]:
    return {value} - {None}  # type: ignore[return-value]
