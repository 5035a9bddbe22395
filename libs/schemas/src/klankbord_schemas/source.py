"""Sources: whether the places where the community talks can still be heard."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from klankbord_schemas.event import Data, Event
from klankbord_schemas.identity import Person, fact_id
from klankbord_schemas.types import Moment, Slug


class Silence(Data):
    """How long nothing was heard, and what should have been."""

    community: Slug
    """The community that talks there."""
    source: Slug
    """The source that is silent."""
    since: Moment
    """When something new was last heard."""
    expected: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
    """How many posts and interactions should have come since then, by the source's own rhythm:
    what each hour of the week brought over the four weeks before."""
    at_once: Annotated[float, Field(ge=1, le=1e12, allow_inf_nan=False)] = 1.0
    """How many come together, where they come in bursts: so many count as one."""


class SourceSilent(Event[Silence]):
    """A source fell silent against its own rhythm: ten times over, something should have come."""

    facet_name: ClassVar[str] = "source"
    identified_by: ClassVar[str] = "the community, the source and the moment it was last heard"

    type: Literal["org.klankbord.source.silent.v1"] = "org.klankbord.source.silent.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Silences are chosen by source."""
        return self.data.source

    @property
    def person(self) -> Person | None:
        """A source is nobody."""
        return None

    @classmethod
    def of(cls, silence: Silence, recordedtime: datetime) -> Self:
        """The event that says the source was found to be silent at that moment."""
        since = silence.since.isoformat()
        return cls(
            id=fact_id(cls.type_name(), silence.community, silence.source, since),
            source=f"/ingest/{silence.community}/{silence.source}",
            subject=silence.source,
            time=recordedtime,
            recordedtime=recordedtime,
            data=silence,
        )
