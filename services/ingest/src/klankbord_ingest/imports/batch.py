"""Rows gathered into what one request to the import door may hold."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from klankbord_ingest.imports.row import Refusal, Row, Rows
from klankbord_ingest.submission import MAX_BATCH, PostSubmission, Submission

MAX_BYTES = 1_000_000
Kind = Literal["posts", "interactions"]


@dataclass
class Batch:
    """Rows that are settled together. What is sent of them is of one kind."""

    kind: Kind = "posts"
    rows: int = 0
    """How many rows it stands for."""
    submissions: list[tuple[str, str]] = field(default_factory=list)
    """What is sent: position and JSON text of each."""
    refused: list[tuple[str, Refusal]] = field(default_factory=list)
    """What is not: position and reason of each."""
    ids: set[str] = field(default_factory=set)
    """The native ids in it: versions of one post must be heard in order."""
    size: int = 0
    """In bytes, of what is sent."""

    def body(self) -> bytes:
        """The request's body."""
        texts = ",".join(text for _, text in self.submissions)
        return f'{{"{self.kind}":[{texts}]}}'.encode()


def batches(rows: Rows) -> Iterator[Batch]:
    """The rows in batches, in their order."""
    batch = Batch()
    for row in rows:
        if isinstance(row.content, Refusal):
            batch.refused.append((row.position, row.content))
        else:
            kind, text = _sent(row.content)
            if batch.submissions and (
                kind != batch.kind or batch.size + len(text.encode()) > MAX_BYTES
            ):
                yield batch
                batch = Batch()
            batch.kind = kind
            _add(batch, row, text)
        batch.rows += 1
        if batch.rows >= MAX_BATCH:
            yield batch
            batch = Batch()
    if batch.rows:
        yield batch


def _add(batch: Batch, row: Row, text: str) -> None:
    batch.submissions.append((row.position, text))
    batch.size += len(text.encode()) + 1
    if isinstance(row.content, PostSubmission):
        batch.ids.add(row.content.native_id)


def _sent(submission: Submission) -> tuple[Kind, str]:
    kind: Kind = "posts" if isinstance(submission, PostSubmission) else "interactions"
    return kind, submission.model_dump_json(by_alias=True, exclude_defaults=True)
