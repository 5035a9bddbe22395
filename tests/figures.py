"""What `make trust` and `make bench` found: one form, printed as a table and written as JSON.

    {"machine": {…}, "seed": …, "took_s": …,
     "rows": [{"name", "value", "unit", "goal", "holds"}, …]}

`goal` is text such as ">= 0.40" and `holds` says whether the value meets it. A row that could not
be run here has no value and says why: {"value": null, "holds": null, "skipped": "needs root"}. One
that failed does not hold: {"value": null, "holds": false, "failed": "TimeoutError: …"}.
"""

import json
import operator
import os
import platform
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

BUILD = Path(__file__).parents[1] / "build"

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_GOAL = re.compile(r"(>=|<=|==|>|<) (-?[0-9][0-9_,.]*)")


@dataclass(frozen=True)
class Row:
    """One figure and what it must be; a row without a goal is told and not judged."""

    name: str
    value: float | None
    unit: str
    goal: str = ""
    skipped: str = ""
    failed: str = ""
    """Why there is no value where there must be one: such a row does not hold."""
    note: str = ""
    """What a reader of the table should know, such as the other rounds' values."""
    parts: dict[str, float] = field(default_factory=dict)
    """What the value was taken from, by name, where that is told in a table of its own."""

    @property
    def holds(self) -> bool | None:
        """Whether the value meets the goal; None where there is no value or no goal.

        A row that failed to get its value never holds.

        Raises:
            ValueError: the goal does not read as one.
        """
        if self.failed:
            return False
        if self.value is None or not self.goal:
            return None
        said = _GOAL.fullmatch(self.goal)
        if said is None:
            raise ValueError(f"{self.name}: {self.goal!r} is no goal; write it like '>= 0.40'")
        return _COMPARE[said[1]](self.value, float(re.sub("[_,]", "", said[2])))

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Self:
        """The row that says this of itself."""
        return cls(**{name: value for name, value in told.items() if name != "holds"})

    def as_json(self) -> dict[str, Any]:
        """What a script wants of it; what is empty is left out."""
        told: dict[str, Any] = {
            "name": self.name,
            "value": None if self.value is None else round(self.value, 4),
            "unit": self.unit,
            "goal": self.goal,
            "holds": self.holds,
        }
        if self.parts:
            told["parts"] = {name: round(value, 4) for name, value in self.parts.items()}
        return told | {
            name: text
            for name, text in (
                ("skipped", self.skipped),
                ("failed", self.failed),
                ("note", self.note),
            )
            if text
        }


@dataclass
class Figures:
    """The rows of one run."""

    seed: int
    rows: list[Row] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def breaches(self) -> list[Row]:
        """Rows that do not meet their goal."""
        return [row for row in self.rows if row.holds is False]

    def write(self, name: str) -> Path:
        """Write `build/<name>.json`; gives its path."""
        BUILD.mkdir(exist_ok=True)
        told = {
            "machine": machine(),
            "seed": self.seed,
            "took_s": round(self.took_s, 1),
            "rows": [row.as_json() for row in self.rows],
        }
        path = BUILD / f"{name}.json"
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        return path

    def table(self) -> str:
        """The rows as a Markdown table, which reads as well in a terminal."""
        cells = [("figure", "value", "unit", "goal", "holds", "")]
        cells += [
            (
                row.name,
                _shown(row.value),
                row.unit,
                row.goal,
                {True: "yes", False: "NO", None: "skipped" if row.skipped else ""}[row.holds],
                row.skipped or row.failed or row.note,
            )
            for row in self.rows
        ]
        return _aligned(cells)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"


def _aligned(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines = [_line(row, widths) for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def _line(row: Iterable[str], widths: Iterable[int]) -> str:
    return "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
    }
