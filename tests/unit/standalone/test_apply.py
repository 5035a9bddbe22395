"""A configuration file is good when each service that reads it says so."""

from importlib.resources import files
from pathlib import Path

import pytest

from klankbord_runtime.accepted import Problem, Refused
from klankbord_standalone.apply import CONFIG, POLICY, ROUTING, Kind, check
from klankbord_standalone.explained import FileRefusedError
from klankbord_standalone.home import CONFIGS


def refuse(body: bytes) -> object:
    raise Refused(Problem(f"{body!r} is no file", "write one", line=7))


@pytest.mark.parametrize("parsers", [("good", "bad"), ("bad", "good")])
def test_a_file_that_one_of_its_readers_refuses_is_refused(
    tmp_path: Path, parsers: tuple[str, ...]
) -> None:
    file = tmp_path / "some.yaml"
    file.write_bytes(b"x")
    kind = Kind("some", {name: bytes.decode if name == "good" else refuse for name in parsers})
    with pytest.raises(FileRefusedError, match=r"some\.yaml: refused\nline 7: .*; write one"):
        check(kind, file)


def test_klankbord_yaml_is_read_by_ingest_and_by_metrics() -> None:
    assert set(CONFIG.parsers) == {"ingest", "metrics"}


@pytest.mark.parametrize("kind", [POLICY, ROUTING, CONFIG], ids=lambda kind: str(kind.name))
def test_the_examples_that_are_shipped_are_good(tmp_path: Path, kind: Kind) -> None:
    name = f"{kind.name}.yaml"
    file = tmp_path / name
    file.write_bytes(files(CONFIGS[name]).joinpath(name).read_bytes())
    check(kind, file)
