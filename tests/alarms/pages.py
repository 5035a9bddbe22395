"""The pages in docs/runbooks: what they tell to type, and where they say when they were tried."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "runbooks"
HEADINGS = (
    "What it means",
    "How bad it is",
    "Look",
    "Do",
    "How you know that it is over",
    "How to try it",
    "When it was tried",
)
"""What every page has, in this order."""
BEGIN, END = "<!-- tried -->", "<!-- end -->"


@dataclass(frozen=True)
class Page:
    """The page of an alert."""

    path: Path

    @classmethod
    def of(cls, alert: str) -> "Page":
        """The page of that alert: `LagGrows` has `lag-grows.md`."""
        words = re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower()
        return cls(FOLDER / f"{words}.md")

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text("utf-8")

    @property
    def sections(self) -> dict[str, str]:
        """What stands under each heading."""
        _, *parts = re.split(r"^## (.+)$", self.text, flags=re.MULTILINE)
        return dict(zip(parts[::2], parts[1::2], strict=True))

    def commands(self, heading: str) -> list[str]:
        """What that section tells to type."""
        blocks = re.findall(
            r"^ *```sh\n(.*?)^ *```", self.sections[heading], re.MULTILINE | re.DOTALL
        )
        lines = "".join(blocks).splitlines()
        return [line.partition("  #")[0].strip() for line in lines if line.strip()]

    def note(self, tried: Iterable[str]) -> None:
        """Write down when it was tried and what was seen."""
        before, found, rest = self.text.partition(BEGIN)
        assert found, f"{self.path.name} has no place {BEGIN}"
        after = rest.partition(END)[2]
        self.path.write_text(before + "\n".join([BEGIN, *tried, END]) + after, "utf-8")


def all_pages() -> Sequence[Page]:
    """Every page there is."""
    return [Page(path) for path in sorted(FOLDER.glob("*.md"))]
