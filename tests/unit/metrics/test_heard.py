from datetime import timedelta
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from unit.metrics.history import NOON, did, flagged, routed, said, withdrawn

from klankbord_metrics.heard import heard_cases, heard_flags, heard_interactions, heard_posts
from klankbord_schemas import FeedbackRouted, FeedbackWithdrawn, PostReceived

VERSIONS = [
    said("a", author, NOON + timedelta(hours=hours), version=version, operation=operation)
    for version, author, hours, operation in (
        (1, 1, 3, "create"),
        (2, 2, 1, "update"),
        (3, 3, 2, "update"),
        (3, None, 4, "delete"),
    )
]


@given(st.permutations(VERSIONS))
def test_the_highest_version_stands_a_delete_above_an_edit_of_the_same_sequence(
    versions: list[PostReceived],
) -> None:
    (post,) = heard_posts(versions)
    assert (post.sequence, post.is_deleted, post.author) == (3, True, None)


@given(st.permutations(VERSIONS))
def test_a_post_is_counted_at_the_earliest_moment_of_its_versions(
    versions: list[PostReceived],
) -> None:
    (post,) = heard_posts(versions)
    assert post.counted_at == NOON + timedelta(hours=1)


def test_rows_are_in_the_order_of_ids_so_that_replicas_never_wait_for_each_other() -> None:
    posts = heard_posts(said(f"post {number}") for number in range(50))
    assert [post.post for post in posts] == sorted(post.post for post in posts)


def test_a_pseudonym_is_kept_as_its_128_bits() -> None:
    (post,) = heard_posts([said("a", 17)])
    assert post.author == UUID(int=17)


def test_what_bots_do_is_no_interaction() -> None:
    events = [did("x"), did("y", automated=True), did("x")]
    assert [done.id for done in heard_interactions(events)] == [events[0].id]


@given(st.randoms(use_true_random=False))
def test_the_last_judgement_of_the_latest_version_is_the_one_that_stands(random: Random) -> None:
    first, second = said("a"), said("a", version=2, operation="update")
    events = [
        flagged(first, ["scam"], at=NOON + timedelta(days=9)),
        flagged(second, ["spam"], at=NOON),
        flagged(second, ["troll", "bot"], ["scam"], at=NOON + timedelta(days=1), policy=1),
    ]
    random.shuffle(events)
    (flags,) = heard_flags(events)
    assert (flags.sequence, flags.labels) == (2, "bot troll")


def test_a_flag_of_shadows_alone_carries_no_label() -> None:
    (flags,) = heard_flags([flagged(said("a"), [], ["spam"])])
    assert flags.labels == ""


@given(st.randoms(use_true_random=False))
def test_a_case_and_its_withdrawal_are_one_in_any_order(random: Random) -> None:
    case = routed(said("a"), "sales", revision=2)
    events: list[FeedbackRouted | FeedbackWithdrawn] = [case, withdrawn(case), case]
    random.shuffle(events)
    (heard,) = heard_cases(events)
    assert (heard.routed, heard.revision, heard.is_withdrawn) == (case.id, 2, True)
