"""The communities that are counted: those of `klankbord.yaml`, and whichever else is heard of."""

from collections.abc import Mapping
from typing import NamedTuple

from klankbord_runtime.yamlfile import Strict, read_yaml
from klankbord_schemas.community import Communities

UNKNOWN_TIME_ZONE = "UTC"
"""Where a community that the file does not list has its days."""


class CountedCommunity(NamedTuple):
    """A community as metrics knows it."""

    slug: str
    name: str
    """Its name on display."""
    time_zone: str
    """The IANA time zone in which its days and weeks begin."""
    is_known: bool
    """Whether `klankbord.yaml` lists it."""


class Total(NamedTuple):
    """A community's all-time totals."""

    community: str
    is_known: bool
    posts: int
    contributors: int
    interactions: int
    flagged_posts: int
    open_cases: Mapping[str, int]
    """By department."""


class CommunitiesFile(Strict, extra="ignore"):
    """`klankbord.yaml` as far as metrics reads it; what other services read in it is ignored."""

    communities: Communities


def parse_communities(body: bytes) -> Mapping[str, CountedCommunity]:
    """The communities of a `klankbord.yaml`, by slug.

    Raises:
        Refused: it is no YAML, or its `communities` are not well formed; says where and why.
    """
    return {
        listed.slug: CountedCommunity(listed.slug, listed.name, listed.time_zone, is_known=True)
        for listed in read_yaml(body, CommunitiesFile).communities
    }


def unlisted(slug: str, stored: CountedCommunity | None) -> CountedCommunity:
    """A community that the file does not list: as it was last known, else by its slug, in UTC."""
    if stored is not None:
        return stored._replace(is_known=False)
    return CountedCommunity(slug, slug, UNKNOWN_TIME_ZONE, is_known=False)
