"""A short part of what `make trust` does with malformed input; time is judged there alone."""

from pathlib import Path

import pytest
from trust.fuzz import generated_structures, mutated_events, rows, unstorable
from trust.hostile import corpus, read_hostile
from trust.tally import Tally


def test_mutated_events_are_read_or_refused_with_a_reason() -> None:
    tally = mutated_events(seed=1, number=5_000)
    assert tally.failures == []
    assert tally.inputs > 5_000


def test_the_same_seed_makes_the_same_inputs() -> None:
    one, other = (generated_structures(seed=2, number=40) for _ in range(2))
    assert one.inputs == other.inputs
    assert one.failures == other.failures == []


def test_hostile_files_are_read_or_refused(tmp_path: Path) -> None:
    tally = read_hostile(tmp_path)
    assert tally.failures == []
    assert tally.inputs + sum(one.door in ("webhook", "import") for one in corpus()) >= 80


def test_what_comes_out_and_should_not_is_a_failure() -> None:
    tally = Tally()
    with tally.input("refused", (ValueError,)):
        raise ValueError
    with tally.input("a bug", (ValueError,)):
        raise KeyError("x")
    assert tally.failures == ["""a bug: KeyError('x')"""]
    assert {row.name: row.holds for row in rows(tally)}["fuzz_failures"] is False


@pytest.mark.parametrize("value", ["a\0b", "\ud800", float("nan"), 2**63, {"a": ["\udfff"]}])
def test_what_no_table_could_hold_is_noticed(value: object) -> None:
    assert unstorable(value)
    assert unstorable([1, "a", 1.5, None, {"b": True}]) is None
