"""Members: who a pseudonym is. The only event that carries names."""

from datetime import datetime
from typing import ClassVar, Literal, Self

from klankbord_schemas.event import Data, Event
from klankbord_schemas.identity import fact_id
from klankbord_schemas.types import Line, NativeId, Pseudonym, Slug


class Member(Data):
    """Who an author is on one platform, as last seen."""

    community: Slug
    """The community the member was seen in."""
    source: Slug
    """The source that Klankbord saw the member through."""
    platform: NativeId
    """The platform instance that owns `nativeId`."""
    member: Pseudonym
    """The pseudonym that stands for this member in every other event."""
    native_id: NativeId
    """What the platform calls the member."""
    preferred_username: Line | None = None
    """The handle."""
    name: Line | None = None
    """The name on display."""
    icon: Line | None = None
    """The address of the avatar."""
    is_automated: bool = False
    """Whether the member is a bot."""


class MemberSeen(Event[Member]):
    """A member was seen for the first time, or under another name or face than before.

    The bus keeps one message per member, the last: deleting it forgets the name.
    """

    facet_name: ClassVar[str] = "member"
    identified_by: ClassVar[str] = "the member, the appearance and the moment"

    type: Literal["org.klankbord.member.seen.v1"] = "org.klankbord.member.seen.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Members are kept one message each."""
        return self.data.member

    @classmethod
    def of(cls, member: Member, recordedtime: datetime, traceparent: str | None = None) -> Self:
        """The event that says this member looked like this at that moment."""
        appearance = (member.preferred_username, member.name, member.icon, member.is_automated)
        return cls(
            id=fact_id(cls.type_name(), member.community, member.member, *appearance, recordedtime),
            source=f"/ingest/{member.community}/{member.source}",
            subject=member.member,
            time=recordedtime,
            recordedtime=recordedtime,
            traceparent=traceparent,
            data=member,
        )
