"""The chain of the audit log: whatever is changed, removed or moved is found and named."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_runtime.audit import BEGINNING, Entry, hash_of, problems

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def chain(length: int) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(1, length + 1):
        previous = entries[-1].hash if entries else BEGINNING
        entry = Entry(number, NOON, "klankbord_ingest", "file.applied", "{}", previous, "")
        entries.append(replace(entry, hash=hash_of(entry)))
    return entries


WHOLE = chain(5)
HEAD = WHOLE[-1].hash


def test_a_whole_chain_has_no_problems() -> None:
    assert list(problems(WHOLE)) == []
    assert list(problems(WHOLE, HEAD)) == []
    assert list(problems(WHOLE, WHOLE[2].hash)) == [], "an older head is there as well"
    assert list(problems([])) == []


@pytest.mark.parametrize(
    "change",
    [
        {"at": NOON + timedelta(microseconds=1)},
        {"role": "postgres"},
        {"act": "file.accepted"},
        {"details": '{"a": 1}'},
        {"hash": "f" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_entry_is_named(change: dict[str, object]) -> None:
    changed = replace(WHOLE[2], **change)  # type: ignore[arg-type]
    found = list(problems([*WHOLE[:2], changed, *WHOLE[3:]]))
    assert found[0] == "entry 3 was changed after it was written"


def test_an_entry_with_another_before_it_is_named() -> None:
    changed = replace(WHOLE[2], previous="0" * 64)
    found = list(problems([*WHOLE[:2], changed, *WHOLE[3:]]))
    assert found[0] == "entry 3 does not follow the one before it"


def test_a_removed_entry_is_named() -> None:
    assert list(problems([*WHOLE[:2], *WHOLE[3:]])) == ["entry 3 is missing"]
    assert list(problems(WHOLE[3:])) == ["entries 1 to 3 are missing"]


def test_a_removed_entry_whose_place_another_takes_is_found() -> None:
    moved = [replace(entry, number=entry.number - 1) for entry in WHOLE[3:]]
    found = list(problems([*WHOLE[:2], *moved]))
    assert "entry 3 does not follow the one before it" in found
    assert "entry 3 was changed after it was written" in found


def test_entries_that_changed_places_are_found() -> None:
    one, other = WHOLE[1], WHOLE[2]
    swapped = [replace(other, number=2), replace(one, number=3)]
    assert next(problems([WHOLE[0], *swapped, *WHOLE[3:]])).startswith("entry 2")


def test_a_removed_end_is_found_by_whoever_kept_the_head() -> None:
    assert list(problems(WHOLE[:3])) == [], "nothing shows it without"
    (found,) = problems(WHOLE[:3], HEAD)
    assert f"no entry has the hash {HEAD}: the entries end with 3" in found
    assert list(problems([], HEAD))


def test_a_chain_that_was_written_anew_is_found_by_whoever_kept_the_head() -> None:
    forged = [replace(entry, role="nobody") for entry in WHOLE]
    for number, entry in enumerate(forged):
        previous = forged[number - 1].hash if number else BEGINNING
        entry = replace(entry, previous=previous)
        forged[number] = replace(entry, hash=hash_of(entry))
    assert list(problems(forged)) == []
    assert list(problems(forged, HEAD))


@given(st.text(), st.text(), st.text())
def test_no_two_entries_are_written_alike(act: str, details: str, other: str) -> None:
    one = replace(WHOLE[0], act="a.b", details=details)
    another = replace(one, details=other)
    assert (hash_of(one) == hash_of(another)) == (details == other)
    assert (hash_of(replace(one, act=act)) == hash_of(one)) == (act == one.act)
