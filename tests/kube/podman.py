"""podman with a storage of its own under build/, so that it shares nothing with the machine's."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "kube"

STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""
# Debian 12's podman 4.3 as root: crun does not take a hybrid cgroup tree, there may be no journal,
# and a limit of open files cannot be raised where CAP_SYS_RESOURCE is missing.
CONFIGURATION = """\
[containers]
default_ulimits = []
[engine]
runtime = "runc"
events_logger = "file"
cgroup_manager = "cgroupfs"
tmp_dir = "{folder}/run/libpod"
[network]
network_config_dir = "{folder}/networks"
"""


class PodmanError(Exception):
    """podman ended with an error; says with what command, and what it printed."""


class Podman:
    """The command, with its own configuration."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        configuration = {"storage.conf": STORAGE, "containers.conf": CONFIGURATION}
        for name, text in configuration.items():
            (folder / name).write_text(text.format(folder=folder), "utf-8")
        self.environment = os.environ | {
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
        }

    def __call__(self, *words: str, patience: float = 900, stdin: str | None = None) -> str:
        """Run `podman …`; gives what it printed.

        Raises:
            PodmanError: it ended with an error.
        """
        done = subprocess.run(
            ["podman", *words],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=patience,
            input=stdin,
        )
        if done.returncode != 0:
            raise PodmanError(f"podman {' '.join(words)}: {done.stderr}{done.stdout}")
        return done.stdout

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """What podman knows of an image, a pod, a container, a volume."""
        found: Any = json.loads(self(kind, "inspect", name))
        one: dict[str, Any] = found[0] if isinstance(found, list) else found
        return one

    def logs(self, lines: int = 15) -> str:
        """The last lines that each container said."""
        said = []
        for name in self("ps", "--all", "--format", "{{.Names}}").split():
            words = ["podman", "logs", "--tail", str(lines), name]
            done = subprocess.run(
                words,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            said.append(f"--- {name}\n{done.stdout}")
        return "\n".join(said)

    def has_image(self, name: str) -> bool:
        """Whether that image is stored here."""
        return bool(self("images", "--quiet", name).strip())

    def clear(self) -> None:
        """Remove every pod, container, volume, secret and network; images stay."""
        self("pod", "rm", "--all", "--force", "--time", "5")
        self("rm", "--all", "--force", "--time", "5", "--volumes")
        self("volume", "rm", "--all", "--force")
        self("network", "prune", "--force")
        for secret in self("secret", "ls", "--format", "{{.ID}}").split():
            self("secret", "rm", secret)
