"""Every event there is. Documents, stored schemas and contract tests are made from this list."""

from typing import Any, TypeAlias

from klankbord_schemas.erasure import ErasureCompleted
from klankbord_schemas.event import Event
from klankbord_schemas.feedback import FeedbackRouted, FeedbackWithdrawn
from klankbord_schemas.interaction import InteractionReceived
from klankbord_schemas.measure import CommunityMeasured
from klankbord_schemas.member import MemberErased, MemberSeen
from klankbord_schemas.post import PostFlagged, PostReceived
from klankbord_schemas.query import QueryMatched
from klankbord_schemas.source import SourceSilent

EventClass: TypeAlias = type[Event[Any]]

EVENTS: tuple[EventClass, ...] = (
    PostReceived,
    InteractionReceived,
    MemberSeen,
    PostFlagged,
    FeedbackRouted,
    FeedbackWithdrawn,
    CommunityMeasured,
    MemberErased,
    ErasureCompleted,
    QueryMatched,
    SourceSilent,
)


def event_class(type_name: str) -> EventClass:
    """The class of the CloudEvents type `type_name`.

    Raises:
        KeyError: there is no such event.
    """
    return {event.type_name(): event for event in EVENTS}[type_name]
