"""Cases that were tried against a table of what must come of each."""

from dataclasses import dataclass, field


@dataclass
class Tried:
    """How many cases were tried, and which went wrong."""

    cases: int = 0
    failures: list[str] = field(default_factory=list)

    def check(self, name: str, *, holds: bool, found: object = "") -> None:
        """Count a case."""
        self.cases += 1
        if not holds:
            self.failures.append(f"{name}: {found!r}"[:300])
