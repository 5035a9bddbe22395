"""Cases: what an edit, a delete or a flag does to what was routed."""

from datetime import UTC, datetime

import pytest

from klankbord_routing.case import (
    Assignment,
    Case,
    Change,
    Flag,
    Known,
    Routed,
    Version,
    Withdrawn,
    hear_flag,
    hear_version,
)
from klankbord_schemas.post import Severity

DUE = datetime(2026, 3, 2, tzinfo=UTC)


def assignment(department: str) -> Assignment:
    return Assignment(department, "bug", 0.75, (), "medium", DUE)


def version(sequence: int, *departments: str, is_deleted: bool = False) -> Version:
    return Version(sequence, is_deleted, tuple(map(assignment, departments)))


def after(*versions: Version) -> Known:
    known = Known()
    for one in versions:
        known, _ = hear_version(known, one, "high")
    return known


def told(change: Change) -> tuple[str, str, int]:
    what = change.because if isinstance(change, Withdrawn) else "routed"
    return what, change.case.department, change.case.revision


def test_a_post_is_routed_to_each_of_its_departments() -> None:
    known, changes = hear_version(Known(), version(1, "product", "sales"), "high")
    assert [told(change) for change in changes] == [
        ("routed", "product", 1),
        ("routed", "sales", 1),
    ]
    assert known.cases["sales"] == Case("sales", 1, 1, is_open=True)


def test_an_edit_tells_who_keeps_it_the_new_version_and_withdraws_it_from_who_does_not() -> None:
    _, changes = hear_version(
        after(version(1, "product", "sales")), version(2, "product", "support"), "high"
    )
    assert [told(change) for change in changes] == [
        ("edited", "sales", 1),
        ("routed", "product", 2),
        ("routed", "support", 1),
    ]


def test_an_older_version_or_the_same_again_changes_nothing() -> None:
    known = after(version(5, "product"))
    for late in (version(4, "sales"), version(5, "product"), version(3, is_deleted=True)):
        assert hear_version(known, late, "high") == (known, ())


def test_a_delete_withdraws_it_everywhere() -> None:
    _, changes = hear_version(
        after(version(1, "product", "sales")), version(2, is_deleted=True), "high"
    )
    assert [told(change) for change in changes] == [
        ("deleted", "product", 1),
        ("deleted", "sales", 1),
    ]


def test_a_post_that_comes_back_has_the_next_revision() -> None:
    known = after(version(1, "product"), version(2, is_deleted=True))
    _, changes = hear_version(known, version(3, "product"), "high")
    assert [told(change) for change in changes] == [("routed", "product", 2)]


@pytest.mark.parametrize(
    ("severity", "withdraw_at", "is_withdrawn"),
    [
        ("critical", "high", True),
        ("high", "high", True),
        ("medium", "high", False),
        ("low", "low", True),
        ("high", "critical", False),
    ],
)
def test_a_flag_withdraws_from_the_severity_of_the_file_on(
    severity: Severity, withdraw_at: Severity, is_withdrawn: bool
) -> None:
    known, changes = hear_flag(after(version(1, "product")), 1, Flag(severity, "spam"), withdraw_at)
    assert bool(changes) == is_withdrawn
    assert known.cases["product"].is_open != is_withdrawn


def test_a_flag_that_came_first_keeps_the_post_from_being_routed() -> None:
    known, changes = hear_flag(Known(), 1, Flag("high", "spam"), "high")
    assert not changes
    assert hear_version(known, version(1, "product"), "high")[1] == []


def test_a_flag_on_an_edit_that_is_still_to_come_withdraws_with_the_edit() -> None:
    known, withdrawn = hear_flag(after(version(1, "product")), 2, Flag("high", "spam"), "high")
    assert not withdrawn
    _, changes = hear_version(known, version(2, "product"), "high")
    assert [told(change) for change in changes] == [("flagged", "product", 1)]


def test_a_flag_on_a_version_that_was_edited_since_changes_nothing() -> None:
    known = after(version(1, "product"), version(2, "product"))
    assert hear_flag(known, 1, Flag("critical", "abuse"), "high") == (known, ())


def test_an_edit_that_is_clean_again_is_routed_again() -> None:
    known, _ = hear_flag(after(version(1, "product")), 1, Flag("high", "spam"), "high")
    _, changes = hear_version(known, version(2, "product"), "high")
    assert [told(change) for change in changes] == [("routed", "product", 2)]


def test_the_gravest_flag_of_a_version_counts_in_either_order() -> None:
    orders: tuple[tuple[Severity, ...], ...] = (("medium", "high"), ("high", "medium"))
    for order in orders:
        known = Known()
        for severity in order:
            known, _ = hear_flag(known, 1, Flag(severity, severity), "high")
        assert known.flags == {1: Flag("high", "high")}


def test_flags_on_past_versions_are_forgotten() -> None:
    known, _ = hear_flag(Known(), 1, Flag("high", "spam"), "high")
    known, changes = hear_version(known, version(2, "product"), "high")
    assert not known.flags
    assert isinstance(changes[0], Routed)
