"""A folder that another user may reach, as PostgreSQL needs when the tests run as root."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """Thrown away after the test."""
    folder = Path(tempfile.mkdtemp(prefix="klankbord-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
