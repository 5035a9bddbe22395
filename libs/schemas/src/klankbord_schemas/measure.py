"""Measurements: one metric, one window, one number, with what it was made of."""

from datetime import date, datetime
from typing import ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field

from klankbord_schemas.event import Data, Event
from klankbord_schemas.identity import Person, fact_id
from klankbord_schemas.types import Count, Line, Moment, Slug, Value


class Window(Data):
    """The stretch of time that was measured, in the community's time zone."""

    grain: Literal["day", "week"]
    """A calendar day, or an ISO week (Monday to Sunday)."""
    start: Moment
    """Its first moment."""
    end: Moment
    """The first moment after it."""
    time_zone: Line
    """The community's IANA time zone, such as `Europe/Amsterdam`."""

    @property
    def first_day(self) -> date:
        """The day it begins on, in the community's time zone.

        Raises:
            zoneinfo.ZoneInfoNotFoundError: there is no such time zone.
        """
        return self.start.astimezone(ZoneInfo(self.time_zone)).date()


class Measurement(Data):
    """What a metric was in a window."""

    community: Slug
    """The community that was measured."""
    metric: Slug
    """Which metric: `posts`, `contributors`, `new-contributors`, `time-to-first-response`, …"""
    window: Window
    """When."""
    source: Slug | None = None
    """The one source it was measured over; none for the whole community."""
    value: Value | None = None
    """The value; none where there was nothing to measure: no response, no response time."""
    unit: Line
    """What the value counts: `posts`, `people`, `seconds`, `points`."""
    absolute: dict[Slug, Value] = Field(default_factory=dict, max_length=50)
    """The absolute numbers that the value was made of."""
    formula: Line
    """How the value follows from them."""
    previous: Value | None = None
    """The value in the window before, where that was measured."""
    revision: Count
    """How often this window was measured anew, counted from 1. The highest stands."""


class CommunityMeasured(Event[Measurement]):
    """A metric of a community was measured, or measured anew because of a late event or an edit."""

    facet_name: ClassVar[str] = "metric"
    identified_by: ClassVar[str] = (
        "the metric, the window, the community, the source and the revision"
    )

    type: Literal["org.klankbord.community.measured.v1"] = "org.klankbord.community.measured.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Measurements are chosen by metric."""
        return self.data.metric

    @property
    def person(self) -> Person | None:
        """Numbers name nobody."""
        return None

    @classmethod
    def of(cls, measurement: Measurement, recordedtime: datetime) -> Self:
        """The event that says this was measured at that moment."""
        window = measurement.window
        dimensions = (measurement.community, measurement.source)
        return cls(
            id=fact_id(
                cls.type_name(),
                measurement.metric,
                window.grain,
                window.start.isoformat(),
                *dimensions,
                measurement.revision,
            ),
            source=f"/metrics/{measurement.community}",
            subject=f"{measurement.metric}/{window.grain}/{window.first_day.isoformat()}",
            time=window.start,
            recordedtime=recordedtime,
            data=measurement,
        )
