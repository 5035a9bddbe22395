"""What was heard, as typed rows: only what is counted, none of what was said."""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from klankbord_metrics.calendar import countable
from klankbord_schemas import (
    FeedbackRouted,
    FeedbackWithdrawn,
    InteractionReceived,
    PostFlagged,
    PostReceived,
)

BY_NUMBER = attrgetter("int")
"""Sorts UUIDs five times as fast as comparing them."""


class HeardPost(NamedTuple):
    """A post in its latest version, as far as it was heard: the type `heard_post` in SQL."""

    post: UUID
    community: str
    source: str
    counted_at: datetime
    """The earliest moment that any version gives: an edit does not move a post to another day."""
    sequence: int
    is_deleted: bool
    author: UUID | None
    is_automated: bool
    is_answer: bool
    """Whether it says which post it answers."""
    thread: UUID
    """What it has in common with the other posts of its thread; a lone post's is its own id."""


class HeardInteraction(NamedTuple):
    """Something that a person did around a post."""

    id: UUID
    community: str
    source: str
    kind: str
    counted_at: datetime


class HeardFlags(NamedTuple):
    """The live labels on one version of a post, as moderation last gave them."""

    post: UUID
    community: str
    sequence: int
    flagged_at: datetime
    event: UUID
    labels: str
    """The labels, sorted, with spaces between them; empty where every label is a shadow."""


class HeardCase(NamedTuple):
    """Feedback that was carried to a department, or taken back, or both."""

    routed: UUID
    """The id of the event that carried it."""
    community: str
    post: UUID
    department: str
    revision: int | None
    """How often the post was carried there, from 1; none until the event that says so is heard."""
    is_withdrawn: bool


def heard_posts(events: Iterable[PostReceived]) -> list[HeardPost]:
    """Each post once, in the order of their ids."""
    posts: dict[UUID, HeardPost] = {}
    for event in events:
        post = _post(event)
        known = posts.get(post.post)
        posts[post.post] = post if known is None else _merged(known, post)
    return [posts[key] for key in sorted(posts, key=BY_NUMBER)]


def heard_interactions(events: Iterable[InteractionReceived]) -> list[HeardInteraction]:
    """What people did. What bots do is no sign of life."""
    heard = {
        event.id: HeardInteraction(
            event.id,
            event.data.community,
            event.data.source,
            event.data.kind,
            countable(event.counted_at),
        )
        for event in events
        if not event.data.is_automated
    }
    return [heard[key] for key in sorted(heard)]


def heard_flags(events: Iterable[PostFlagged]) -> list[HeardFlags]:
    """The last judgement of the latest version of each post, in the order of their ids."""
    flags: dict[UUID, HeardFlags] = {}
    for event in events:
        live = {label.val for label in event.data.labels if label.mode == "live"}
        heard = HeardFlags(
            event.data.post,
            event.data.community,
            event.data.post_sequence,
            event.time,
            event.id,
            " ".join(sorted(live)),
        )
        known = flags.get(heard.post)
        if known is None or heard[2:5] > known[2:5]:
            flags[heard.post] = heard
    return [flags[key] for key in sorted(flags)]


def heard_cases(events: Iterable[FeedbackRouted | FeedbackWithdrawn]) -> list[HeardCase]:
    """What is now known of each case, in the order of their ids."""
    cases: dict[UUID, HeardCase] = {}
    for event in events:
        case = _case(event)
        known = cases.get(case.routed)
        if known is not None:
            revision = known.revision if case.revision is None else case.revision
            withdrawn = known.is_withdrawn or case.is_withdrawn
            case = case._replace(revision=revision, is_withdrawn=withdrawn)
        cases[case.routed] = case
    return [cases[key] for key in sorted(cases)]


def _post(event: PostReceived) -> HeardPost:
    data = event.data
    return HeardPost(
        data.post,
        data.community,
        data.source,
        countable(event.counted_at),
        event.version,
        data.operation == "delete",
        _bits(data.attributed_to),
        data.is_automated,
        data.in_reply_to is not None,
        event.thread,
    )


def _merged(one: HeardPost, other: HeardPost) -> HeardPost:
    """The later of two versions; at the same sequence a delete is the later one."""
    later = max(one, other, key=lambda post: (post.sequence, post.is_deleted))
    return later._replace(counted_at=min(one.counted_at, other.counted_at))


def _case(event: FeedbackRouted | FeedbackWithdrawn) -> HeardCase:
    data = event.data
    if isinstance(event, FeedbackWithdrawn):
        return HeardCase(
            event.data.routed, data.community, data.post, data.department, None, is_withdrawn=True
        )
    revision = event.data.case_revision
    return HeardCase(
        event.id, data.community, data.post, data.department, revision, is_withdrawn=False
    )


def _bits(pseudonym: str | None) -> UUID | None:
    """A pseudonym is `p-` and 128 bits: they are stored as 16 bytes instead of 34 characters."""
    return None if pseudonym is None else UUID(hex=pseudonym[2:])
