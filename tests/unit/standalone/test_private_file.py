"""Private files are for this user only, and there whole or not at all."""

import stat
from pathlib import Path

import pytest

from klankbord_standalone.private_file import keep_private, write_private


def test_only_this_user_may_read_it_also_when_others_could_before(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch(mode=0o644)
    write_private(file, "schaap")
    assert file.read_text("utf-8") == "schaap"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_there_is_kept_and_nothing_is_made_for_it(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    keep_private(file, lambda: "first")
    keep_private(file, lambda: pytest.fail("made another one"))
    assert file.read_text("utf-8") == "first"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_who_comes_second_at_the_same_time_keeps_what_the_first_made(tmp_path: Path) -> None:
    file = tmp_path / "secret"

    def make_while_another_does() -> str:
        write_private(file, "faster")
        return "slower"

    keep_private(file, make_while_another_does)
    assert file.read_text("utf-8") == "faster"
    assert list(tmp_path.iterdir()) == [file]
