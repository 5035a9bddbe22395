"""Interactions: what people do around posts."""

from datetime import datetime
from typing import ClassVar, Literal, Self
from uuid import UUID

from klankbord_schemas.event import Data, Event
from klankbord_schemas.identity import Person, fact_id, person_of
from klankbord_schemas.trust import PublishedTrust, counted_at
from klankbord_schemas.types import Line, Moment, NativeId, Pseudonym, Slug

InteractionKind = Literal["like", "share", "click", "join", "leave", "view", "follow"]

Channel = Literal["search", "social", "ai", "email", "paid", "link", "direct"]
"""How someone came there: by a search engine, a social network, an assistant, a mail, something
that was paid for, a link elsewhere, or directly."""


class Interaction(Data):
    """Someone liked, shared, clicked, joined, left, viewed or followed."""

    community: Slug
    """The community it happened in."""
    source: Slug
    """The source that Klankbord heard it through."""
    platform: NativeId
    """The platform instance it happened on."""
    kind: InteractionKind
    """What was done."""
    native_id: NativeId | None = None
    """What the platform calls the interaction, where it has a name."""
    attributed_to: Pseudonym | None = None
    """Who did it; unknown for an anonymous click or view."""
    is_automated: bool = False
    """Whether a bot did it."""
    object: NativeId | None = None
    """The native id of the post it was done to; none for joins and leaves."""
    post: UUID | None = None
    """The identity of that post."""
    url: Line | None = None
    """The address that was clicked or viewed."""
    content: Line | None = None
    """What was said with it: the emoji of a reaction."""
    name: Line | None = None
    """What it is called: the goal that was reached."""
    campaign: Line | None = None
    """The campaign that it belongs to, as `utm_campaign` names it."""
    channel: Channel | None = None
    """How whoever did it came there."""
    referrer: Line | None = None
    """The host that led there; never a whole address."""
    published: Moment
    """When it was done."""
    published_trust: PublishedTrust
    """Whether to count it by `published` (attested) or by `recordedtime` (claimed)."""
    published_adjusted: bool = False
    """Whether `published` lay in the future and was set to the moment it was heard."""


class InteractionReceived(Event[Interaction]):
    """Someone did something around a post or in a community."""

    facet_name: ClassVar[str] = "source"
    identified_by: ClassVar[str] = (
        "its kind and the platform's id of it, else the post, who did it, what and when"
    )

    type: Literal["org.klankbord.interaction.received.v1"] = "org.klankbord.interaction.received.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Interactions are chosen by source."""
        return self.data.source

    @property
    def person(self) -> Person | None:
        """Whoever did it."""
        return person_of(self.community, self.data.attributed_to)

    @property
    def counted_at(self) -> datetime:
        """The moment the interaction is counted under."""
        return counted_at(self.data.published, self.data.published_trust, self.recordedtime)

    @classmethod
    def of(
        cls,
        interaction: Interaction,
        recordedtime: datetime,
        traceparent: str | None = None,
        *,
        stated: datetime | None = None,
    ) -> Self:
        """The event that says this interaction was received at that moment.

        `stated` is when the platform says that it was done, where `published` had to be adjusted:
        told again, it is the same interaction.
        """
        named = interaction.native_id is not None
        parts = (
            (
                interaction.community,
                interaction.platform,
                interaction.kind,
                interaction.native_id,
            )
            if named
            else (
                interaction.community,
                interaction.platform,
                interaction.post or interaction.object or interaction.url,
                interaction.attributed_to,
                interaction.kind,
                (stated or interaction.published).timestamp(),
            )
        )
        identity = fact_id(cls.type_name(), "native" if named else "made", *parts)
        return cls(
            id=identity,
            source=f"/ingest/{interaction.community}/{interaction.source}",
            subject=str(interaction.post or identity),
            time=interaction.published,
            recordedtime=recordedtime,
            traceparent=traceparent,
            data=interaction,
        )
