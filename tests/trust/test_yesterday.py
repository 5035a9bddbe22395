"""Which build an upgrade begins with: the last release, or the oldest that leads to this one."""

import subprocess
from pathlib import Path

import pytest
from trust import yesterday
from trust.yesterday import NoYesterdayError, revision

MIGRATION = "services/one/sql/migrations/0001_first.sql"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(yesterday, "ROOT", tmp_path)
    git(tmp_path, "init", "--quiet")
    return tmp_path


def git(clone: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    ran = subprocess.run(
        ["git", *who, *words], cwd=clone, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def commit(clone: Path, file: str, text: str) -> str:
    (clone / file).parent.mkdir(parents=True, exist_ok=True)
    (clone / file).write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", file)
    return git(clone, "rev-parse", "HEAD")


def test_before_a_release_it_is_the_last_commit_that_changed_a_migration(clone: Path) -> None:
    commit(clone, MIGRATION, "create table one ()")
    changed = commit(clone, MIGRATION, "create table one (id int)")
    commit(clone, "services/one/sql/migrations/0002_second.sql", "create table two ()")
    assert revision() == changed


def test_where_none_was_ever_changed_it_is_the_first(clone: Path) -> None:
    first = commit(clone, "README.md", "one")
    commit(clone, MIGRATION, "create table one ()")
    assert revision() == first


def test_it_is_the_last_release_and_not_this_one(clone: Path) -> None:
    commit(clone, MIGRATION, "create table one ()")
    released = commit(clone, "README.md", "0.1.0")
    git(clone, "tag", "v0.1.0")
    commit(clone, "README.md", "0.2.0")
    git(clone, "tag", "v0.2.0")
    assert revision() == released


def test_nothing_leads_to_a_commit_that_changes_a_migration(clone: Path) -> None:
    commit(clone, MIGRATION, "create table one ()")
    commit(clone, MIGRATION, "create table one (id int)")
    with pytest.raises(NoYesterdayError, match="changes a migration"):
        revision()


def test_a_clone_without_history_says_what_to_do(clone: Path) -> None:
    commit(clone, "README.md", "one")
    with pytest.raises(NoYesterdayError, match="git fetch --unshallow"):
        revision()


def test_what_is_no_clone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yesterday, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(NoYesterdayError, match="needs git, and a clone"):
        revision()
