"""What a platform's JSON holds, where it may be anything."""

from datetime import UTC, datetime

import pytest

from klankbord_ingest.platform_json import moment_at, objects, whole_number


def test_only_the_objects_of_a_list_are_taken() -> None:
    assert objects([{"id": 1}, None, "two", [3], {}]) == [{"id": 1}, {}]
    nothing: list[object] = [None, {}, "text", 7]
    for none in nothing:
        assert objects(none) == []


def test_what_is_no_whole_number_is_another() -> None:
    assert whole_number(7) == 7
    nothing: list[object] = [None, "7", 7.5, []]
    for none in nothing:
        assert whole_number(none) == 0
        assert whole_number(none, otherwise=-1) == -1


def test_a_moment_is_counted_from_1970_and_may_lie_too_far_away() -> None:
    assert moment_at(1772366400.123) == datetime(2026, 3, 1, 12, 0, 0, 123000, UTC)
    assert moment_at(-1) == datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    for far in (10**12, -(10**12), 1e300, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"moment|NaN"):
            moment_at(far)
