"""The images: small, of what the lock names, and they say what they are made of."""

import json
import re
import tomllib
from typing import Any

import pytest
from kube.images import BYTES_PER_MB, OURS, image, sizes, stated
from kube.podman import ROOT, Podman

TOLERANCE = 0.1
TOOLS = {"pip", "setuptools", "wheel", "cyclonedx-bom", "pytest", "mypy", "ruff", "hypothesis"}


def in_image(podman: Podman, service: str, *command: str) -> str:
    """What a command prints in the image, run as the image's user, with nothing it can write."""
    entry, *words = command
    confined = ("--rm", "--network=none", "--read-only", "--cap-drop=all")
    return podman("run", *confined, f"--entrypoint={entry}", image(service), *words)


def locked() -> dict[str, str]:
    """The version of each package of the lock."""
    text = (ROOT / "requirements.lock").read_text("utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", text, re.MULTILINE))


def installed(podman: Podman, service: str) -> dict[str, str]:
    """What Python itself finds in the image."""
    listed = (
        "import json; from importlib.metadata import distributions; "
        "print(json.dumps({d.name: d.version for d in distributions()}))"
    )
    found: dict[str, str] = json.loads(in_image(podman, service, "python", "-c", listed))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found.items()}


@pytest.mark.parametrize("service", OURS)
def test_an_image_has_what_the_lock_names_and_no_tool(podman: Podman, service: str) -> None:
    found = installed(podman, service)
    own = {name for name in found if name.startswith("klankbord")}
    needed = {"klankbord-schemas", "klankbord-runtime", f"klankbord-{service}"}
    everything = {f"klankbord-{name}" for name in (*OURS, "schemas", "runtime")}
    assert own == (everything if service == "standalone" else needed)
    lock = locked()
    assert {name: lock.get(name) for name in found if name not in own} == {
        name: version for name, version in found.items() if name not in own
    }
    assert TOOLS.isdisjoint(found)


@pytest.mark.parametrize("service", OURS)
def test_its_sbom_lists_what_is_installed(podman: Podman, service: str) -> None:
    told: dict[str, Any] = json.loads(
        in_image(podman, service, "cat", "/opt/klankbord/sbom.cdx.json")
    )
    assert told["bomFormat"] == "CycloneDX"
    listed = [*told["components"], told["metadata"]["component"]]
    names = {re.sub(r"[-_.]+", "-", c["name"]).lower(): c["version"] for c in listed}
    assert names == installed(podman, service)


@pytest.mark.parametrize("service", OURS)
def test_it_runs_as_nobody_in_particular_and_says_where_it_is_from(
    podman: Podman, service: str
) -> None:
    made = podman.inspect("image", image(service))
    assert made["Config"]["User"] == "10001:10001"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    label = "org.opencontainers.image."
    labels = made["Config"]["Labels"]
    assert labels[f"{label}title"] == f"klankbord-{service}"
    assert labels[f"{label}version"] == version
    assert labels[f"{label}licenses"] == "Apache-2.0"
    assert re.match(r"[0-9a-f]{40}", labels[f"{label}revision"])
    assert in_image(podman, service, "id", "--user").strip() == "10001"


def test_the_documentation_states_their_sizes(podman: Podman) -> None:
    """`python -m kube.images` writes them."""
    measured = {name: size / BYTES_PER_MB for name, size in sizes(podman).items()}
    assert stated() == pytest.approx(measured, rel=TOLERANCE)
