"""Erasures: that a service has forgotten a member."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field

from klankbord_schemas.event import Data, Event
from klankbord_schemas.identity import Person, fact_id
from klankbord_schemas.member import MemberErased
from klankbord_schemas.types import Count, MemberDigest, Slug


class Completion(Data):
    """What a service forgot."""

    community: Slug
    """The community that forgets the member."""
    member_digest: MemberDigest
    """SHA-256 of the member's pseudonym."""
    erasure: UUID
    """The id of the `member.erased` event that this answers."""
    service: Slug
    """Which service has forgotten."""
    removed: dict[Slug, Count] = Field(default_factory=dict, max_length=50)
    """How many of its records it removed, or no longer knows the member of, by what they are."""


class ErasureCompleted(Event[Completion]):
    """A service has forgotten a member: nothing of the member is left in its tables and outbox."""

    facet_name: ClassVar[str] = "service"
    identified_by: ClassVar[str] = "the service and the id of the event that it answers"

    type: Literal["org.klankbord.erasure.completed.v1"] = "org.klankbord.erasure.completed.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Answers are chosen by service."""
        return self.data.service

    @property
    def person(self) -> Person | None:
        """A digest names nobody."""
        return None

    @classmethod
    def answering(
        cls, cause: MemberErased, service: str, removed: Mapping[str, int], recordedtime: datetime
    ) -> Self:
        """The event that says this service has forgotten whom `cause` asked it to forget."""
        completion = Completion(
            community=cause.data.community,
            member_digest=cause.data.member_digest,
            erasure=cause.id,
            service=service,
            removed=dict(removed),
        )
        return cls.of(cause, completion, recordedtime)

    @classmethod
    def of(cls, cause: MemberErased, completion: Completion, recordedtime: datetime) -> Self:
        """The event that says this service has forgotten, as `cause` asked."""
        return cls(
            id=fact_id(cls.type_name(), completion.service, completion.erasure),
            source=f"/{completion.service}/{completion.community}",
            subject=completion.member_digest,
            time=recordedtime,
            recordedtime=recordedtime,
            correlationid=cause.chain,
            causationid=cause.id,
            traceparent=cause.traceparent,
            data=completion,
        )
