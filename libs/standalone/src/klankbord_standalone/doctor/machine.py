"""What this machine says: programs, folders, files."""

import hashlib
import platform
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from klankbord_runtime.refused import Refused
from klankbord_standalone.apply import CONFIG, POLICY, QUERIES, ROUTING
from klankbord_standalone.credentials import Credentials, CredentialsError
from klankbord_standalone.home import Home
from klankbord_standalone.retention import NAME, parse_streams
from klankbord_standalone.services import SERVICES

PACKAGES = tuple(f"klankbord-{name}" for name in ("schemas", "runtime", *SERVICES, "standalone"))
FILES = {
    f"{kind.name}.yaml": tuple(kind.parsers.values()) for kind in (CONFIG, POLICY, ROUTING, QUERIES)
}


@dataclass(frozen=True)
class Disk:
    """The disk that a folder is on."""

    folder: str
    free: int
    total: int


@dataclass(frozen=True)
class Written:
    """A configuration file, as it lies in its folder."""

    digest: str
    problems: int
    """How many there are; their text is for `klankbord … check` to tell."""


@dataclass(frozen=True)
class MachineFacts:
    """This machine."""

    python: str
    packages: dict[str, str]
    """The versions of Klankbord's packages that are installed here."""
    disks: list[Disk]
    open_files: list[str]
    """Keys and passwords that others than their owner may read or change."""
    secrets: int
    """How many keys and passwords were looked at."""
    unusable: str
    """The key that is not there or not well formed, and what to do; mostly empty."""
    files: dict[str, Written]
    """The configuration files that are there, by name."""
    config: str
    """The folder of those."""
    stale_permissions: bool | None
    """Whether auth.conf is another one than this build writes; None where there is none."""
    nats_conf: str | None
    """What the embedded nats-server's configuration says; none where there is none."""


def gather(home: Home, credentials: Credentials) -> MachineFacts:
    """Look at this machine.

    Args:
        home: the installation's folders.
        credentials: its keys and passwords.
    """
    nats_conf = home.data / "nats" / "nats.conf"
    private = list(_private(home, credentials.folder))
    stale, unusable = None, ""
    try:
        stale = _stale(credentials, nats_conf.with_name("auth.conf"))
    except CredentialsError as error:
        unusable = str(error)
    return MachineFacts(
        python=platform.python_version(),
        packages=dict(_installed()),
        disks=[_disk(folder) for folder in (home.data, home.data / "postgres") if folder.exists()],
        open_files=[str(file) for file in private if _is_open(file)],
        secrets=len(private),
        unusable=unusable,
        files=dict(_files(home.config)),
        config=str(home.config),
        stale_permissions=stale,
        nats_conf=nats_conf.read_text("utf-8") if nats_conf.exists() else None,
    )


def monitoring_addresses(nats_conf: str | None) -> list[str]:
    """Where the embedded nats-server's monitoring listens; empty where there is none."""
    found = re.search(r'^http: "(.+)"$', nats_conf or "", re.MULTILINE)
    return [f"http://{found[1]}"] if found else []


def _installed() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _disk(folder: Path) -> Disk:
    usage = psutil.disk_usage(str(folder.resolve()))
    return Disk(str(folder), usage.free, usage.total)


def _private(home: Home, credentials: Path) -> Iterator[Path]:
    """Every file that holds a key or a password."""
    # auth.conf holds public keys only
    yield from (f for f in sorted(credentials.glob("*")) if f.is_file() and f.name != "auth.conf")
    yield from (f for f in sorted(home.secrets.glob("*")) if f.is_file())
    running = home.data / "running.json"
    if running.exists():
        yield running


def _stale(credentials: Credentials, embedded: Path) -> bool | None:
    """Whether NATS was given another list of permissions than it should have."""
    for file in (embedded, credentials.folder / "auth.conf"):
        if file.exists():
            return file.read_text("utf-8") != credentials.authorization()
    return None


def _is_open(file: Path) -> bool:
    """Whether others may read or change it: its mode lets them, and they may enter its folder."""
    mode, folder = file.stat().st_mode, file.parent.stat().st_mode
    group = mode & stat.S_IRWXG and folder & stat.S_IXGRP
    everyone = mode & stat.S_IRWXO and folder & stat.S_IXOTH
    return bool(group or everyone)


def _files(config: Path) -> Iterator[tuple[str, Written]]:
    for name, parsers in {**FILES, NAME: (parse_streams,)}.items():
        try:
            body = (config / name).read_bytes()
        except FileNotFoundError:
            continue
        wrong = [problem for parse in parsers for problem in _refused(parse, body)]
        yield name, Written(hashlib.sha256(body).hexdigest(), len(set(wrong)))


def _refused(parse: Callable[[bytes], object], body: bytes) -> list[str]:
    try:
        parse(body)
    except Refused as refused:
        return str(refused).splitlines()
    return []
