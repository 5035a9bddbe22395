"""Where everything listens, and how it is said."""

import shutil
import sys
from pathlib import Path

import pytest

from klankbord_standalone import services
from klankbord_standalone.typed import klankbord, path_from_here
from klankbord_standalone.up import moved


def test_a_port_of_before_is_kept_unless_another_program_took_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services, "is_free", lambda port: port != 7001)
    monkeypatch.setattr(services, "free_port", lambda: 9)
    ports = services.choose_ports({"ingest": 7001, "nats": 7002})
    assert (ports["ingest"], ports["nats"], ports["routing"]) == (9, 7002, 9)


def test_a_service_that_had_to_move_is_told_and_a_new_one_is_not() -> None:
    assert moved({"ingest": 7001, "routing": 7002}, {"ingest": 9, "routing": 7002, "new": 5}) == [
        "ingest: port 7001 is taken by another program; listening on 9"
    ]


def test_the_command_is_named_by_its_path_where_it_is_not_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert klankbord() == ".venv/bin/klankbord"
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert klankbord() == "klankbord"


def test_a_path_elsewhere_is_told_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_from_here(tmp_path / "data" / "x") == Path("data/x")
    assert path_from_here(tmp_path.parent / "x") == tmp_path.parent / "x"
