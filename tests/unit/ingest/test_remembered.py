"""What a cursor remembers stays small, and forgets the oldest first."""

import json

from klankbord_ingest.remembered import MAX_BYTES, Remembered


def test_what_is_kept_is_found_after_it_went_through_a_cursor() -> None:
    known = Remembered(None)
    known.keep([("1", "https://a.example/1"), ("2", "é")])
    again = Remembered(json.loads(json.dumps(known.cursor)))
    assert [again.get(key) for key in "123"] == ["https://a.example/1", "é", None]


def test_the_oldest_is_forgotten_where_there_is_no_room() -> None:
    known = Remembered([], max_bytes=50)
    known.keep((str(number), "x" * 10) for number in range(5))
    assert [pair[0] for pair in known.cursor] == ["3", "4"]  # type: ignore[index]
    known.keep([("3", "y" * 10), ("5", "x" * 10)])
    assert [pair[0] for pair in known.cursor] == ["3", "5"]  # type: ignore[index]
    known.forget("3")
    known.forget("3")
    known.keep([("6", "x" * 10)])
    assert [pair[0] for pair in known.cursor] == ["5", "6"]  # type: ignore[index]


def test_it_fits_into_a_cursor() -> None:
    known = Remembered([])
    known.keep((str(10**17 + number), f"https://a.example/{number}") for number in range(5000))
    assert MAX_BYTES / 2 < len(json.dumps(known.cursor)) < 64_000
    assert known.get(str(10**17 + 4999))


def test_a_cursor_of_another_making_is_nothing() -> None:
    for cursor in (None, "x", {"a": "b"}, [1, ["a"], ["a", 2]]):
        assert Remembered(cursor).cursor == []  # type: ignore[arg-type]
