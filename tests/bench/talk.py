"""What is posted: varied texts of real length, and policies that find something in some of them.

The sentences are those of the product's sample community, mixed anew; each post ends with its own
number, so that no two are alike. Everything follows from the seed.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import product
from random import Random
from typing import Any

import yaml

from klankbord_schemas import Post, PostReceived, post_identity
from klankbord_standalone.sample.chance import Chance
from klankbord_standalone.sample.phrases import Writer, phrases

COMMUNITY, SOURCE = "acme", "forum"
AUTHORS = 5_000
PLANTED = "Ask for"
HITS = 0.03
"""The share of posts that hold a term of `terms`."""
ONE_RECORDED_IN = 100
"""Of so many traces one is recorded, as by default."""
REPLIES = 0.5
SENTENCES_KEPT = 300
LENGTHS = {1: 15, 2: 20, 3: 20, 4: 15, 6: 18, 9: 12}
"""How many sentences a post has, and how often: four hundred characters in the mean."""
SMALL_TALK = {"talk": 2, "reply": 1}
KINDS = {"talk": 46, "reply": 26, "question": 10, "bug": 6, "idea": 4, "praise": 5, "complaint": 2,
         "lead": 1}  # fmt: skip
"""What a post is about, in its first sentence, and how often; the rest of it is small talk."""
LANGUAGES = {"en": 70, "nl": 15, "de": 15}
SYLLABLES = [first + then for first in "bdklmnrst" for then in "aeiou"]
PRONOUNCED = 4
"""Syllables of a made word."""


class Talk:
    """An endless conversation, the same for the same seed."""

    def __init__(self, seed: int, hits: Sequence[str] = ()) -> None:
        self._chance = Random(seed)
        self._hits = hits or terms(1_000)
        self._sentences = _sentences(seed)

    def text(self, number: int) -> str:
        """What that post says."""
        chance = self._chance
        (count,) = chance.choices(list(LENGTHS), list(LENGTHS.values()))
        (language,) = chance.choices(list(LANGUAGES), list(LANGUAGES.values()))
        (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
        of = self._sentences[language]
        said = [chance.choice(of[kind]), *chance.choices(of["small talk"], k=count - 1)]
        if chance.random() < HITS:
            said.insert(
                chance.randrange(count + 1), f"{PLANTED} {chance.choice(self._hits)} there."
            )
        return f"{' '.join(said)} ({number})"

    def submission(self, number: int, published: datetime) -> dict[str, Any]:
        """A post as a forum hands it in."""
        author = _author(self._chance)
        post: dict[str, Any] = {
            "nativeId": f"p{number}",
            "published": published.isoformat(),
            "attributedTo": {"id": f"u{author}", "preferredUsername": f"member{author}"},
            "url": f"https://forum.acme.example/t/{number}",
            "content": self.text(number),
        }
        if number and self._chance.random() < REPLIES:
            thread = f"p{max(0, number - self._chance.randint(1, 200))}"
            post |= {"context": thread, "inReplyTo": thread}
        return post

    def bodies(self, first: int, per_request: int) -> Iterator[tuple[bytes, int]]:
        """Deliveries from that number on, each with how many posts it holds; without end."""
        while True:
            now = datetime.now(UTC)
            numbers = range(first, first + per_request)
            posts = [self.submission(number, now) for number in numbers]
            yield json.dumps({"posts": posts}, ensure_ascii=False).encode(), per_request
            first += per_request

    def event(self, number: int, now: datetime, community: str = COMMUNITY) -> PostReceived:
        """A post as ingest says it: about 1 KB."""
        native_id, author = f"p{number}", _author(self._chance)
        said = Post(
            community=community,
            source=SOURCE,
            platform=SOURCE,
            post=post_identity(community, SOURCE, native_id),
            native_id=native_id,
            operation="create",
            attributed_to=f"p-{author:032x}",
            published=now,
            published_trust="attested",
            url=f"https://forum.acme.example/t/{number}",
            content=self.text(number),
            language="en",
        )
        is_recorded = number % ONE_RECORDED_IN == 0
        trace = f"00-{number + 1:032x}-{number + 1:016x}-{is_recorded:02x}"
        return PostReceived.of(said, 1, now + timedelta(milliseconds=3), trace)


def terms(count: int) -> list[str]:
    """That many words which no language has, every other one a phrase."""
    words = ("".join(parts) + "x" for parts in product(SYLLABLES, repeat=PRONOUNCED))
    chosen = list(zip(range(count), words, strict=False))
    return [f"{word} {word[:4]}s" if index % 2 else word for index, word in chosen]


def policy(count: int, *, shipped: bool = True) -> bytes:
    """A policy of that many terms: the one that comes with Klankbord, filled up; or terms alone.

    Every tenth rule, at most, holds ten terms: a policy may hold 2,000 rules.
    """
    file = files("klankbord_moderation").joinpath("policy.yaml")
    document: dict[str, Any] = yaml.safe_load(file.read_bytes())
    if not shipped:
        document["rules"] = []
    there = sum(len(rule.get("terms", ())) for rule in document["rules"])
    wanted = terms(max(0, count - there))
    size = 1 if count <= 1_000 else 10
    for start in range(0, len(wanted), size):
        rule = {
            "id": f"made-{start}",
            "label": "spam",
            "severity": "medium",
            "mode": "live",
            "explanation": "Names what nobody sells.",
            "terms": wanted[start : start + size],
        }
        document["rules"].append(rule)
    return json.dumps(document).encode()  # YAML 1.2 contains JSON


def _author(chance: Random) -> int:
    """One of the members; a few write most."""
    return int(AUTHORS * chance.random() ** 3)


def _sentences(seed: int) -> dict[str, dict[str, list[str]]]:
    """Sentences that are filled in, by language and kind."""
    writer = Writer(Chance(seed))
    found: dict[str, dict[str, list[str]]] = {}
    for language in LANGUAGES:
        of = found[language] = {
            kind: [
                writer.write(language, getattr(phrases(language), kind), "Robin")
                for _ in range(SENTENCES_KEPT)
            ]
            for kind in KINDS
        }
        of["small talk"] = [one for kind, times in SMALL_TALK.items() for one in of[kind] * times]
    return found
