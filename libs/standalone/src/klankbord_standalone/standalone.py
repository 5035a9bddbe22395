"""Everything on one machine: the servers, the four services, and the files they work by."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from klankbord_standalone.child import ServerFailedError, is_free
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.home import Home, Running
from klankbord_standalone.servers import Installation, Servers
from klankbord_standalone.services import SERVICES, ServiceProcess, choose_ports

log = logging.getLogger(__name__)

Say = Callable[[str], None]


class Elsewhere:
    """An existing NATS and PostgreSQL, named by the user instead of the embedded ones."""

    def __init__(self, nats_url: str, creds_dir: Path, postgres_url: str) -> None:
        self.installation = Installation(nats_url, postgres_url, Credentials.create(creds_dir))


@dataclass(frozen=True)
class Standalone:
    """A whole installation that runs here."""

    running: Running
    installation: Installation
    processes: Sequence[ServiceProcess]
    servers: Servers | None
    """The embedded servers; none where existing ones are used."""


@asynccontextmanager
async def embedded(home: Home) -> AsyncIterator[Servers]:
    """The embedded servers, provisioned, on the ports of before where those are free.

    Raises:
        ServerFailedError, ProvisionError: why they cannot be had.
    """
    ports = choose_ports({name: port for name, port in home.ports().items() if is_free(port)})
    home.keep_ports(ports)
    servers = Servers(home.data, nats_port=ports["nats"], postgres_port=ports["postgres"])
    async with servers:
        welcome = asyncio.create_task(_welcome(servers), name="welcome")
        try:
            yield servers
        finally:
            welcome.cancel()


async def _welcome(servers: Servers) -> None:
    """Let in whoever another command has made a credential for meanwhile."""
    known = servers.credentials.authorization()
    while True:
        await asyncio.sleep(1)
        current = servers.credentials.authorization()
        if current != known:
            try:
                await servers.nats.admit(current)
            except (ServerFailedError, httpx.HTTPError) as error:
                log.warning("new users are not let in yet: %s", error)
            else:
                known = current


@asynccontextmanager
async def start(
    home: Home, elsewhere: Elsewhere | None = None, say: Say = lambda _: None
) -> AsyncIterator[Standalone]:
    """Start everything, in order; stop everything on the way out, the doors first.

    Raises:
        ServerFailedError, ProvisionError: why something does not start; nothing is left running.
    """
    async with AsyncExitStack() as stack:
        servers = None
        if elsewhere is None:
            say("starting NATS and PostgreSQL")
            servers = await stack.enter_async_context(embedded(home))
            installation = servers.installation
        else:
            installation = elsewhere.installation
            await installation.provision()
        home.keep_ports(choose_ports(home.ports()))
        processes = [
            ServiceProcess(
                name,
                home.ports()[name],
                environment(home, installation, name),
                home.logs / f"{name}.log",
            )
            for name in SERVICES
        ]
        say("bringing the database up to date")
        async with asyncio.TaskGroup() as group:
            for process in processes:
                group.create_task(process.migrate())
        say("starting the services")
        for process in reversed(processes):
            stack.push_async_callback(process.stop)
        async with asyncio.TaskGroup() as group:
            for process in processes:
                group.create_task(process.start())
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            for process in processes:
                await process.ready(client)
        running = Running(
            pid=os.getpid(),
            nats_url=installation.nats_url,
            admin_url=installation.admin_url,
            credentials=str(installation.credentials.folder),
            ports={process.name: process.port for process in processes},
        )
        home.note_running(running)
        stack.callback(home.forget_running)
        yield Standalone(running, installation, processes, servers)


def environment(home: Home, installation: Installation, service: str) -> dict[str, str]:
    """The environment of one service: what it needs, and nothing of its neighbours."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    passed_on = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("KLANKBORD_TELEMETRY__", "KLANKBORD_OUTBOX__"))
    }
    own = {"KLANKBORD_CONFIG_DIR": str(home.config.absolute())}
    if service == "ingest":
        own |= {
            "KLANKBORD_PSEUDONYM_KEY_FILE": str(installation.credentials.pseudonym_key_file),
            "KLANKBORD_SECRETS_DIR": str(home.secrets.absolute()),
            "KLANKBORD_OPERATOR_TOKEN_FILE": str(installation.credentials.operator_token_file),
        }
    return inherited | passed_on | installation.environment(service) | own


@asynccontextmanager
async def reach(home: Home, elsewhere: Elsewhere | None = None) -> AsyncIterator[Installation]:
    """The installation, to look at: where it runs, or its servers alone for as long as this lasts.

    Raises:
        ServerFailedError, ProvisionError: why it cannot be reached.
    """
    running = home.running()
    if running is not None:
        yield Installation(
            running.nats_url, running.admin_url, Credentials(Path(running.credentials))
        )
        return
    if elsewhere is not None:
        yield elsewhere.installation
        return
    home.prepare()
    async with embedded(home) as servers:
        yield servers.installation
