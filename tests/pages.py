"""What the last run found, put into a page of the documentation between two markers."""

import json
from pathlib import Path
from typing import Any

from figures import BUILD, Figures, Row

END = "<!-- end -->"


def last_run(name: str) -> dict[str, Any]:
    """What the last `make <name>` has written.

    Raises:
        SystemExit: there was none; says what to run.
    """
    report = BUILD / f"{name}.json"
    if not report.exists():
        raise SystemExit(f"{report} is not there: run `make {name}` first")
    told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return told


def machine(told: dict[str, Any]) -> str:
    """What a run was measured on, in words."""
    facts = told["machine"]
    return (
        f"{facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB, "
        f"Linux {facts['kernel']}, Python {facts['python']}"
    )


def table(told: dict[str, Any]) -> str:
    """The rows of a run as a Markdown table."""
    return Figures(told["seed"], [Row.from_json(row) for row in told["rows"]]).table()


def fill(page: Path, name: str, text: str) -> None:
    """Replace what stands in a page between the marker of that name and the next end.

    Raises:
        SystemExit: the page has no such markers; says what to do.
    """
    marker = f"<!-- {name} -->"
    before, begin, rest = page.read_text(encoding="utf-8").partition(marker)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no lines {marker} and {END}: put them where the text belongs")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
