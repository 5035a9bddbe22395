"""Dockerfile: from the lock with its hashes, pinned, and never root."""

import re
import tomllib
from pathlib import Path

import yaml

from klankbord_schemas.topology import SERVICES

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "Dockerfile").read_text("utf-8")
LAST_STAGE = TEXT.rpartition("\nFROM ")[2]


def test_every_package_comes_from_the_lock_and_is_checked_against_its_hash() -> None:
    lines = TEXT.replace("\\\n", " ").splitlines()
    runs = [line for line in lines if line.startswith("RUN") and "pip" in line]
    assert len(runs) == 4
    assert all("--no-cache-dir --require-hashes" in run for run in runs[:2])
    assert all("--no-index --find-links /wheels" in run for run in runs[2:])


def test_the_base_is_pinned_to_a_release_of_the_python_that_is_tested() -> None:
    base = re.search(r"^ARG PYTHON=(\S+)$", TEXT, re.MULTILINE)
    assert base is not None
    assert re.fullmatch(r"3\.11\.\d+-slim-\w+", base[1])
    assert set(re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE)) == {"python:${PYTHON}"}


def test_it_never_runs_as_root() -> None:
    assert re.findall(r"^USER (\S+)$", LAST_STAGE, re.MULTILINE) == ["10001:10001"]
    assert "USER" not in LAST_STAGE.partition("USER 10001:10001")[2]


def test_it_is_stopped_by_a_signal_that_it_hears_and_says_whether_it_is_ready() -> None:
    assert "\nSTOPSIGNAL SIGTERM\n" in LAST_STAGE
    assert "/readyz" in LAST_STAGE.partition("HEALTHCHECK")[2]
    assert '\nENTRYPOINT ["klankbord"]\n' in LAST_STAGE  # no shell between


def test_every_service_has_the_command_that_becomes_the_entrypoint() -> None:
    for name in (*(service.name for service in SERVICES), "standalone"):
        folder = ROOT / ("libs" if name == "standalone" else "services") / name
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        command = "klankbord" if name == "standalone" else f"klankbord-{name}"
        assert project["name"] == f"klankbord-{name}"
        assert list(project["scripts"]) == [command]


def test_a_folder_is_ready_for_every_volume_of_the_compose_file() -> None:
    """An empty volume takes the owner of the folder it is first mounted on; ours is no root."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    prepared = LAST_STAGE.partition("install --directory")[2].partition("COPY")[0].split()
    for container in compose.values():
        if not container["image"].startswith("klankbord/"):
            continue
        for volume in container.get("volumes", ()):
            if isinstance(volume, str):
                assert volume.split(":")[1] in prepared


def test_only_what_is_built_from_enters_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in lines
    assert [line for line in lines if line.startswith("!")] == [
        "!libs",
        "!services",
        "!requirements.lock",
        "!requirements-sbom.lock",
    ]


def test_its_label_states_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in LAST_STAGE
