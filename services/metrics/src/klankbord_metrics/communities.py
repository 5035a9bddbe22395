"""The communities and their time zones: the part of `klankbord.yaml` that metrics reads."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import NamedTuple
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, field_validator

from klankbord_runtime.yamlfile import read_yaml
from klankbord_schemas.types import Line, Slug

UNKNOWN_TIME_ZONE = "UTC"
"""Where a community that the file does not list has its days."""


class Community(NamedTuple):
    """A community as metrics knows it."""

    slug: str
    name: str
    """Its name on display."""
    time_zone: str
    """The IANA time zone in which its days and weeks begin."""
    is_known: bool
    """Whether `klankbord.yaml` lists it."""


@cache  # reading the names takes tens of milliseconds, and each community asks
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})  # another one on each machine


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    slug: Slug
    name: Line
    time_zone: str

    @field_validator("time_zone")
    @classmethod
    def _exists(cls, name: str) -> str:
        if name not in _time_zones():
            near = get_close_matches(name, _time_zones(), n=1)
            fix = f"did you mean {near[0]}?" if near else "write one such as Europe/Amsterdam"
            raise ValueError(f"{name!r} is no IANA time zone; {fix}")
        return name


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    communities: tuple[_Entry, ...]

    @field_validator("communities")
    @classmethod
    def _each_once(cls, entries: tuple[_Entry, ...]) -> tuple[_Entry, ...]:
        slugs = [entry.slug for entry in entries]
        for slug in slugs:
            if slugs.count(slug) > 1:
                raise ValueError(f"two communities are named {slug!r}; give each its own slug")
        return entries


def parse_communities(body: bytes) -> Mapping[str, Community]:
    """The communities of a `klankbord.yaml`, by slug. Whatever else it says is ignored.

    Raises:
        Refused: it is no YAML, or its `communities` are not well formed; says where and why.
    """
    return {
        entry.slug: Community(entry.slug, entry.name, entry.time_zone, is_known=True)
        for entry in read_yaml(body, _File).communities
    }


def unlisted(slug: str, stored: Community | None) -> Community:
    """A community that the file does not list: as it was last known, else by its slug, in UTC."""
    if stored is not None:
        return stored._replace(is_known=False)
    return Community(slug, slug, UNKNOWN_TIME_ZONE, is_known=False)
