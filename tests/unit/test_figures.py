"""What `make trust` and `make bench` say of themselves."""

import json
from pathlib import Path

import figures
import pytest
from figures import Figures, Row


@pytest.mark.parametrize(
    ("value", "goal", "holds"),
    [
        (0.4, ">= 0.40", True),
        (0.39, ">= 0.40", False),
        (3000, ">= 3,000", True),
        (0, "== 0", True),
        (1, "== 0", False),
        (600.1, "<= 600", False),
        (1, "> 0", True),
        (7, "", None),
        (None, "== 0", None),
    ],
)
def test_a_row_says_whether_it_meets_its_goal(
    value: float | None, goal: str, holds: bool | None
) -> None:
    assert Row("row", value, "unit", goal).holds is holds


def test_a_row_that_failed_does_not_hold_whatever_its_goal() -> None:
    row = Row("row", None, "unit", failed="OSError: full")
    assert row.holds is False
    assert row.as_json()["failed"] == "OSError: full"
    assert Figures(7, [row]).breaches == [row]


def test_a_goal_that_does_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="row: 'about 3' is no goal"):
        _ = Row("row", 3, "unit", "about 3").holds


def test_what_was_found_is_written_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "BUILD", tmp_path / "build")
    found = Figures(seed=7, took_s=12.34)
    found.rows += [
        Row("lost", 0, "posts", "== 0"),
        Row("doubled", 2, "posts", "== 0"),
        Row("powercut_lost", None, "posts", "== 0", skipped="needs root"),
    ]

    told = json.loads(found.write("trust").read_text())

    assert (told["seed"], told["took_s"]) == (7, 12.3)
    assert told["rows"] == [
        {"name": "lost", "value": 0, "unit": "posts", "goal": "== 0", "holds": True},
        {"name": "doubled", "value": 2, "unit": "posts", "goal": "== 0", "holds": False},
        {
            "name": "powercut_lost",
            "value": None,
            "unit": "posts",
            "goal": "== 0",
            "holds": None,
            "skipped": "needs root",
        },
    ]
    assert [row.name for row in found.breaches] == ["doubled"]
    assert "needs root" in found.table()
    assert "| NO " in found.table()
