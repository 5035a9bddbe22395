"""One post of the sample: who says what, when, what it means, and what becomes of it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from klankbord_standalone.sample.meaning import TALK, Meaning
from klankbord_standalone.sample.people import Person

COMMUNITY = "kwint"
TIME_ZONE = ZoneInfo("Europe/Amsterdam")
WEEKS = 8

Submission = dict[str, Any]
"""A post or interaction as ingest's webhook door takes it."""


@dataclass(frozen=True)
class Edit:
    """A later version of a post."""

    at: datetime
    text: str
    meaning: Meaning


@dataclass(frozen=True)
class SamplePost:
    """A post."""

    native_id: str
    source: str
    at: datetime
    author: Person
    text: str
    url: str
    meaning: Meaning = TALK
    name: str | None = None
    thread: str | None = None
    """The native id of the post that opened the thread; none for that post itself."""
    to: str | None = None
    """The native id of the post that it answers."""
    edit: Edit | None = None
    deleted_at: datetime | None = None

    @property
    def stands(self) -> bool:
        """Whether it is there at the end."""
        return self.deleted_at is None

    @property
    def last_meaning(self) -> Meaning:
        """What it means at the end."""
        return self.edit.meaning if self.edit else self.meaning

    def submissions(self) -> list[tuple[datetime, Submission]]:
        """Its versions, each with its moment."""
        post: Submission = {
            "nativeId": self.native_id,
            "operation": "create",
            "published": written(self.at),
            "attributedTo": self.author.actor(),
            "url": self.url,
            "content": self.text,
        }
        if self.name:
            post["name"] = self.name
        if self.thread:
            post |= {"context": self.thread, "inReplyTo": self.to or self.thread}
        versions = [(self.at, post)]
        if self.edit:
            changed = {"operation": "update", "updated": written(self.edit.at)}
            versions.append((self.edit.at, post | changed | {"content": self.edit.text}))
        if self.deleted_at:
            gone = {"operation": "delete", "updated": written(self.deleted_at), "content": ""}
            versions.append((self.deleted_at, post | gone))
        return versions


def first_monday(today: date) -> date:
    """The Monday on which the sample begins: eight whole weeks before the week of `today`."""
    return today - timedelta(days=today.weekday(), weeks=WEEKS)


def local(day: date, of_day: time) -> datetime:
    """That moment where the community lives, in UTC."""
    return datetime.combine(day, of_day, TIME_ZONE).astimezone(UTC)


def written(moment: datetime) -> str:
    """A moment as JSON has it."""
    return moment.isoformat().replace("+00:00", "Z")


def address(source: str, thread: str, number: int) -> str:
    """Where a post can be read."""
    place = f"https://{source}.kwint.example/t/{thread}"
    return f"{place}#{number}" if number else place
