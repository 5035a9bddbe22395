"""What is installed is what was locked: every file by its hash, from whatever registry one uses."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
REQUIREMENT = re.compile(r"[a-z0-9._-]+==[^\s;]+( ; [^\\]+?)?(?: --hash=sha256:[0-9a-f]{64})+")
# built here, so that this test does not find itself
ADDRESS = re.compile("https?" + "://")


PYTHON = sorted(ROOT.glob("requirements*.lock"))
NPM = sorted(
    file
    for place in ("deploy", "docs", "examples", "libs", "scripts", "services", "tests")
    for file in (ROOT / place).rglob("package-lock.json")
    if "node_modules" not in file.parts
)


def test_the_locks_are_found() -> None:
    names = {file.name for file in PYTHON}
    assert {"requirements.lock", "requirements-deploy.lock"} <= names
    assert ROOT / "examples" / "package-lock.json" in NPM


@pytest.mark.parametrize("file", PYTHON, ids=lambda file: file.name)
def test_every_line_of_a_lock_is_one_version_with_its_hashes(file: Path) -> None:
    lines = file.read_text("utf-8").replace(" \\\n    ", " ").splitlines()
    assert len(lines) > 10
    assert [line for line in lines if not REQUIREMENT.fullmatch(line)] == []


@pytest.mark.parametrize("file", PYTHON, ids=lambda file: file.name)
def test_no_lock_names_the_address_of_an_index(file: Path) -> None:
    text = file.read_text("utf-8")
    assert not ADDRESS.search(text)
    assert "index-url" not in text
    assert "find-links" not in text


@pytest.mark.parametrize("file", NPM, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_lock_of_npm_has_hashes_and_no_addresses(file: Path) -> None:
    packages = json.loads(file.read_text("utf-8"))["packages"]
    locked = {name: package for name, package in packages.items() if name}
    assert locked
    assert [name for name, package in locked.items() if "resolved" in package] == []
    assert [name for name, package in locked.items() if not package.get("integrity")] == []
    settings = (file.parent / ".npmrc").read_text("utf-8")
    assert "omit-lockfile-registry-resolved=true" in settings
