"""One row of a file: a submission, or why it is none."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from pydantic import ValidationError

from klankbord_ingest.submission import (
    FieldError,
    InteractionSubmission,
    PostSubmission,
    Submission,
    field_errors,
)

MAX_LINE_BYTES = 1_000_000
"""The longest line that is read; a post that the bus carries is shorter."""
SHOWN = 10_000
"""How many characters of a refused row are repeated to whoever must put it right."""


@dataclass(frozen=True)
class Refusal:
    """Why a row is not taken in."""

    code: str
    """One word, for counting; docs/sources/import.md lists them."""
    why: str
    """What is wrong with it, for a person."""
    field: str = ""
    """Which field, as it is written in JSON; empty where the whole row is meant."""
    row: object = None
    """The row itself, or its beginning."""


@dataclass(frozen=True)
class Row:
    """A row and where it stands."""

    position: str
    """Where, for a person: `line 12`, `message 3`, `general/2026-01-14.json, message 7`."""
    content: Submission | Refusal


Rows: TypeAlias = Iterator[Row]


def validated(document: object, row: object = None) -> Submission | Refusal:
    """The submission that a document is, or why it is none.

    Args:
        document: a JSON object as Python has it; with a `kind` it is an interaction.
        row: what to show of it if it is refused; the document itself where it is left out.
    """
    is_interaction = isinstance(document, dict) and "kind" in document
    model = InteractionSubmission if is_interaction else PostSubmission
    try:
        return model.model_validate(document)
    except ValidationError as error:
        return refusal_of(field_errors(error)[0], document if row is None else row)


def refusal_of(error: FieldError, row: object) -> Refusal:
    """Why a row is not taken in, from what is wrong with a field of it."""
    code = f"missing_{error.field}" if error.code == "missing" else error.code
    return Refusal(code, f"{error.field} {error.why}".strip(), error.field, row)


def lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file with their numbers, from 1; None for one that is too long to be read."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) <= MAX_LINE_BYTES:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE_BYTES)
        yield number, None


def too_long_line() -> Refusal:
    """What to say of a line that is too long to be read."""
    return Refusal("too_large", f"the line is longer than {MAX_LINE_BYTES:,} bytes")
