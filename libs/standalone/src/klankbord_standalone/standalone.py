"""Everything on one machine: the servers, the four services, and the files they work by."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx

from klankbord_ingest.keys import VARIABLE_PREFIX
from klankbord_standalone.child import ServerFailedError
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.explained import ExplainedError, NothingHereError
from klankbord_standalone.home import Home, Running
from klankbord_standalone.retention import streams_kept
from klankbord_standalone.server import Server
from klankbord_standalone.servers import Installation, Servers
from klankbord_standalone.services import (
    RESTART_AFTER,
    RESTART_AT_MOST,
    SERVICES,
    ServiceProcess,
    choose_ports,
)

log = logging.getLogger(__name__)

Say = Callable[[str], None]

LOOK_EVERY = 0.5
"""Seconds between two looks at whether an embedded server is still there."""
WELCOME_EVERY = 1.0
"""Seconds between two looks at whether there is a new credential."""


class Elsewhere:
    """An existing NATS and PostgreSQL, named by the user instead of the embedded ones."""

    def __init__(self, nats_url: str, creds_dir: Path, postgres_url: str) -> None:
        self.installation = Installation(nats_url, postgres_url, Credentials(creds_dir))


@dataclass(frozen=True)
class Standalone:
    """A whole installation that runs here."""

    running: Running
    installation: Installation
    processes: Sequence[ServiceProcess]
    servers: Servers | None
    """The embedded servers; none where existing ones are used."""


INHERITED = (
    *("PATH", "HOME", "LANG"),
    *("SSL_CERT_FILE", "PGSSLMODE", "PGSSLROOTCERT"),  # how servers of one's own are believed
)
HANDED_DOWN = ("KLANKBORD_TELEMETRY__", "KLANKBORD_OUTBOX__")
"""What every service is told of our own environment, by how its names begin."""
HANDED_TO = {
    "ingest": (
        *("KLANKBORD_OUTGOING__", "KLANKBORD_PUBLIC_URL", "KLANKBORD_MAX_WAITING_BYTES"),
        VARIABLE_PREFIX,
    ),
    "metrics": ("KLANKBORD_SETTLE_SECONDS",),
}
"""And what one service alone."""


@asynccontextmanager
async def embedded(home: Home) -> AsyncIterator[Servers]:
    """The embedded servers, provisioned, on the ports of before where those are free.

    One that crashes is started again, and a user whose credential is made meanwhile is let in.

    Raises:
        ServerFailedError, ProvisionError, FileRefusedError: why they cannot be had.
    """
    ports = choose_ports(home.ports())
    home.keep_ports(ports)
    servers = Servers(
        home.data,
        nats_port=ports["nats"],
        postgres_port=ports["postgres"],
        streams=streams_kept(home.config),
    )
    async with servers:
        starting = asyncio.Lock()
        tasks = [
            asyncio.create_task(_keep(servers.nats, starting)),
            asyncio.create_task(_keep(servers.postgres, asyncio.Lock())),
            asyncio.create_task(_welcome(servers, starting)),
        ]
        try:
            yield servers
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(server: Server, starting: asyncio.Lock) -> None:
    """Start the server again when it crashed, ever more slowly.

    Args:
        server: one that was started.
        starting: held by whoever starts it.
    """
    now = asyncio.get_running_loop().time
    pause = RESTART_AFTER
    begun = now()
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if not server.crashed:
            continue
        if now() - begun > RESTART_AT_MOST:
            pause = RESTART_AFTER
        async with starting:
            while not server.running:
                log.warning("%s ended by itself; it starts again in %.1f s", server.name, pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, RESTART_AT_MOST)
                try:
                    await server.start()
                except (ServerFailedError, asyncpg.PostgresError, OSError) as error:
                    log.warning("%s", error)
        begun = now()


async def _welcome(servers: Servers, starting: asyncio.Lock) -> None:
    """Let in whoever a command makes a credential for meanwhile.

    Args:
        servers: started.
        starting: held by whoever starts NATS.
    """
    while True:
        await asyncio.sleep(WELCOME_EVERY)
        try:
            current = servers.credentials.authorization()
            if current != servers.nats.authorization:
                async with starting:
                    await servers.nats.admit(current)
        except (ExplainedError, OSError) as error:
            log.warning("new users are not let in yet: %s", error)
            await asyncio.sleep(RESTART_AT_MOST)


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
            Credentials.create(installation.credentials.folder)
            await installation.provision(streams=streams_kept(home.config))
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
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    wanted = HANDED_DOWN + HANDED_TO.get(service, ())
    passed_on = {name: value for name, value in os.environ.items() if name.startswith(wanted)}
    own = {"KLANKBORD_CONFIG_DIR": str(home.config.absolute())}
    if service == "ingest":
        own |= {
            "KLANKBORD_PSEUDONYM_KEY_FILE": str(installation.credentials.pseudonym_key_file),
            "KLANKBORD_SECRETS_DIR": str(home.secrets.absolute()),
            "KLANKBORD_OPERATOR_TOKEN_FILE": str(installation.credentials.operator_token_file),
        }
    return inherited | passed_on | installation.environment(service) | own


@asynccontextmanager
async def reach(
    home: Home, elsewhere: Elsewhere | None = None, *, make: bool = False
) -> AsyncIterator[Installation]:
    """The installation, to look at: where it runs, or its servers alone for as long as this lasts.

    Args:
        home: its folders.
        elsewhere: the existing servers that it uses; none where they are embedded.
        make: make an installation where there is none yet.

    Raises:
        NothingHereError: there is none, and none is to be made.
        ServerFailedError, ProvisionError: why it cannot be reached.
    """
    running = home.running()
    if running is not None:
        yield Installation(
            running.nats_url, running.admin_url, Credentials(Path(running.credentials))
        )
        return
    if elsewhere is not None:
        if make:
            Credentials.create(elsewhere.installation.credentials.folder)
        yield elsewhere.installation
        return
    if make:
        home.prepare()
    elif not home.is_made:
        raise NothingHereError("nothing here yet: klankbord up")
    async with embedded(home) as servers:
        yield servers.installation
