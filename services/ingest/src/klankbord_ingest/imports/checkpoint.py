"""How far an import came, so that one that was interrupted goes on where it was."""

import os
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError


class Checkpoint(BaseModel):
    """What was settled of an import: the rows up to a point, and what became of them."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    rows: int = 0
    """How many rows of the file are settled."""
    received: int = 0
    duplicate: int = 0
    refused: int = 0
    reasons: dict[str, int] = {}
    """How many rows were refused, by code."""
    refused_bytes: int = 0
    """How long the file of refused rows was then; what stands beyond was written too soon."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """The checkpoint in a file; the beginning if there is none that can be read."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return cls()

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        new = path.with_suffix(".new")
        new.write_text(self.model_dump_json(), encoding="utf-8")
        new.replace(path)


def digest_of(path: Path) -> str:
    """SHA-256 of what a file holds; of a folder, of its files' names, sizes and times of change."""
    if path.is_file():
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    digest = sha256()
    for folder, subfolders, names in os.walk(path):
        subfolders.sort()
        for name in sorted(names):
            file_path = Path(folder, name)
            state = file_path.lstat()
            place = file_path.relative_to(path).as_posix()
            digest.update(f"{place}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
