"""The four services as child processes: started, watched, started again, stopped in order."""

import asyncio
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM

import httpx

from klankbord_schemas import topology
from klankbord_standalone.child import Child, free_port, is_free

log = logging.getLogger(__name__)

SERVICES = tuple(service.name for service in topology.SERVICES)
START_PATIENCE = 60.0
STOP_PATIENCE = 30.0
"""Longer than a service's own drain takes."""
RESTART_AFTER = 0.5
RESTART_AT_MOST = 15.0
POLL = 0.1


class ServiceProcess:
    """One service, kept running: when it ends by itself it is started again, ever more slowly."""

    def __init__(self, name: str, port: int, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.port = port
        self._environment = {**environment, "KLANKBORD_HTTP__PORT": str(port)}
        self._log = log
        self._child: Child | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        return self._child.pid if self._child is not None and self._child.running else None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def migrate(self) -> None:
        """Bring its schema up to date.

        Raises:
            ServerFailedError: a migration failed; says which.
        """
        child = await self._child_of("migrate")
        if await child.wait() != 0:
            raise child.failed("failed to migrate")

    async def start(self) -> None:
        """Start it, and keep it running."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self) -> None:
        """Let it drain and end; start it no more."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        if self._child is not None:
            await self._child.end(SIGTERM, patience=STOP_PATIENCE)

    async def ready(self, client: httpx.AsyncClient) -> None:
        """Wait until it is ready.

        Raises:
            ServerFailedError: it is not ready in time; says what it says, or the tail of its log.
        """
        said = "nothing"
        try:
            async with asyncio.timeout(START_PATIENCE):
                while True:
                    try:
                        answer = await client.get(f"{self.address}/readyz")
                    except httpx.TransportError:
                        said = "nothing: it does not listen yet"
                    else:
                        if answer.status_code == httpx.codes.OK:
                            return
                        said = "; ".join(answer.json()["problems"])
                    await asyncio.sleep(POLL)
        except TimeoutError:
            assert self._child is not None
            raise self._child.failed(
                f"is not ready after {START_PATIENCE:.0f} s ({said})"
            ) from None

    async def _spawn(self) -> None:
        self._child = await self._child_of("run")

    async def _child_of(self, verb: str) -> Child:
        return await Child.start(
            self.name,
            self._command(verb),
            log=self._log,
            dies_by=SIGTERM,
            environment=self._environment,
        )

    def _command(self, verb: str) -> list[str]:
        return [sys.executable, "-m", f"klankbord_{self.name}", verb]

    async def _keep(self) -> None:
        pause = RESTART_AFTER
        while True:
            assert self._child is not None
            begun = asyncio.get_running_loop().time()
            code = await self._child.wait()
            if asyncio.get_running_loop().time() - begun > RESTART_AT_MOST:
                pause = RESTART_AFTER
            log.warning("%s ended with %d; it starts again in %.1f s", self.name, code, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, RESTART_AT_MOST)
            await self._spawn()


def choose_ports(before: Mapping[str, int]) -> dict[str, int]:
    """The ports of before, and free ones where there are none yet or another program took them."""
    return {
        name: before[name] if name in before and is_free(before[name]) else free_port()
        for name in (*SERVICES, "nats", "postgres")
    }
