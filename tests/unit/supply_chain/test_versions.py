"""One version for everything: a release cannot forget a package."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]


def version(file: Path) -> str:
    told: str = tomllib.loads(file.read_text("utf-8"))["project"]["version"]
    return told


def test_every_package_and_the_published_events_have_the_version_of_the_whole() -> None:
    whole = version(ROOT / "pyproject.toml")
    members = sorted(ROOT.glob("libs/*/pyproject.toml")) + sorted(
        ROOT.glob("services/*/pyproject.toml")
    )
    assert len(members) == 7
    assert {member.parent.name: version(member) for member in members} == {
        member.parent.name: whole for member in members
    }
    events = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text("utf-8"))
    assert events["info"]["version"] == whole
