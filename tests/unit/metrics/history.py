"""Histories of a community, and the plainest possible recount of one."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from klankbord_schemas import (
    Feedback,
    FeedbackRouted,
    FeedbackWithdrawn,
    Flags,
    Interaction,
    InteractionReceived,
    Label,
    Post,
    PostFlagged,
    PostReceived,
    Withdrawal,
    post_identity,
)

Heard: TypeAlias = (
    PostReceived | InteractionReceived | PostFlagged | FeedbackRouted | FeedbackWithdrawn
)
Series: TypeAlias = tuple[str, str, str | None, str]
"""Grain, first day, source, metric."""

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)
COMMUNITY = "acme"


def member(number: int) -> str:
    return f"p-{number:032x}"


def said(
    name: str,
    author: int | None = 1,
    at: datetime = NOON,
    *,
    version: int = 1,
    operation: Any = "create",
    answers: str | None = None,
    context: str | None = None,
    source: str = "forum",
    automated: bool = False,
    community: str = COMMUNITY,
    trust: Any = "attested",
    recorded: datetime | None = None,
) -> PostReceived:
    post = Post(
        community=community,
        source=source,
        platform="forum.example",
        post=post_identity(community, "forum.example", name),
        native_id=name,
        operation=operation,
        attributed_to=None if author is None else member(author),
        is_automated=automated,
        in_reply_to=answers,
        context=context,
        published=at,
        published_trust=trust,
    )
    return PostReceived.of(post, version, recorded or at + timedelta(seconds=1))


def did(
    name: str,
    kind: Any = "like",
    at: datetime = NOON,
    *,
    source: str = "forum",
    automated: bool = False,
    community: str = COMMUNITY,
) -> InteractionReceived:
    return InteractionReceived.of(
        Interaction(
            community=community,
            source=source,
            platform="forum.example",
            kind=kind,
            native_id=name,
            is_automated=automated,
            published=at,
            published_trust="attested",
        ),
        at + timedelta(seconds=1),
    )


def flagged(
    cause: PostReceived,
    live: Sequence[str] = ("spam",),
    shadow: Sequence[str] = (),
    *,
    at: datetime = NOON,
    policy: int = 0,
) -> PostFlagged:
    labels = [(val, "live") for val in live] + [(val, "shadow") for val in shadow]
    return PostFlagged.of(
        cause,
        Flags(
            community=cause.data.community,
            source=cause.data.source,
            post=cause.data.post,
            post_sequence=cause.version,
            policy=f"{policy:064x}",
            labels=[
                Label(val=val, rule=val, explanation="because", severity="high", mode=mode)
                for val, mode in labels
            ],
        ),
        at,
    )


def routed(cause: PostReceived, department: str, revision: int = 1) -> FeedbackRouted:
    return FeedbackRouted.of(
        cause,
        Feedback(
            community=cause.data.community,
            source=cause.data.source,
            department=department,
            post=cause.data.post,
            post_sequence=cause.version,
            case_revision=revision,
            intent="idea",
            score=1,
            priority="low",
            due_at=NOON,
            rules="0" * 64,
            published=cause.data.published,
            content="",
            language="en",
        ),
        NOON,
    )


def withdrawn(routed: FeedbackRouted) -> FeedbackWithdrawn:
    return FeedbackWithdrawn.of(
        routed,
        Withdrawal(
            community=routed.data.community,
            department=routed.data.department,
            post=routed.data.post,
            routed=routed.id,
            because="edited",
            explanation="it was edited",
        ),
        NOON,
    )


class Standing:
    """A post as it stands at the end of a history."""

    def __init__(self, versions: Iterable[PostReceived]) -> None:
        versions = list(versions)
        last = max(versions, key=lambda one: (one.version, one.data.operation == "delete"))
        self.post = last.data.post
        self.version = last.version
        self.deleted = last.data.operation == "delete"
        self.source = last.data.source
        self.automated = last.data.is_automated
        self.author = None if self.automated else last.data.attributed_to
        self.answers = last.data.in_reply_to is not None
        self.thread = last.thread
        self.at = min(one.counted_at for one in versions)
        self.opens = self.first = False
        self.response: float | None = None
        self.labels: set[str] = set()
        self.departments: set[str] = set()


def recount(
    events: Iterable[Heard], time_zone: str
) -> dict[Series, tuple[float, dict[str, float]]]:
    """Every metric of every window that is not zero: its value, and the numbers by name."""
    events = list({event.id: event for event in events}.values())
    posts = _standing(events)
    deeds = [
        event
        for event in events
        if isinstance(event, InteractionReceived) and not event.data.is_automated
    ]
    zone = ZoneInfo(time_zone)

    def windows(at: datetime, source: str) -> list[tuple[str, str, str | None]]:
        day = at.astimezone(zone).date()
        monday = day - timedelta(days=day.weekday())
        return [
            (grain, first.isoformat(), of)
            for grain, first in (("day", day), ("week", monday))
            for of in (None, source)
        ]

    inside: dict[tuple[str, str, str | None], list[Standing]] = defaultdict(list)
    kinds: dict[tuple[str, str, str | None], Counter[str]] = defaultdict(Counter)
    for post in posts:
        for window in windows(post.at, post.source):
            inside[window].append(post)
    for deed in deeds:
        for window in windows(deed.counted_at, deed.data.source):
            kinds[window][deed.data.kind] += 1

    found: dict[Series, tuple[float, dict[str, float]]] = {}
    for window in {*inside, *kinds}:
        for metric, (value, names) in _measure(inside[window], kinds[window]).items():
            if value:
                found[(*window, metric)] = (value, names)
    return found


def _standing(events: list[Heard]) -> list[Standing]:
    versions: dict[UUID, list[PostReceived]] = defaultdict(list)
    for event in events:
        if isinstance(event, PostReceived):
            versions[event.data.post].append(event)
    posts = [post for post in map(Standing, versions.values()) if not post.deleted]
    for post in posts:
        post.labels = _labels(post, events)
        post.departments = _departments(post, events)
        post.first = post.author is not None and post is min(
            (other for other in posts if other.author == post.author),
            key=lambda other: (other.at, other.post),
        )
    for thread in {post.thread for post in posts}:
        candidates = [post for post in posts if post.thread == thread and not post.answers]
        if candidates:
            opening = min(candidates, key=lambda one: (one.post != thread, one.at, one.post))
            opening.opens = True
    for post in posts:
        waits = [
            (other.at - post.at).total_seconds()
            for other in posts
            if other.thread in (post.thread, post.post)
            and other.author
            and post.author
            and other.author != post.author
            and other.at >= post.at
        ]
        if post.opens and waits:
            post.response = min(waits)
    return posts


def _labels(post: Standing, events: list[Heard]) -> set[str]:
    flags = [
        event
        for event in events
        if isinstance(event, PostFlagged)
        and (event.data.post, event.data.post_sequence) == (post.post, post.version)
    ]
    if not flags:
        return set()
    last = max(flags, key=lambda flag: (flag.time, flag.id))
    return {label.val for label in last.data.labels if label.mode == "live"}


def _departments(post: Standing, events: list[Heard]) -> set[str]:
    taken_back = {event.data.routed for event in events if isinstance(event, FeedbackWithdrawn)}
    newest: dict[str, FeedbackRouted] = {}
    for event in events:
        if isinstance(event, FeedbackRouted) and event.data.post == post.post:
            known = newest.get(event.data.department, event)
            newest[event.data.department] = max(
                known, event, key=lambda case: case.data.case_revision
            )
    return {department for department, case in newest.items() if case.id not in taken_back}


def _measure(
    posts: list[Standing], kinds: Counter[str]
) -> dict[str, tuple[float, dict[str, float]]]:
    people = [post for post in posts if not post.automated]
    replies = [post for post in posts if not post.opens]
    authors = {post.author for post in posts if post.author}
    waits = [post.response for post in posts if post.response is not None]
    labels = Counter(label for post in posts for label in post.labels)
    departments = Counter(department for post in posts for department in post.departments)
    own_replies = sum(not post.opens for post in people)
    reactions = kinds["like"] + kinds["share"] + kinds["follow"]
    activity = 10 * len(authors) + 5 * own_replies + 3 * (len(people) - own_replies) + reactions

    def named(counts: Counter[str]) -> tuple[float, dict[str, float]]:
        return counts.total(), {name: number for name, number in counts.items() if number}

    return {
        "posts": (len(posts), {}),
        "replies": (len(replies), {}),
        "contributors": (len(authors), {}),
        "new-contributors": (sum(post.first for post in posts), {}),
        "interactions": named(kinds),
        "time-to-first-response": (median(waits) if waits else 0, {}),
        "flagged-posts": (sum(bool(post.labels) for post in posts), {}),
        "labels": named(labels),
        "open-cases": named(departments),
        "activity": (activity, {}),
    }
