"""A doctor's report, for people and for scripts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from klankbord_standalone.doctor.finding import Finding, Verdict

MARKS: dict[Verdict, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("WARNING", "yellow"),
    "problem": ("PROBLEM", "bold red"),
    "not checked": ("?", "dim"),
}


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether there is no problem; warnings, and what cannot be seen, are none."""
    return not any(finding.verdict == "problem" for finding in findings)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """For a script."""
    return {"well": is_well(findings), "findings": [f.as_json() for f in findings]}


def show(findings: Sequence[Finding], out: Console) -> None:
    """Print them, each with what to do, and how many there are of each kind."""
    widest = max(len(finding.check) for finding in findings)
    for finding in findings:
        mark, style = MARKS[finding.verdict]
        line = Text.assemble((f"{mark:<8}", style), f"{finding.check:<{widest}}  ", finding.found)
        out.print(line, soft_wrap=True)
        if finding.fix:
            out.print(Text(f"{'':<8}→ {finding.fix}", style), soft_wrap=True)
    counted = Counter(finding.verdict for finding in findings)
    out.print(", ".join(f"{counted[verdict]} {verdict}" for verdict in MARKS if counted[verdict]))
