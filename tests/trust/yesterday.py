"""Yesterday's build: the last release, taken out of git and installed from its own lock.

Before the first release it is the oldest commit whose migrations are all still as they were: until
then a migration may be changed, and what it made before cannot be upgraded.
"""

import asyncio
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

from figures import BUILD
from stage import Build
from trust.part import Say

ROOT = Path(__file__).parents[2]
MIGRATIONS = ":(glob)**/sql/migrations/*.sql"


class NoYesterdayError(Exception):
    """There is no earlier build to be had here; says why, and what to do."""


def revision() -> str:
    """The commit that yesterday's build is made of.

    Raises:
        NoYesterdayError: the clone has no history, or this is no clone.
    """
    try:
        if not _git("rev-list", "--max-count=1", "--skip=1", "HEAD"):
            raise NoYesterdayError("this clone has no history: git fetch --unshallow --tags")
        if _git("tag", "--list", "v*", "--merged", "HEAD^"):
            tag = _git("describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^")
            return _git("rev-parse", f"{tag}^{{commit}}")
        changed = _git("log", "-1", "--format=%H", "--diff-filter=MRD", "HEAD", "--", MIGRATIONS)
        if changed == _git("rev-parse", "HEAD"):
            raise NoYesterdayError("this commit changes a migration: no earlier build leads to it")
        return changed or _git("rev-list", "--max-parents=0", "HEAD").splitlines()[0]
    except (subprocess.CalledProcessError, FileNotFoundError):
        raise NoYesterdayError("git does not answer here: this needs git, and a clone") from None


async def installed(commit: str, say: Say) -> Build:
    """That commit with all of its packages, in build/yesterday; kept for the next run.

    Raises:
        RuntimeError: it cannot be installed; with what pip says.
    """
    folder = BUILD / "yesterday" / commit[:12]
    build = Build(folder / ".venv" / "bin" / "python", folder / "tests")
    done = folder / ".ready"
    if done.exists():
        return build
    say(f"installing {commit[:12]} from its own lock: a minute or two")
    await asyncio.to_thread(_install, commit, folder, build.python)
    done.touch()
    return build


def _install(commit: str, folder: Path, python: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    _run([sys.executable, "-m", "venv", str(folder / ".venv")])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--require-hashes", "-r", str(folder / "requirements.lock")])
    members = sorted(file.parent for file in folder.glob("*/*/pyproject.toml"))
    editable = [word for member in members for word in ("-e", str(member))]
    _run([*pip, "--no-deps", "--no-build-isolation", *editable])


def _run(command: list[str]) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if ran.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:6])} …: {ran.stderr.strip()[-500:]}")


def _git(*words: str) -> str:
    ran = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.strip()
