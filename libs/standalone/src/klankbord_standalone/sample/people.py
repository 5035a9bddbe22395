"""The people of the sample community. All of them are invented."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, RootModel

from klankbord_runtime.yamlfile import read_yaml
from klankbord_standalone.sample.chance import Chance

SPEAKERS: Mapping[str, float] = {"en": 0.34, "nl": 0.28, "de": 0.15, "sv": 0.14, "fi": 0.09}
"""The share of members who are at home in each language."""


@dataclass(frozen=True)
class Person:
    """Someone who writes."""

    id: str
    """What the platform calls them."""
    name: str
    language: str
    """Their own; everyone also reads and writes English."""
    joined_week: int = 0
    """Counted from the first week, 0."""
    activity: float = 0
    """How much they write, as a weight."""
    is_bot: bool = False

    @property
    def first_name(self) -> str:
        """What others call them."""
        return self.name.split()[0]

    def actor(self) -> dict[str, str]:
        """They as an ActivityStreams actor."""
        return {
            "id": self.id,
            "type": "Service" if self.is_bot else "Person",
            "preferredUsername": self.id,
            "name": self.name,
        }


STAFF: Mapping[str, Person] = {
    person.id: person
    for person in (
        Person("marloes", "Marloes Visserman (Kwint)", "nl"),
        Person("joakim", "Joakim Strandell (Kwint)", "sv"),
        Person("eline", "Eline Draaijer (Kwint)", "nl"),
        Person("petteri", "Petteri Kallioinen (Kwint)", "fi"),
        Person("wiebke", "Wiebke Harmsen (Kwint)", "de"),
        Person("sunniva", "Sunniva Aasland (Kwint)", "en"),
    )
}
"""Who works at Kwint, and writes in the community."""

BOT = Person("kwint-sync", "Kwint Sync", "en", is_bot=True)

JOINING = (118, 12, 13, 15, 30, 20, 22, 14)
"""How many members join in each week; those of the first were there before."""


class Names(BaseModel):
    """Names of one language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: list[str]
    last: list[str]


@cache
def names() -> Mapping[str, Names]:
    """Names by language, from `names.yaml`."""
    body = (files(__package__) / "names.yaml").read_bytes()
    return read_yaml(body, RootModel[dict[str, Names]]).root


def members(chance: Chance) -> list[Person]:
    """The members, in the order in which they joined; no two share a name."""
    named: dict[str, Person] = {}
    for week, joining in enumerate(JOINING):
        wanted = len(named) + joining
        while len(named) < wanted:
            language = chance.weighed(SPEAKERS)
            known = names()[language]
            name = f"{chance.pick(known.first)} {chance.pick(known.last)}"
            if name not in named:
                activity = (1 + chance.number(0, 150)) ** -0.6
                named[name] = Person(_handle(name, len(named)), name, language, week, activity)
    return list(named.values())


def _handle(name: str, number: int) -> str:
    first = name.split()[0].lower()
    plain = first.translate(str.maketrans("åäöüß", "aaous"))
    return f"{plain}{number}"
