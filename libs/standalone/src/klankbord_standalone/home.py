"""One installation's folders: what the user writes (config) and what Klankbord keeps (data).

<config>/klankbord.yaml policy.yaml routing.yaml queries.yaml    examples until you change them
<data>/credentials/ secrets/ nats/ postgres/ logs/ imports/
<data>/ports.json       the ports that were chosen, so that a door keeps its address
<data>/running.json     where everything is, while it runs
"""

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import psutil

from klankbord_standalone.private_file import write_private

CONFIGS = {
    "klankbord.yaml": "klankbord_ingest",
    "policy.yaml": "klankbord_moderation",
    "routing.yaml": "klankbord_routing",
    "queries.yaml": "klankbord_ingest",
}
"""Each configuration file, and the package that ships a commented example of it."""

CONFIG_NOTE = "config-folder"
"""The file that holds the path of the configuration folder."""


@dataclass(frozen=True)
class Running:
    """Where a running installation is."""

    pid: int
    """The process that runs it."""
    nats_url: str
    admin_url: str
    credentials: str
    """The folder of its keys and passwords."""
    ports: dict[str, int]
    """The HTTP port of each service, by name."""

    def address(self, service: str) -> str:
        """Where that service listens."""
        return f"http://127.0.0.1:{self.ports[service]}"


@dataclass(frozen=True)
class Home:
    """The two folders of an installation."""

    data: Path
    config: Path

    @classmethod
    def at(cls, data: Path, config: Path | None) -> "Home":
        """The installation in these folders; the data folder remembers its configuration folder."""
        remembered = data / CONFIG_NOTE
        if config is None and remembered.exists():
            config = Path(remembered.read_text(encoding="utf-8"))
        return cls(data.absolute(), (config or Path("klankbord")).absolute())

    @property
    def logs(self) -> Path:
        """Where each service's log is."""
        return self.data / "logs"

    @property
    def discarded(self) -> Path:
        """Dead letters that were given up, each with the reason."""
        return self.logs / "discarded.ndjson"

    @property
    def secrets(self) -> Path:
        """One file per webhook source: what its sender signs with."""
        return self.data / "secrets"

    @property
    def is_made(self) -> bool:
        """Whether there is an installation here, running or not."""
        return (self.data / CONFIG_NOTE).exists()

    def prepare(self) -> list[Path]:
        """Make the folders, and examples of what is not configured; gives those."""
        for folder in (self.data, self.logs, self.config):
            folder.mkdir(parents=True, exist_ok=True)
        self.secrets.mkdir(mode=0o700, exist_ok=True)
        (self.data / CONFIG_NOTE).write_text(str(self.config), encoding="utf-8")
        written = []
        for name, package in CONFIGS.items():
            path = self.config / name
            if not path.exists():
                path.write_bytes(files(package).joinpath(name).read_bytes())
                written.append(path)
        return written

    def running(self) -> Running | None:
        """Where the installation runs now; None when it does not."""
        try:
            found = Running(**json.loads(self._running_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        return found if psutil.pid_exists(found.pid) else None

    def note_running(self, running: Running) -> None:
        """Let other commands find what runs here. The file names URLs with passwords: private."""
        write_private(self._running_file, json.dumps(asdict(running)))

    def forget_running(self) -> None:
        """Nothing runs here any more."""
        self._running_file.unlink(missing_ok=True)

    def ports(self) -> dict[str, int]:
        """The ports that were chosen before, by name."""
        try:
            ports: dict[str, int] = json.loads(self._ports_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return ports

    def keep_ports(self, ports: dict[str, int]) -> None:
        """Use these ports again the next time."""
        self._ports_file.write_text(json.dumps(ports), encoding="utf-8")

    @property
    def _running_file(self) -> Path:
        return self.data / "running.json"

    @property
    def _ports_file(self) -> Path:
        return self.data / "ports.json"
