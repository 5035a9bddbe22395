"""Feedback: what members say, carried to the department that can act on it."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints

from klankbord_schemas.event import Data, Event
from klankbord_schemas.identity import Person, fact_id, person_of
from klankbord_schemas.post import PostReceived
from klankbord_schemas.types import (
    Count,
    Digest,
    Language,
    Line,
    Moment,
    Pseudonym,
    Sequence,
    Share,
    Slug,
    Text,
)

INTENTS = ("bug", "idea", "question", "complaint", "praise", "lead", "risk")
"""The intents that routing knows today. A reader takes one that it does not know as `other`."""

Intent = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]{0,30}$")]
Priority = Literal["critical", "high", "medium", "low"]
WithdrawnBecause = Literal["edited", "deleted", "flagged"]


class Reason(Data):
    """One thing that spoke for an intent or for a department."""

    rule: Slug
    """The cue list or the rule that spoke."""
    text: Line
    """The words that it found, or the rule's own explanation."""
    weight: Annotated[float, Field(allow_inf_nan=False)]
    """How much it counted; 0 for a rule that chose the department."""


class Feedback(Data):
    """What was said, what it is, and for whom."""

    community: Slug
    """The community the post belongs to."""
    source: Slug
    """The source the post came through."""
    department: Slug
    """Whom it is for."""
    post: UUID
    """The post's identity."""
    post_sequence: Sequence
    """The version that was routed."""
    case_revision: Count
    """How often this post was routed to this department, counted from 1."""
    intent: Intent
    """What it is: bug, idea, question, complaint, praise, lead, risk; open for more."""
    score: Share
    """How sure routing is, 0 to 1."""
    reasons: list[Reason] = Field(default_factory=list, max_length=50)
    """Why this intent and this department."""
    priority: Priority
    """How urgent it is."""
    due_at: Moment
    """When an answer is due."""
    rules: Digest
    """The routing file that decided."""
    attributed_to: Pseudonym | None = None
    """Who said it."""
    published: Moment
    """When it was said."""
    url: Line | None = None
    """Where it can be read."""
    name: Line | None = None
    """Its title."""
    content: Text
    """What was said."""
    language: Language
    """What it is written in."""


class FeedbackRouted(Event[Feedback]):
    """A post was carried to a department: what it is, why, and until when an answer is due."""

    facet_name: ClassVar[str] = "department"
    identified_by: ClassVar[str] = "the post, the department and the case's revision"

    type: Literal["org.klankbord.feedback.routed.v1"] = "org.klankbord.feedback.routed.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Feedback is chosen by department."""
        return self.data.department

    @property
    def person(self) -> Person | None:
        """Whoever said it."""
        return person_of(self.community, self.data.attributed_to)

    @classmethod
    def identity(cls, post: UUID, department: str, case_revision: int) -> UUID:
        """The id of the event that routed this post to this department for the n-th time."""
        return fact_id(cls.type_name(), post, department, case_revision)

    @classmethod
    def of(cls, cause: PostReceived, feedback: Feedback, recordedtime: datetime) -> Self:
        """The event that says this feedback was routed because of `cause`."""
        return cls(
            id=cls.identity(feedback.post, feedback.department, feedback.case_revision),
            source=f"/routing/{feedback.community}",
            subject=str(feedback.post),
            time=recordedtime,
            recordedtime=recordedtime,
            correlationid=cause.chain,
            causationid=cause.id,
            traceparent=cause.traceparent,
            data=feedback,
        )


class Withdrawal(Data):
    """Which routed feedback no longer stands, and why."""

    community: Slug
    """The community the post belongs to."""
    department: Slug
    """Whom it had been for."""
    post: UUID
    """The post's identity."""
    routed: UUID
    """The id of the `feedback.routed` event that is taken back."""
    because: WithdrawnBecause
    """What took it back: an edit, a delete or a flag."""
    explanation: Line
    """Why, in words for a person."""


class FeedbackWithdrawn(Event[Withdrawal]):
    """Routed feedback no longer stands: the post was edited, deleted or flagged."""

    facet_name: ClassVar[str] = "department"
    identified_by: ClassVar[str] = "the id of the event that routed it"

    type: Literal["org.klankbord.feedback.withdrawn.v1"] = "org.klankbord.feedback.withdrawn.v1"
    """This event's type."""

    @property
    def facet(self) -> str:
        """Withdrawals are chosen by department."""
        return self.data.department

    @property
    def person(self) -> Person | None:
        """It names nobody, and quotes nothing."""
        return None

    @classmethod
    def of(cls, cause: Event[Any], withdrawal: Withdrawal, recordedtime: datetime) -> Self:
        """The event that says this feedback was withdrawn because of `cause`.

        That is a post, a flag or an erasure.
        """
        return cls(
            id=fact_id(cls.type_name(), withdrawal.routed),
            source=f"/routing/{withdrawal.community}",
            subject=str(withdrawal.post),
            time=recordedtime,
            recordedtime=recordedtime,
            correlationid=cause.chain,
            causationid=cause.id,
            traceparent=cause.traceparent,
            data=withdrawal,
        )
