"""Child processes of ours: where their output goes, how they stop, and that none outlives us."""

import asyncio
import fcntl
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, Signals

from klankbord_standalone.explained import ExplainedError

BECOME = Path(__file__).with_name("become.py")
LOOPBACK = "127.0.0.1"
FREE_PORTS = range(20_000, 32_768)
"""Below the ports that Linux gives to outgoing connections (ip_local_port_range): one of those may
take the port of a server that restarts, or, reconnecting to it, even connect to itself."""
LOG_BYTES = 10 * 1024**2
"""A log larger than this is set aside as `<name>.1` at the next start."""
LOCK_PATIENCE = 10.0
"""Seconds that the children of a killed parent may need to end."""


class ServerFailedError(ExplainedError):
    """A server did not start, or ended by itself; the message ends with the tail of its log."""


@dataclass(frozen=True)
class Account:
    """The system user that a child runs as."""

    name: str
    uid: int
    gid: int


class Child:
    """One running program, bound to this process: it gets a signal when this one dies.

    The thread that starts a child must live as long as the child shall.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._told_to_end = False

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        dies_by: Signals,
        lock: int | None = None,
        account: Account | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> "Child":
        """Start `command`; its first word is the program's full path.

        Args:
            name: what messages call it.
            command: the program and its arguments.
            log: the file that its output is appended to.
            dies_by: the signal that it gets when this process dies.
            lock: what `locked` gave; the lock stays until the child is gone, come what may.
            account: the user to run as; none keeps ours.
            environment: its environment variables; none hands down ours.
            folder: its working directory.
        """
        _set_aside(log)
        uid, gid = (account.uid, account.gid) if account else (-1, -1)
        bound = [sys.executable, "-I", "-S", str(BECOME), str(os.getpid()), str(int(dies_by))]
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *bound,
                str(uid),
                str(gid),
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=folder,
                pass_fds=() if lock is None else (lock,),
                start_new_session=True,  # Ctrl-C reaches us alone: we stop things in order
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """The process id: that of the program itself."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended, as far as we were told."""
        return self._process.returncode is None

    @property
    def crashed(self) -> bool:
        """Whether it ended by itself, without `end`."""
        return not self.running and not self._told_to_end

    async def wait(self) -> int:
        """Wait until it ends: its exit status, negative for a signal."""
        return await self._process.wait()

    def send(self, signal: Signals) -> None:
        """Send it a signal; a child that has ended gets none."""
        if self.running:
            self._process.send_signal(signal)

    async def end(self, *signals: Signals, patience: float) -> int:
        """Send one signal after the other until it ends, `patience` seconds each, then kill it."""
        self._told_to_end = True
        for signal in signals:
            self.send(signal)
            try:
                return await asyncio.wait_for(self.wait(), patience)
            except TimeoutError:
                continue
        self.send(SIGKILL)
        return await self.wait()

    def failed(self, what: str) -> ServerFailedError:
        """The error to raise about this child, with the last lines of its log."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        return ServerFailedError(
            "\n  ".join([f"{self.name} {what}; {self._log} ends with:", *lines])
        )


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    for _ in range(100):
        port = FREE_PORTS[secrets.randbelow(len(FREE_PORTS))]
        if is_free(port):
            return port
    raise ServerFailedError(f"none of 100 ports tried on {LOOPBACK} is free: name one")


def require_free(port: int, server: str) -> None:
    """Make sure that nobody listens on the port.

    Raises:
        ServerFailedError: somebody does.
    """
    if not is_free(port):
        raise ServerFailedError(
            f"{server} cannot listen on {LOOPBACK}:{port}, because another program does: "
            "stop that one, or choose another port"
        )


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[int]:
    """A lock on a data folder, for a child to inherit: free when the last that holds it is gone.

    Raises:
        ServerFailedError: a running server holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        await _take(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def is_free(port: int) -> bool:
    """Whether nobody listens on that port of the loopback address."""
    """Whether nobody listens on that port of the loopback address."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _set_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))


async def _take(descriptor: int, path: Path) -> None:
    deadline = asyncio.get_running_loop().time() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() > deadline:
                raise ServerFailedError(
                    f"{path.parent} is in use by another running klankbord: "
                    "stop that one, or choose another data folder with --data"
                ) from None
            await asyncio.sleep(0.05)
        else:
            return
