"""Versions: what is new, what was heard before, and what a post ends as."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.sequence import (
    Duplicate,
    History,
    NewVersion,
    Version,
    digest_of,
    microseconds,
    place,
    place_all,
    version_of,
)
from klankbord_ingest.submission import PostSubmission
from klankbord_schemas.post import Operation

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
HEARD = microseconds(NOW)


def version(
    operation: Operation, says: str = "", stated: int | None = None, heard: int = HEARD
) -> Version:
    return Version(operation, says.encode(), stated, heard)


def numbers(*versions: Version) -> list[int | None]:
    verdicts, _ = place_all(History(), versions)
    return [verdict.sequence if isinstance(verdict, NewVersion) else None for verdict in verdicts]


def end_of(versions: Sequence[Version]) -> tuple[str | None, bytes]:
    """What a reader sees who applies only a higher number: the operation and what is said."""
    verdicts, _ = place_all(History(), versions)
    highest = -1
    end: tuple[str | None, bytes] = (None, b"")
    for one, verdict in zip(versions, verdicts, strict=True):
        if isinstance(verdict, NewVersion) and verdict.sequence > highest:
            highest = verdict.sequence
            end = (one.operation, b"" if one.operation == "delete" else one.digest)
    return end


KINDS: list[Operation] = ["create", "update", "delete"]
OPERATIONS = st.sampled_from(KINDS)
WORDS = st.sampled_from(["A", "B", "C"])
STATED = st.builds(version, OPERATIONS, WORDS, st.integers(0, 5))
ANY = st.builds(version, OPERATIONS, WORDS, st.none() | st.integers(0, 5), st.integers(0, 8))


def test_the_platforms_revision_is_the_sequence() -> None:
    assert numbers(version("create", "A", 1), version("update", "B", 7)) == [1, 7]


def test_a_post_of_an_erased_member_has_no_more_versions() -> None:
    erased = History(numbers=frozenset({1}), is_erased=True)
    for one in (version("create", "A"), version("update", "B", 7), version("delete")):
        assert place_all(erased, [one]) == ([Duplicate()], erased)


def test_the_edit_time_in_microseconds_is_the_sequence_where_there_is_no_revision() -> None:
    edited = datetime(2026, 11, 22, 9, 30, 0, 123457, tzinfo=UTC)
    submission = PostSubmission(native_id="a", published=NOW, updated=edited, content="A")
    assert version_of(submission, NOW).stated == 1795339800123457


def test_a_revision_counts_before_an_edit_time() -> None:
    submission = PostSubmission(native_id="a", published=NOW, updated=NOW, sequence=3)
    assert version_of(submission, NOW).stated == 3


def test_without_either_versions_are_counted() -> None:
    assert numbers(version("create", "A"), version("update", "B")) == [1, 2]


@pytest.mark.parametrize("operation", ["create", "update"])
def test_a_to_b_to_a_is_three_versions(operation: Operation) -> None:
    told = [version("create", "A"), version(operation, "B"), version(operation, "A")]
    assert numbers(*told) == [1, 2, 3]


def test_what_the_newest_version_says_already_is_no_version() -> None:
    told = [version("create", "A"), version("create", "A"), version("update", "A")]
    assert numbers(*told) == [1, None, None]


def test_a_create_delivered_again_after_its_delete_does_not_bring_the_post_back() -> None:
    told = [version("create", "A"), version("delete"), version("create", "A")]
    assert numbers(*told) == [1, HEARD, None]


def test_another_create_after_a_delete_does() -> None:
    told = [version("create", "A"), version("delete"), version("create", "B")]
    assert numbers(*told) == [1, HEARD, HEARD + 1]


def test_a_stated_edit_after_a_delete_brings_the_post_back_and_one_before_it_does_not() -> None:
    before = [version("create", "A"), version("delete"), version("update", "B", HEARD - 1)]
    after = [version("create", "A"), version("delete"), version("update", "B", HEARD + 1)]
    assert end_of(before) == ("delete", b"")
    assert end_of(after) == ("update", b"B")


def test_a_delete_that_states_the_number_of_what_it_deletes_stands_above_it() -> None:
    assert numbers(version("create", "A", 4), version("delete", stated=4)) == [4, 5]
    assert numbers(version("delete", stated=4), version("create", "A", 4)) == [4, None]


def test_an_edit_and_a_delete_before_their_create_are_kept_above_it() -> None:
    assert numbers(version("update", "B"), version("create", "A")) == [2, 1]
    assert numbers(version("delete"), version("create", "A")) == [HEARD, 1]


@given(st.lists(STATED, max_size=12))
def test_what_states_its_version_may_be_replayed_and_adds_nothing(told: list[Version]) -> None:
    _, after = place_all(History(), told)
    again, unchanged = place_all(after, told)
    assert again == [Duplicate()] * len(told)
    assert unchanged == after


@given(
    WORDS,
    st.none() | WORDS,
    st.booleans(),
    st.lists(OPERATIONS, max_size=6),
)
def test_what_states_none_may_be_replayed_if_it_was_edited_at_most_once(
    created: str, edited: str | None, deleted: bool, again: list[Operation]
) -> None:
    told: dict[Operation, Version] = {"create": version("create", created)}
    if edited is not None:
        told["update"] = version("update", edited)
    if deleted:
        told["delete"] = version("delete")
    _, after = place_all(History(), told.values())
    replayed = [told[operation] for operation in again if operation in told]
    verdicts, _ = place_all(after, replayed)
    assert verdicts == [Duplicate()] * len(replayed)


@given(st.lists(ANY, max_size=12))
def test_no_two_versions_of_a_post_share_a_number(told: list[Version]) -> None:
    given = [number for number in numbers(*told) if number is not None]
    assert len(given) == len(set(given))
    assert all(0 <= number < 2**63 for number in given)


@given(st.lists(STATED, max_size=5, unique_by=lambda v: (v.stated, v.operation == "delete")))
def test_what_states_its_version_ends_the_same_in_every_order_of_arrival(
    told: list[Version],
) -> None:
    last = max(told, key=lambda v: (v.stated, v.operation == "delete"), default=None)
    expected = (None, b"") if last is None else end_of([last])
    assert {end_of(order) for order in permutations(told)} == {expected}


@pytest.mark.parametrize("order", list(permutations(KINDS)))
def test_a_deleted_post_that_states_no_version_ends_deleted_in_every_order_of_arrival(
    order: tuple[Operation, ...],
) -> None:
    told = [version(operation, operation) for operation in order]
    assert end_of(told) == ("delete", b"")


EDITED_AND_DELETED = [
    version("create", "A"),
    version("update", "B", HEARD - 9),
    version("update", "C", 7),
    version("delete"),
]


@given(st.permutations(EDITED_AND_DELETED))
def test_a_late_edit_of_any_numbering_does_not_undo_a_delete(told: list[Version]) -> None:
    assert end_of(told) == ("delete", b"")


@given(st.lists(ANY, max_size=10))
def test_what_is_remembered_agrees_with_what_a_reader_sees(told: list[Version]) -> None:
    verdicts, history = place_all(History(), told)
    operation, said = end_of(told)
    assert history.operation == operation
    assert history.numbers == {v.sequence for v in verdicts if isinstance(v, NewVersion)}
    if operation not in (None, "delete"):
        assert history.digest == said


@given(st.lists(ANY, max_size=8), ANY)
def test_a_duplicate_changes_nothing_and_a_new_version_is_remembered(
    told: list[Version], one: Version
) -> None:
    _, history = place_all(History(), told)
    match place(history, one):
        case NewVersion(sequence, after):
            assert sequence not in history.numbers
            assert after.numbers == history.numbers | {sequence}
        case duplicate:
            assert duplicate == Duplicate()


@given(st.integers(0, 250_000_000_000 * 10**6))
def test_microseconds_are_exact(elapsed: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=elapsed)
    assert microseconds(moment) == elapsed


def test_the_same_words_from_a_webhook_and_an_export_have_one_digest() -> None:
    webhook = PostSubmission(
        native_id="a", published=NOW, content_html="<p>Hello  <b>you</b></p>", url="https://x.org"
    )
    export = PostSubmission(native_id="a", published=NOW, content=" Hello\nyou ", tag=["hi"])
    assert digest_of(webhook) == digest_of(export)


def test_title_and_text_are_told_apart() -> None:
    title = PostSubmission(native_id="a", published=NOW, name="A")
    text = PostSubmission(native_id="a", published=NOW, content="A")
    assert digest_of(title) != digest_of(text)


def test_an_import_may_be_brought_in_again_whatever_it_holds() -> None:
    """Versions that state nothing, told twice by a file: the second time nothing is new."""
    told = [
        Version("create", b"A" * 16, None, 1, is_history=True),
        Version("update", b"B" * 16, None, 2, is_history=True),
        Version("update", b"C" * 16, None, 3, is_history=True),
    ]
    verdicts, history = place_all(History(), told)
    assert all(isinstance(verdict, NewVersion) for verdict in verdicts)
    again, after = place_all(history, told)
    assert again == [Duplicate()] * 3
    assert after == history


def test_live_and_there_and_back_again_is_three_versions() -> None:
    texts = (b"A" * 16, b"B" * 16, b"A" * 16)
    verdicts, _ = place_all(
        History(), [Version("update", text, None, heard) for heard, text in enumerate(texts)]
    )
    assert all(isinstance(verdict, NewVersion) for verdict in verdicts)


def test_an_update_that_names_another_author_is_no_version() -> None:
    def version(operation: Operation, author: str | None, *, is_history: bool = False) -> Version:
        return Version(operation, author.encode() if author else b"", 7, 0, is_history, author)

    first = place(History(), version("create", "p-anna")._replace(stated=1))
    assert isinstance(first, NewVersion)
    assert place(first.history, version("update", "p-mallory")) == Duplicate()
    for author in ("p-anna", None):
        assert isinstance(place(first.history, version("update", author)), NewVersion)
    assert isinstance(place(first.history, version("delete", "p-moderator")), NewVersion)
    told = version("update", "anna, in an export", is_history=True)
    assert isinstance(place(first.history, told), NewVersion)
