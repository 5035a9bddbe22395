"""Puts the sample together: people, everyday talk, stories, and what they do around it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from klankbord_standalone.sample.chance import Chance
from klankbord_standalone.sample.everyday import Everyday
from klankbord_standalone.sample.people import members
from klankbord_standalone.sample.phrases import LANGUAGES
from klankbord_standalone.sample.planted import Planted, planted
from klankbord_standalone.sample.post import COMMUNITY, SamplePost, Submission, first_monday
from klankbord_standalone.sample.reactions import Reactions
from klankbord_standalone.sample.stories import told

SEED = 1
"""The seed of the sample that `klankbord demo` plays."""
SOURCES = ("forum", "chat")
MOST_IN_A_DELIVERY = 200

CONFIGURATION: Mapping[str, Any] = {
    "communities": [
        {
            "slug": COMMUNITY,
            "name": "Kwint",
            "time_zone": "Europe/Amsterdam",
            "languages": list(LANGUAGES),
        }
    ],
    "sources": [
        {
            "name": source,
            "community": COMMUNITY,
            "kind": "webhook",
            "platform": "kwint.example",  # one account for both, so one member is one person
        }
        for source in SOURCES
    ],
}
"""What `klankbord.yaml` says for the sample: one community that talks in two places."""


@dataclass(frozen=True)
class Submitted:
    """One thing that a source hands in, in its turn."""

    at: datetime
    source: str
    form: str
    """`posts` or `interactions`."""
    body: Submission


@dataclass(frozen=True)
class Delivery:
    """One request to the webhook door."""

    source: str
    body: dict[str, list[Submission]]
    """`{"posts": […]}` or `{"interactions": […]}`."""


@dataclass(frozen=True)
class Sample:
    """Eight weeks of a community that does not exist."""

    posts: tuple[SamplePost, ...]
    """Every post, and what it is meant to be."""
    submitted: tuple[Submitted, ...]
    """Everything that is handed in, in the order of time."""
    planted: Planted
    """How it has to come out."""

    def deliveries(self, at_most: int = MOST_IN_A_DELIVERY) -> Iterator[Delivery]:
        """The same as requests to the door: a source holds back until it has `at_most` together."""
        held: dict[tuple[str, str], list[Submission]] = {}
        for submitted in self.submitted:
            together = held.setdefault((submitted.source, submitted.form), [])
            together.append(submitted.body)
            if len(together) == at_most:
                yield Delivery(submitted.source, {submitted.form: list(together)})
                together.clear()
        for (source, form), together in held.items():
            if together:
                yield Delivery(source, {form: together})


def sample(seed: int, today: date) -> Sample:
    """The sample community, as it was in the eight whole weeks before the week of `today`.

    Args:
        seed: another seed is another eight weeks in the same community; the stories stay.
        today: the same seed and the same day give the same sample, byte for byte.
    """
    monday = first_monday(today)
    chance = Chance(seed)
    people = members(chance)
    posts = sorted(
        [*told(monday), *Everyday(monday, people, chance).posts()],
        key=lambda post: (post.at, post.native_id),
    )
    submitted = [
        Submitted(at, post.source, "posts", body)
        for post in posts
        for at, body in post.submissions()
    ]
    submitted += [
        Submitted(at, source, "interactions", body)
        for at, source, body in Reactions(monday, people, posts, chance).all()
    ]
    submitted.sort(key=lambda one: (one.at, one.source, one.body["nativeId"]))
    interactions = [one.body for one in submitted if one.form == "interactions"]
    return Sample(tuple(posts), tuple(submitted), planted(posts, interactions))
