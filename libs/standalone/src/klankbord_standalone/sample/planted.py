"""The truth that the sample plants, for whoever wants to know whether all of it was measured."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from klankbord_standalone.sample.post import TIME_ZONE, SamplePost, Submission

LINKS_THAT_ARE_NO_FLOOD = 4
"""So many posts an author may link to one place within the hour; from the fifth on it is a flood.

Of n posts, n - 4 carry the label, whichever of them are heard first.
"""
FLOOD = "link-flood"


@dataclass(frozen=True)
class Planted:
    """How the community stands at the end, counted from what each post was meant to be."""

    posts: int
    """Posts that stand, those of bots among them."""
    posts_by_bots: int
    replies: int
    contributors: int
    """Different people who wrote a post that stands."""
    flagged_posts: int
    """Posts that stand and carry a live label."""
    flagged_posts_by_label: Mapping[str, int]
    """The same by label; a post may carry several."""
    shadow_posts_by_label: Mapping[str, int]
    """Posts that a shadow rule would have labelled."""
    open_cases: int
    """Posts that a department has an open case of."""
    open_cases_by_department: Mapping[str, int]
    interactions: int
    interactions_by_kind: Mapping[str, int]
    posts_by_week: Mapping[date, int]
    """Posts by the Monday of their week."""


def planted(posts: Sequence[SamplePost], interactions: Sequence[Submission]) -> Planted:
    """What these posts and interactions add up to."""
    standing = [post for post in posts if post.stands]
    meanings = [post.last_meaning for post in standing]
    labels = Counter(meaning.label for meaning in meanings if meaning.label)
    flood = sum(meaning.floods for meaning in meanings) - LINKS_THAT_ARE_NO_FLOOD
    departments = Counter(meaning.department for meaning in meanings if meaning.department)
    kinds = Counter(interaction["kind"] for interaction in interactions)
    return Planted(
        posts=len(standing),
        posts_by_bots=sum(post.author.is_bot for post in standing),
        replies=sum(post.thread is not None for post in standing),
        contributors=len({post.author for post in standing if not post.author.is_bot}),
        flagged_posts=labels.total(),
        flagged_posts_by_label=_sorted(labels + Counter({FLOOD: flood})),
        shadow_posts_by_label=_sorted(Counter(m.shadow for m in meanings if m.shadow)),
        open_cases=departments.total(),
        open_cases_by_department=_sorted(departments),
        interactions=kinds.total(),
        interactions_by_kind=_sorted(kinds),
        posts_by_week=dict(sorted(Counter(map(_week, standing)).items())),
    )


def _sorted(counted: Counter[str]) -> dict[str, int]:
    return dict(sorted(counted.items()))


def _week(post: SamplePost) -> date:
    day = post.at.astimezone(TIME_ZONE).date()
    return day - timedelta(days=day.weekday())
