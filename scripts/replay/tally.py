"""What became of the files of a folder, counted."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from klankbord_ingest.kind import Page, PostSubmission
from klankbord_ingest.submission import InteractionSubmission

HEADINGS = (
    "folder",
    "kind",
    "files",
    "posts",
    "interactions",
    "passed over",
    "refused",
    "not read",
    "crashes",
)


class UnreadError(Exception):
    """No kind reads a file. Its text says why, in a few words."""


@dataclass
class Tally:
    """One row of the table."""

    folder: str
    kind: str
    files: int = 0
    posts: int = 0
    """Versions of posts: created, changed or deleted."""
    interactions: int = 0
    departures: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    """Items that say nothing that Klankbord listens for, by reason."""
    refused: Counter[str] = field(default_factory=Counter)
    """Items, or whole files, that are not what the platform documents, by code."""
    unread: Counter[str] = field(default_factory=Counter)
    """Files that no kind reads, by reason."""
    crashes: list[str] = field(default_factory=list)
    """What raised something that a kind may not raise: there must be none."""

    def add(self, page: Page) -> None:
        """Count a page."""
        for submission in page.submissions:
            if isinstance(submission, PostSubmission):
                self.posts += 1
            elif isinstance(submission, InteractionSubmission):
                self.interactions += 1
            else:
                self.departures += 1
        self.passed_over.update(page.passed_over)
        self.refused.update(error.code for error in page.refused)

    def cells(self) -> tuple[str, ...]:
        """The row as it is shown."""
        return (
            self.folder,
            self.kind,
            f"{self.files:,}",
            f"{self.posts:,}",
            f"{self.interactions:,}",
            _counted(self.passed_over | Counter(account_gone=self.departures)),
            _counted(self.refused),
            _counted(self.unread),
            str(len(self.crashes)),
        )


def table(tallies: Iterable[Tally]) -> str:
    """Rows of Markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(tally.cells() for tally in tallies)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _counted(reasons: Mapping[str, int]) -> str:
    """`private 3, no_post 2`, the most frequent first."""
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in most if count) or "–"
