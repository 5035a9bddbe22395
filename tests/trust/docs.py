"""Writes the last table of `make trust` into the page that states the promise."""

import json
from pathlib import Path

from figures import BUILD, Figures, Row

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"
BEGIN, END = "<!-- trust table -->", "<!-- end -->"


def write(report: Path = BUILD / "trust.json", page: Path = PAGE) -> None:
    """Replace what stands between the markers.

    Raises:
        SystemExit: there is no report, or the page has no markers; says what to do.
    """
    if not report.exists():
        raise SystemExit(f"{report} is not there: run `make trust` first")
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no lines {BEGIN} and {END}: put them where the table belongs")
    told = json.loads(report.read_text(encoding="utf-8"))
    page.write_text(f"{before}{BEGIN}\n{_table(told)}\n{END}{after}", encoding="utf-8")


def _table(told: dict[str, object]) -> str:
    rows = told["rows"]
    machine = told["machine"]
    assert isinstance(rows, list)
    assert isinstance(machine, dict)
    read = [
        Row(
            row["name"],
            row["value"],
            row["unit"],
            row["goal"],
            skipped=row.get("skipped", ""),
            failed=row.get("failed", ""),
            note=row.get("note", ""),
        )
        for row in rows
    ]
    about = (
        f"`make trust`, seed {told['seed']}, {told['took_s']:.0f} s on {machine['cores']} cores "
        f"({machine['cpu']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
        f"Python {machine['python']})."
    )
    return f"\n{about}\n\n{Figures(0, read).table()}\n"
