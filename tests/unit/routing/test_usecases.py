"""The whole of routing without its servers: the end state is the same in every order of arrival."""

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.routing.history import (
    NOON,
    TEXTS,
    Heard,
    flag,
    followed,
    post,
    standing,
    version_of,
)
from unit.routing.world import World

from klankbord_schemas.post import SEVERITIES


async def test_what_is_routed_says_what_why_for_whom_and_until_when() -> None:
    (routed,) = await World().hear(post())
    assert routed.facet == "product"
    assert routed.causationid == post().id
    feedback = routed.data
    assert (feedback.intent, feedback.case_revision, feedback.rules) == ("bug", 1, "0" * 64)
    assert feedback.due_at == NOON + timedelta(days=3)
    assert feedback.content == TEXTS[0]
    assert [reason.rule for reason in feedback.reasons] == ["malfunction", "bug"]


async def test_bots_deletes_empty_posts_and_chat_go_nowhere() -> None:
    world = World()
    assert not await world.hear(
        post(1, is_automated=True),
        post(2, operation="delete"),
        post(3, text=""),
        post(4, text=" > the app crashes\n"),
        post(5, text="Good morning all"),
    )


async def test_an_edit_is_told_with_the_next_revision_and_the_same_due_time() -> None:
    world = World()
    await world.hear(post())
    (again,) = await world.hear(post(version=2, text="The app crashes when I save twice"))
    assert (again.data.case_revision, again.data.post_sequence) == (2, 2)
    assert again.data.due_at == NOON + timedelta(days=3)


async def test_of_versions_in_one_batch_only_the_newest_is_told() -> None:
    said = await World().hear(post(version=2, text=TEXTS[2]), post(version=1))
    assert [event.data.intent for event in said] == ["question"]


async def test_a_withdrawal_names_what_it_takes_back_and_why() -> None:
    world = World()
    (routed,) = await world.hear(post())
    (withdrawn,) = await world.hear(flag(1, 1, "high"))
    assert withdrawn.data.routed == routed.id
    assert withdrawn.data.because == "flagged"
    assert withdrawn.data.explanation == "Moderation flagged the post as spam (high): e"
    assert withdrawn.correlationid == routed.correlationid


async def test_shadow_flags_change_nothing() -> None:
    world = World()
    await world.hear(post())
    assert not await world.hear(flag(1, 1, "critical", mode="shadow"))
    assert not world.store.known[post().data.post].flags


VERSIONS = st.integers(1, 4)
POSTS = st.builds(
    post,
    st.integers(1, 3),
    VERSIONS,
    st.sampled_from(TEXTS),
    is_automated=st.sampled_from([False, False, False, True]),
    operation=st.sampled_from(["create", "update", "update", "delete"]),
)
FLAGS = st.builds(
    flag,
    st.integers(1, 3),
    VERSIONS,
    st.sampled_from(SEVERITIES),
    st.sampled_from(["live", "live", "shadow"]),
    st.integers(0, 2),
)


@st.composite
def arrivals(draw: st.DrawFn, events: Sequence[Heard]) -> list[list[Heard]]:
    """The same events in some order, some of them twice, in some batches."""
    again = draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    order = draw(st.permutations([*events, *again]))
    cuts = sorted(draw(st.sets(st.integers(0, len(order)), max_size=6)))
    return [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@settings(max_examples=300, deadline=None)
@given(st.data())
async def test_the_end_state_is_the_same_in_every_order_of_arrival(data: st.DataObject) -> None:
    posts = data.draw(st.lists(POSTS, max_size=8, unique_by=version_of), label="posts")
    flags = data.draw(st.lists(FLAGS, max_size=6, unique_by=lambda f: f.id), label="flags")
    events: list[Heard] = [*posts, *flags]
    ends = []
    for _ in range(2):
        world = World()
        for batch in data.draw(arrivals(events)):
            await world.hear(*batch)
        ends.append(world.store.open)
        assert followed(world.said) == world.store.open
        assert len({event.id for event in world.said}) == len(world.said)
    straight = World()
    await straight.hear(*standing(posts, flags))
    assert ends[0] == ends[1] == straight.store.open
