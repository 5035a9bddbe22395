"""What both embedded servers have in common: a child process that serves, ends, or has crashed."""

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar

from klankbord_standalone.child import Child

START_PATIENCE = 120.0
"""Seconds until a start has failed: a large store, or a long log, is read before one listens."""
POLL = 0.02


class Server(ABC):
    """One server, a child of this process that ends with it."""

    name: ClassVar[str]
    """What messages call it."""

    def __init__(self) -> None:
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            RuntimeError: it was never started.
        """
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._child is not None and self._child.running

    @property
    def crashed(self) -> bool:
        """Whether it ended by itself, not by `stop` or `kill`, and was not started again."""
        return self._child is not None and self._child.crashed

    @abstractmethod
    async def start(self) -> None:
        """Start, and return when clients are served."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop in order. Nothing happens when it is stopped."""

    @abstractmethod
    async def kill(self) -> None:
        """End it at once, as a crash would."""

    async def restart(self) -> None:
        """Stop if it runs, and start on the same ports and the same data."""
        await self.stop()
        await self.start()

    @abstractmethod
    async def _serves(self) -> bool:
        """Whether it answers a client."""

    def _require_stopped(self) -> None:
        if self.running:
            raise RuntimeError(f"this {self.name} is running already")

    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"this {self.name} was not started: await start() first")
        return self._child

    async def _wait_until_it_serves(self) -> None:
        """Wait for a server that was just started.

        Raises:
            ServerFailedError: it ended, or does not serve in time; with the tail of its log.
        """
        child = self._started()
        try:
            async with asyncio.timeout(START_PATIENCE):
                while not await self._serves():
                    if not child.running:
                        raise child.failed("did not start")
                    await asyncio.sleep(POLL)
        except TimeoutError:
            await self.kill()
            raise child.failed(f"did not serve within {START_PATIENCE:.0f} s") from None
