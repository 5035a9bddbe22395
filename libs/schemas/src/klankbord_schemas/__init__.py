"""Klankbord's events: pydantic models and nothing else, for Klankbord's services and for yours.

>>> from klankbord_schemas import FeedbackRouted
>>> event = FeedbackRouted.from_json(message.data)  # doctest: +SKIP
"""

from klankbord_schemas.catalogue import EVENTS, event_class
from klankbord_schemas.erasure import Completion, ErasureCompleted
from klankbord_schemas.event import Event
from klankbord_schemas.feedback import (
    Feedback,
    FeedbackRouted,
    FeedbackWithdrawn,
    Reason,
    Withdrawal,
)
from klankbord_schemas.identity import Person, member_digest, post_identity
from klankbord_schemas.interaction import Interaction, InteractionReceived
from klankbord_schemas.measure import CommunityMeasured, Measurement, Window
from klankbord_schemas.member import Erasure, Member, MemberErased, MemberSeen
from klankbord_schemas.post import Evidence, Flags, Label, Post, PostFlagged, PostReceived
from klankbord_schemas.query import Found, Match, QueryMatched
from klankbord_schemas.source import Silence, SourceSilent

__all__ = [
    "EVENTS",
    "CommunityMeasured",
    "Completion",
    "Erasure",
    "ErasureCompleted",
    "Event",
    "Evidence",
    "Feedback",
    "FeedbackRouted",
    "FeedbackWithdrawn",
    "Flags",
    "Found",
    "Interaction",
    "InteractionReceived",
    "Label",
    "Match",
    "Measurement",
    "Member",
    "MemberErased",
    "MemberSeen",
    "Person",
    "Post",
    "PostFlagged",
    "PostReceived",
    "QueryMatched",
    "Reason",
    "Silence",
    "SourceSilent",
    "Window",
    "Withdrawal",
    "event_class",
    "member_digest",
    "post_identity",
]
