"""One version for everything: a release cannot forget a package."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]


K8S = ROOT / "deploy" / "k8s" / "base"


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


def test_every_image_has_it() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    images = [service["image"].partition(":") for service in compose.values()]
    tags = {tag for name, _, tag in images if name.startswith("klankbord/")}
    kustomized = yaml.safe_load((K8S / "kustomization.yaml").read_text("utf-8"))["images"]
    assert tags | {image["newTag"] for image in kustomized} == {version(ROOT / "pyproject.toml")}


def test_the_job_that_prepares_is_called_by_it() -> None:
    kustomization = yaml.safe_load((K8S / "prepare" / "kustomization.yaml").read_text("utf-8"))
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    named = {kustomization["nameSuffix"], *re.findall(r"\bprepare((?:-\d+)+)", page)}
    assert named == {"-" + version(ROOT / "pyproject.toml").replace(".", "-")}
