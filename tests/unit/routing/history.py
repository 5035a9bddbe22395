"""Histories of posts and flags, in any order of arrival, and what must be open at their end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from klankbord_schemas import (
    FeedbackRouted,
    FeedbackWithdrawn,
    Flags,
    Label,
    Post,
    PostFlagged,
    PostReceived,
    post_identity,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEXTS = (
    "The app crashes when I save",
    "The app crashes, and we want to buy licenses for our team",
    "How do I change my password?",
    "Could you send us a quote for our company?",
    "Good morning all",
    "",
)

Heard: TypeAlias = PostReceived | PostFlagged
OpenCases: TypeAlias = dict[tuple[UUID, str], tuple[object, ...]]
"""By post and department: version, intent, priority, due time."""


def facts(event: FeedbackRouted) -> tuple[object, ...]:
    one = event.data
    return one.post_sequence, one.intent, one.priority, one.due_at


def followed(said: Sequence[Any]) -> OpenCases:
    """What a subscriber has open who keeps the highest revision and drops what was withdrawn."""
    newest: dict[tuple[UUID, str], FeedbackRouted] = {}
    withdrawn = {e.data.routed for e in said if isinstance(e, FeedbackWithdrawn)}
    for event in said:
        if isinstance(event, FeedbackRouted):
            key = event.data.post, event.data.department
            if key not in newest or event.data.case_revision > newest[key].data.case_revision:
                newest[key] = event
    return {key: facts(event) for key, event in newest.items() if event.id not in withdrawn}


def post(number: int = 1, version: int = 1, text: str = TEXTS[0], **more: Any) -> PostReceived:
    data = Post(
        community="acme",
        source="forum",
        platform="forum.example.org",
        post=post_identity("acme", "forum.example.org", str(number)),
        native_id=str(number),
        operation=more.pop("operation", "create" if version == 1 else "update"),
        published=NOON,
        published_trust="attested",
        content=text,
        language="en",
    )
    return PostReceived.of(data.model_copy(update=more), version, NOON + timedelta(minutes=version))


def flag(
    number: int, version: int, severity: str, mode: str = "live", policy: int = 0
) -> PostFlagged:
    cause = post(number, version)
    label = Label.model_validate(
        {"val": "spam", "rule": "r", "explanation": "e", "severity": severity, "mode": mode}
    )
    flags = Flags(
        community="acme",
        source="forum",
        post=cause.data.post,
        post_sequence=version,
        policy=f"{policy:064x}",
        labels=[label],
    )
    return PostFlagged.of(cause, flags, NOON)


def version_of(event: PostReceived) -> tuple[UUID, int]:
    return event.data.post, event.version


def standing(posts: Sequence[PostReceived], flags: Sequence[PostFlagged]) -> list[PostReceived]:
    """By definition: each post's newest version, unless that very version was gravely flagged."""
    newest: dict[UUID, PostReceived] = {}
    for event in sorted(posts, key=lambda event: event.version):
        newest[event.data.post] = event
    grave = {
        (one.data.post, one.data.post_sequence)
        for one in flags
        if one.data.live_severity in {"high", "critical"}
    }
    return [event for event in newest.values() if version_of(event) not in grave]
