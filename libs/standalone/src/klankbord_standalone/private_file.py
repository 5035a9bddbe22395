"""Files that only this user may read, written whole or not at all."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write the file, over what was there."""
    _write_beside(path, text).replace(path)


def keep_private(path: Path, make: Callable[[], str]) -> None:
    """Write what `make` gives if the file is missing; what is there is kept."""
    if path.exists():
        return
    written = _write_beside(path, make())
    try:
        path.hardlink_to(written)
    except FileExistsError:  # another process was faster: its file is the one
        return
    finally:
        written.unlink()


def make_private(path: Path) -> None:
    """Make an empty file, for others to write to.

    Raises:
        FileExistsError: it is there.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _write_beside(path: Path, text: str) -> Path:
    written = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    return written
