"""Members: who a pseudonym is, and that one is to be forgotten."""

from datetime import datetime
from typing import ClassVar, Literal, Self

from klankbord_schemas.event import Data, Event
from klankbord_schemas.identity import Person, fact_id, person_of
from klankbord_schemas.types import Line, MemberDigest, NativeId, Pseudonym, Slug


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

    The only event that carries names. The bus keeps the last ones of each member.
    """

    facet_name: ClassVar[str] = "member"
    identified_by: ClassVar[str] = "the member, the appearance and the moment"

    type: Literal["org.klankbord.member.seen.v1"] = "org.klankbord.member.seen.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Looks are chosen by member, and the bus keeps the last ones of each."""
        return self.data.member

    @property
    def person(self) -> Person | None:
        """The member."""
        return person_of(self.community, self.data.member)

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


class Erasure(Data):
    """Who is to be forgotten, without the pseudonym."""

    community: Slug
    """The community that forgets the member."""
    member_digest: MemberDigest
    """SHA-256 of the member's pseudonym. Compare it with that of each `attributedTo` you hold."""


class MemberErased(Event[Erasure]):
    """A member is to be forgotten: delete what you hold of whoever has this digest.

    From here on nothing of the member is taken in. Every service answers `erasure.completed` when
    it has forgotten; asked once more, it answers once more.
    """

    facet_name: ClassVar[str] = "digest"
    identified_by: ClassVar[str] = "the community, the member's digest and the moment"

    type: Literal["org.klankbord.member.erased.v1"] = "org.klankbord.member.erased.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Erasures are chosen by the member's digest."""
        return self.data.member_digest

    @property
    def person(self) -> Person | None:
        """A digest names nobody: this event stays when the member goes."""
        return None

    @property
    def erased(self) -> Person:
        """Whom to forget."""
        return Person(self.data.community, self.data.member_digest)

    @classmethod
    def of(cls, erasure: Erasure, recordedtime: datetime) -> Self:
        """The event that says this member was erased at that moment."""
        return cls(
            id=fact_id(
                cls.type_name(), erasure.community, erasure.member_digest, recordedtime.timestamp()
            ),
            source=f"/ingest/{erasure.community}",
            subject=erasure.member_digest,
            time=recordedtime,
            recordedtime=recordedtime,
            data=erasure,
        )
