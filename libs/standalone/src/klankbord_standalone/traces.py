"""Which messages are about a member, and which only quote the member: a search that does no I/O."""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from klankbord_runtime.deadletter import DeadLetter
from klankbord_runtime.permissions import DEAD
from klankbord_schemas import (
    Event,
    FeedbackRouted,
    Person,
    PostFlagged,
    PostReceived,
    QueryMatched,
    event_class,
    member_digest,
)

OF_POSTS = (PostReceived, PostFlagged, FeedbackRouted, QueryMatched)
"""What holds words of a post, whether or not that version names its author."""


@dataclass(frozen=True)
class Member:
    """Whom to look for."""

    community: str
    pseudonym: str
    native_id: str | None = None
    """What the platform calls the member, where that is known."""

    @property
    def person(self) -> Person:
        """The member as erasures name one."""
        return Person(self.community, member_digest(self.pseudonym))


@dataclass
class Traces:
    """Where something about a member is."""

    places: dict[str, list[int]] = field(default_factory=dict)
    """The sequences of the messages, by stream."""
    read: int = 0
    """How many messages were looked at."""

    @property
    def found(self) -> int:
        """How many messages there are."""
        return sum(map(len, self.places.values()))


class _Typed(BaseModel):
    type: str


class Search:
    """Tells which messages are about a member. Hears each message once, in any order."""

    def __init__(self, member: Member) -> None:
        self._person = member.person
        self._needles = [member.pseudonym.encode()]
        if member.native_id is not None:
            # as it stands in JSON, quotes included: a short one is a part of many words
            self._needles += {
                json.dumps(member.native_id, ensure_ascii=escaped).encode()
                for escaped in (True, False)
            }
        self._posts: set[UUID] = set()
        self._by_nobody: dict[UUID, list[tuple[str, int]]] = {}
        self.traces = Traces()

    def hear(self, stream: str, place: int, data: bytes) -> None:
        """Look at one message."""
        self.traces.read += 1
        letter = _letter(data) if stream == DEAD else None
        body = data if letter is None else letter.body
        if any(needle in part for needle in self._needles for part in {data, body}):
            if self._is_theirs(body):
                self._note(stream, place)
        elif b'"attributedTo"' not in body and any(
            kind.type_name().encode() in body for kind in OF_POSTS
        ):
            self._hear_by_nobody(stream, place, body)

    def finish(self) -> Traces:
        """What was found, once all was heard: only then is it known whose a post by nobody is."""
        for post in self._posts & self._by_nobody.keys():
            for stream, place in self._by_nobody[post]:
                self._note(stream, place)
        return self.traces

    def _is_theirs(self, body: bytes) -> bool:
        """Whether it is about the member, and not about one who quotes the member."""
        event = _event(body)
        if event is None:
            return True  # nobody can tell what these bytes are, and they name the member
        if isinstance(event, PostReceived) and event.person == self._person:
            self._posts.add(event.data.post)
        return event.person == self._person

    def _hear_by_nobody(self, stream: str, place: int, body: bytes) -> None:
        """A post without author, such as a delete, is theirs where another version of it is.

        So is what was found in it, and what was routed.
        """
        event = _event(body)
        if isinstance(event, OF_POSTS):
            self._by_nobody.setdefault(event.data.post, []).append((stream, place))

    def _note(self, stream: str, place: int) -> None:
        self.traces.places.setdefault(stream, []).append(place)


def _letter(data: bytes) -> DeadLetter | None:
    try:
        return DeadLetter.model_validate_json(data)
    except ValidationError:  # something else that lies there; its bytes are searched all the same
        return None


def _event(body: bytes) -> Event[Any] | None:
    try:
        return event_class(_Typed.model_validate_json(body).type).from_json(body)
    except (ValidationError, KeyError):
        return None
