"""The crowd that posts, and everything that must become of it: what the auditor compares with.

Every post is known by its number: what it says, who says it, when, and so on which day it counts,
whether it is flagged, and who gets it as a case.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from klankbord_schemas import post_identity

BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)
APART = timedelta(minutes=1)
ZONE = ZoneInfo("Europe/Amsterdam")
MEMBERS = 97
POISON = "Whoever handles this post dies at once."
"""`understudy.py` dies of it."""

SAYINGS = {
    "bug": "The app crashes when I open the settings page: error 500 every time.",
    "lead": "We would like to buy 40 licences, who can send us a quote?",
    "flag": "Free money!!! Earn $5000 a week from home, click here now",
    "chat": "Lovely weather on the way to the office this morning.",
}
DEPARTMENTS = {"bug": "product", "lead": "sales"}


@dataclass(frozen=True)
class Said:
    """One post of the crowd."""

    number: int
    poison: bool = False

    @property
    def kind(self) -> str:
        return "chat" if self.poison else list(SAYINGS)[self.number % len(SAYINGS)]

    @property
    def identity(self) -> UUID:
        return post_identity("acme", "forum", str(self.number))

    @property
    def member(self) -> str:
        return f"member-{self.number % MEMBERS}"

    @property
    def published(self) -> datetime:
        return BEGIN + self.number * APART

    @property
    def day(self) -> date:
        return self.published.astimezone(ZONE).date()

    def submission(self) -> dict[str, Any]:
        """The post as the forum hands it in."""
        return {
            "nativeId": str(self.number),
            "published": self.published.isoformat(),
            "attributedTo": {"id": self.member, "preferredUsername": self.member},
            "content": f"{POISON if self.poison else SAYINGS[self.kind]} ({self.number})",
        }


@dataclass(frozen=True)
class Delivery:
    """What the forum sends at once."""

    number: int
    posts: tuple[Said, ...]
    again: tuple[Said, ...]
    """Posts that it has sent before."""
    hasty: bool
    """Sent once, whatever becomes of it: a source that does not wait for its 202."""
    skew: timedelta
    """How wrong the sender's clock is at its first try."""


@dataclass(frozen=True)
class Size:
    """How much the crowd says."""

    posts: int
    poisons: int = 0
    hasty: int = 0
    """Deliveries that are not tried again."""
    skewed: int = 0
    """Deliveries that are tried first with a clock that is ten minutes wrong."""
    per_delivery: int = 50
    again: float = 0.055
    malformed: float = 0.02


def deliveries(size: Size, seed: int) -> list[Delivery]:
    """Everything that the crowd says, in the order and the portions that the seed gives."""
    chance = random.Random(seed)
    portions = range(0, size.posts, size.per_delivery)
    special = chance.sample(range(size.poisons + 1, len(portions)), size.hasty + size.skewed)
    hasty, skewed = set(special[: size.hasty]), special[size.hasty :]
    skews = {number: timedelta(minutes=10 * (-1) ** i) for i, number in enumerate(skewed)}
    made: list[Delivery] = []
    known: list[Said] = []
    for number, begin in enumerate(portions):
        end = min(begin + size.per_delivery, size.posts)
        # the poison comes early: each takes a minute to be given up
        posts = tuple(
            Said(n, poison=n == begin and 1 <= number <= size.poisons) for n in range(begin, end)
        )
        repeated = round(end * size.again) - round(begin * size.again)
        again = tuple(chance.sample(known, min(repeated, len(known))))
        made.append(Delivery(number, posts, again, number in hasty, skews.get(number, timedelta())))
        if number not in hasty:
            known += posts
    return made


@dataclass(frozen=True)
class Expected:
    """What must be everywhere, once these posts were taken in."""

    posts: Collection[Said]

    @property
    def identities(self) -> set[UUID]:
        return {said.identity for said in self.posts}

    @property
    def judged(self) -> set[UUID]:
        """Those that moderation survives."""
        return {said.identity for said in self.posts if not said.poison}

    @property
    def flagged(self) -> set[UUID]:
        return {said.identity for said in self.posts if said.kind == "flag"}

    @property
    def cases(self) -> set[tuple[UUID, str]]:
        return {
            (said.identity, DEPARTMENTS[said.kind])
            for said in self.posts
            if said.kind in DEPARTMENTS
        }

    def days(self) -> dict[tuple[str, date], float]:
        """What is measured of each day: posts, contributors and new ones, flags, open cases."""
        measured: Counter[tuple[str, date]] = Counter()
        people: dict[date, set[str]] = {}
        firsts: dict[str, date] = {}
        for said in self.posts:
            measured["posts", said.day] += 1
            measured["flagged-posts", said.day] += said.kind == "flag"
            measured["open-cases", said.day] += said.kind in DEPARTMENTS
            people.setdefault(said.day, set()).add(said.member)
            firsts[said.member] = min(said.day, firsts.get(said.member, said.day))
        for day, members in people.items():
            measured["contributors", day] = len(members)
        for day in firsts.values():
            measured["new-contributors", day] += 1
        return {key: float(value) for key, value in measured.items() if value}

    def totals(self) -> dict[str, int]:
        """What all days make together."""
        return {
            "posts": len(self.posts),
            "contributors": len({said.member for said in self.posts}),
            "flagged_posts": len(self.flagged),
            "open_cases": len(self.cases),
        }


@dataclass(frozen=True)
class Malformed:
    """What is no event, and who puts it on the bus."""

    user: str
    subject: str
    body: bytes
    id: str


MALFORMED = "malformed-"
"""What the message ids of these begin with."""
FROM = (
    ("ingest", "klankbord.post.received.v1.acme.forum"),
    ("ingest", "klankbord.interaction.received.v1.acme.forum"),
    ("moderation", "klankbord.post.flagged.v1.acme.scam"),
    ("routing", "klankbord.feedback.routed.v1.acme.product"),
    ("operator", "klankbord.replay.POSTS.moderation-posts"),
    ("operator", "klankbord.replay.POSTS.routing-posts"),
)
BODIES = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe\x00\x00",
    b"[" * 100_000,
    b'{"specversion":"1.0","type":"org.klankbord.post.received.v1"}',
    b'{"specversion":"1.0","type":"org.klankbord.post.received.v9","data":{}}',
    b'{"specversion":"1.0","type":7,"id":"\\u0000","data":{"content":NaN}}',
    b'{"type":"org.klankbord.post.flagged.v1","data":{"post":"' + b"x" * 800_000 + b'"}}',
)


def malformed(count: int, seed: int) -> list[Malformed]:
    """So many messages that no consumer can read."""
    chance = random.Random(seed)
    return [
        Malformed(*chance.choice(FROM), chance.choice(BODIES), f"{MALFORMED}{number}")
        for number in range(count)
    ]


def measured_days(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, date], float]:
    """The same of what was measured, by metric and day, for the metrics that are expected."""
    return {
        (row["metric"], row["window_start"].astimezone(ZONE).date()): row["value"] for row in rows
    }
