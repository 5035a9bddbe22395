"""Communities, as `klankbord.yaml` lists them: no event, but the same for all who read it."""

from difflib import get_close_matches
from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from klankbord_schemas.types import Language, Line, Slug


@cache  # reading the names takes tens of milliseconds, and each community asks
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})  # another one on each machine


def _listed_by_iana(name: str) -> str:
    if name not in _time_zones():
        near = get_close_matches(name, _time_zones(), n=1)
        fix = f"did you mean {near[0]}?" if near else "write one such as Europe/Amsterdam"
        raise ValueError(f"{name!r} is no IANA time zone; {fix}")
    return name


TimeZone = Annotated[str, AfterValidator(_listed_by_iana)]
"""The IANA name of a time zone, such as `Europe/Amsterdam`."""


class Community(BaseModel):
    """A community: the people whose conversations belong together in reports and rules."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    slug: Slug
    """Its short name, which stands in every subject and every table."""
    name: Line
    """Its name on display."""
    time_zone: TimeZone
    """Where its days and weeks begin."""
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]
    """What its members write in: a detected language is always one of these."""


def _each_once(communities: tuple[Community, ...]) -> tuple[Community, ...]:
    slugs = [community.slug for community in communities]
    for slug in slugs:
        if slugs.count(slug) > 1:
            raise ValueError(f"two communities are named {slug!r}; give each its own slug")
    return communities


Communities = Annotated[tuple[Community, ...], Field(min_length=1), AfterValidator(_each_once)]
"""The `communities` of a `klankbord.yaml`: at least one, each with its own slug."""
