"""The frame of `make trust`: rows that are owed, breaches, and the table in the documentation."""

import json
from collections.abc import Sequence
from pathlib import Path

import pages
import pytest
from figures import Row
from trust import docs
from trust.__main__ import PARTS, chosen, verdict
from trust.part import Part, Say


async def gives(*rows: Row) -> Sequence[Row]:
    return rows


async def test_a_part_that_fails_has_failed_rows_and_a_trace() -> None:
    async def run(seed: int, say: Say) -> Sequence[Row]:
        raise ExceptionGroup("several", [TimeoutError("nobody noticed")])

    said: list[str] = []
    rows = await Part("one", "does", ("lost", "doubled"), run).rows(1, said.append)
    assert [(row.name, row.holds, row.failed) for row in rows] == [
        ("lost", False, "TimeoutError: nobody noticed"),
        ("doubled", False, "TimeoutError: nobody noticed"),
    ]
    assert "Traceback" in said[0]


async def test_a_row_that_is_owed_and_not_told_has_failed() -> None:
    part = Part("one", "does", ("lost", "doubled"), lambda _, __: gives(Row("lost", 0, "", "== 0")))
    assert [(row.name, row.holds) for row in await part.rows(1, print)] == [
        ("lost", True),
        ("doubled", False),
    ]


def test_no_row_is_owed_by_two_parts() -> None:
    owed = [name for part in PARTS for name in part.owes]
    assert len(owed) == len(set(owed))


def test_what_installs_another_build_runs_only_by_its_name() -> None:
    assert {part.name for part in PARTS} - {part.name for part in chosen([])} == {"upgrade"}
    assert [part.name for part in chosen(["upgrade"])] == ["upgrade"]
    assert [part.name for part in chosen(["cluster", "audit"])] == ["cluster", "audit"]


def test_a_breach_makes_the_command_fail_and_what_was_skipped_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fine = Row("lost", 0, "effects", "== 0")
    assert verdict([fine, Row("powercut_lost", None, "", skipped="needs root")]) == 0
    assert "NOT RUN HERE: powercut_lost: needs root" in capsys.readouterr().out
    assert verdict([fine, Row("doubled", 2, "effects", "== 0")]) == 1
    assert "BREACH: doubled is 2, and must be == 0" in capsys.readouterr().out
    assert verdict([Row("doubled", None, "", failed="OSError: full")]) == 1


def test_the_last_table_is_written_into_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = {"cpu": "abacus", "cores": 2, "memory_gib": 4, "kernel": "6", "python": "3.11"}
    rows = [Row("lost", 0, "effects", "== 0").as_json()]
    report = {"machine": machine, "seed": 7, "took_s": 9.6, "rows": rows}
    (tmp_path / "trust.json").write_text(json.dumps(report))
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- trust table -->\nformer\n<!-- end -->\nafter\n")
    monkeypatch.setattr(pages, "BUILD", tmp_path)
    monkeypatch.setattr(docs, "PAGE", page)
    docs.write()
    text = page.read_text()
    assert "| lost   | 0     | effects | == 0 | yes   |" in text
    assert "seed 7, 10 s on 2 cores (abacus)" in text
    assert "former" not in text
