"""The five images of the Dockerfile, and what stands in for those of others.

    PYTHONPATH=tests python -m kube.images    makes them; writes their sizes to docs/containers.md

No registry of images is asked. In the place of `python:…-slim` comes a Debian with its own Python,
made by debootstrap; the servers come from wheels of requirements.lock, Prometheus from Debian.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml
from kube.podman import ROOT, Podman

from klankbord_schemas.topology import SERVICES

OURS = [*(service.name for service in SERVICES), "standalone"]
FROM_DEBIAN = "python3,python3-venv,python3-pip,ca-certificates"
SUITE = "bookworm"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
DOCUMENT = ROOT / "docs" / "containers.md"
TABLE = re.compile(r"(?<=<!-- sizes -->\n).*?(?=<!-- /sizes -->)", re.DOTALL)
BYTES_PER_MB = 1_000_000


def main() -> int:
    """Make every image, and write down how large ours are."""
    podman = Podman()
    make(podman)
    found = sizes(podman)
    table = as_table(found)
    DOCUMENT.write_text(TABLE.sub(lambda _: table, DOCUMENT.read_text("utf-8")), "utf-8")
    print(table, end="")
    return 0


def make(podman: Podman) -> None:
    """Make every image that is not there, or whose source changed."""
    _base(podman)
    for service in OURS:
        build(podman, service)
    _servers(podman)


def build(podman: Podman, service: str) -> None:
    """One of our images, from the Dockerfile as it is."""
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    podman(
        *("build", "--pull=never", "--network=host", "--format=docker"),  # OCI has no HEALTHCHECK
        f"--volume={CERTIFICATES}:{CERTIFICATES}:ro",  # of this machine's way to the packages
        f"--build-arg=SERVICE={service}",
        f"--build-arg=REVISION={revision.stdout.strip()}",
        f"--tag={image(service)}",
        str(ROOT),
    )


def image(service: str) -> str:
    """The name of one of our images, as docker-compose.yml has it."""
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    names = {container["image"] for container in composed.values()}
    return next(str(name) for name in names if name.startswith(f"klankbord/{service}:"))


def theirs(server: str) -> str:
    """The name of another's image, as docker-compose.yml has it."""
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    return str(composed[server]["image"])


def base() -> str:
    """What the Dockerfile is built on."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    found = re.search(r"^ARG PYTHON=(\S+)$", text, re.MULTILINE)
    assert found is not None
    return f"python:{found[1]}"


def sizes(podman: Podman) -> Mapping[str, int]:
    """What each image adds to its base, in bytes."""
    below: int = podman.inspect("image", base())["Size"]
    return {service: podman.inspect("image", image(service))["Size"] - below for service in OURS}


def as_table(found: Mapping[str, int]) -> str:
    """The sizes, as they stand in the documentation."""
    rows = [
        f"| `klankbord/{name}` | {size / BYTES_PER_MB:.0f} MB |" for name, size in found.items()
    ]
    return "\n".join(["| image | adds to its base |", "|---|---|", *rows]) + "\n"


def stated() -> Mapping[str, int]:
    """The sizes that stand in the documentation, in MB."""
    rows = re.findall(r"`klankbord/(\w+)` \| (\d+) MB", DOCUMENT.read_text("utf-8"))
    return {name: int(size) for name, size in rows}


def _base(podman: Podman) -> None:
    inputs = hashlib.sha256(f"{SUITE} {FROM_DEBIAN}".encode()).hexdigest()[:12]
    made = f"localhost/klankbord-base:{inputs}"
    if not podman.has_image(made):
        with tempfile.TemporaryDirectory(dir=podman.folder) as folder:
            root = Path(folder) / "root"
            _run("debootstrap", "--variant=minbase", f"--include={FROM_DEBIAN}", SUITE, str(root))
            (root / "usr/bin/python").symlink_to("python3")
            for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
                marker.unlink()  # the official image's pip installs where it is told to, too
            archive = Path(folder) / "root.tar"
            _run("tar", "--directory", str(root), "--create", "--file", str(archive), ".")
            podman("import", str(archive), made)
    podman("tag", made, f"docker.io/library/{base()}")


def _servers(podman: Podman) -> None:
    context = podman.folder / "context"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(ROOT / "tests" / "kube" / "servers", context)
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        raise SystemExit("there is no prometheus here: `make setup-system` installs it")
    shutil.copy(prometheus, context / "prometheus")
    for server in ("nats", "postgres", "prometheus"):
        name = theirs(server)
        full = name if "/" in name else f"library/{name}"
        podman(
            *("build", "--pull=never", "--format=docker", f"--target={server}"),
            f"--build-arg=STANDALONE={image('standalone')}",
            f"--tag=docker.io/{full}",
            str(context),
        )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}{done.stdout[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
