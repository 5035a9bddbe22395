"""Paths and commands as the user would type them, from the folder where the user is."""

import shutil
import sys
from pathlib import Path


def path_from_here(path: Path) -> Path:
    """The path, relative where it is below the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def klankbord() -> str:
    """The command itself: by its path where it is not on PATH, as in a venv that is not active."""
    if shutil.which("klankbord"):
        return "klankbord"
    return str(path_from_here(Path(sys.executable).with_name("klankbord")))
