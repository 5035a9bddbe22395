"""The stories of the sample: what `stories.yaml` says happens, as posts."""

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from klankbord_runtime.yamlfile import read_yaml
from klankbord_standalone.sample.meaning import Kind, Meaning
from klankbord_standalone.sample.people import STAFF, Person
from klankbord_standalone.sample.post import Edit, SamplePost, address, local

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AT = re.compile(r"([1-8]) (mon|tue|wed|thu|fri|sat|sun) (\d\d):(\d\d)")

At = Annotated[str, StringConstraints(pattern=f"^{AT.pattern}$")]
"""Week, day and time of day: `5 tue 10:00`."""


class Told(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Role(Told):
    """Someone who is in a story."""

    name: str
    language: str


class Changed(Told):
    """What an edit makes of a post."""

    at: At
    text: str
    means: Kind = "talk"


class Line(Told):
    """One post of a story."""

    at: At
    by: str
    text: str
    key: str | None = None
    to: str | None = None
    name: str | None = None
    url: str | None = None
    means: Kind = "talk"
    label: str | None = None
    shadow: str | None = None
    floods: bool = False
    edited: Changed | None = None
    deleted: At | None = None


class Thread(Told):
    """The posts of one thread, the opening one first."""

    source: str
    posts: list[Line]


class Stories(Told):
    """The file."""

    cast: dict[str, Role]
    threads: list[Thread]


@cache
def stories() -> Stories:
    """The stories as they are written."""
    return read_yaml((files(__package__) / "stories.yaml").read_bytes(), Stories)


def told(monday: date) -> list[SamplePost]:
    """Every post of every story.

    Args:
        monday: the first day of the sample.
    """
    file = stories()
    people = {key: Person(key, role.name, role.language) for key, role in file.cast.items()}
    posts = []
    for number, thread in enumerate(file.threads, start=1):
        posts += _told(thread, f"s{number}", monday, {**people, **STAFF})
    return posts


def native_id_of(key: str) -> str:
    """What the platform calls the post that has this key in the stories."""
    for number, thread in enumerate(stories().threads, start=1):
        for place, line in enumerate(thread.posts):
            if line.key == key:
                return _native_id(f"s{number}", place)
    raise KeyError(key)


def _told(
    thread: Thread, name: str, monday: date, people: Mapping[str, Person]
) -> list[SamplePost]:
    keys = {line.key: _native_id(name, place) for place, line in enumerate(thread.posts)}
    posts = []
    for place, line in enumerate(thread.posts):
        posts.append(
            SamplePost(
                native_id=_native_id(name, place),
                source=thread.source,
                at=_moment(line.at, monday),
                author=people[line.by],
                text=line.text,
                url=line.url or address(thread.source, name, place),
                meaning=Meaning(line.means, line.label, line.shadow, line.floods),
                name=line.name,
                thread=_native_id(name, 0) if place else None,
                to=keys[line.to] if line.to else None,
                edit=_edit(line.edited, monday) if line.edited else None,
                deleted_at=_moment(line.deleted, monday) if line.deleted else None,
            )
        )
    return posts


def _edit(changed: Changed, monday: date) -> Edit:
    return Edit(_moment(changed.at, monday), changed.text, Meaning(changed.means))


def _native_id(thread: str, place: int) -> str:
    return f"{thread}-{place}"


def _moment(at: str, monday: date) -> datetime:
    found = AT.fullmatch(at)
    assert found is not None
    days = timedelta(weeks=int(found[1]) - 1, days=DAYS.index(found[2]))
    return local(monday + days, time(int(found[3]), int(found[4])))
