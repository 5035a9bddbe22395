"""Two replicas of one consumer against one.

What they do has no effect (`yardsticks/null.py`): every post is decoded and judged, the inbox is
written, nothing else. So the servers have the least to do, and the consumer is the limit.
"""

import sys
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from bench import machine
from bench.ground import Ground, ground
from bench.pace import acknowledged, pace
from bench.rounds import Round
from bench.sizes import Size
from bench.talk import Talk
from bench.yardstick import MODERATION, program

from klankbord_standalone.child import free_port
from klankbord_standalone.standalone import environment

NAMES = ("replicas_2_vs_1",)


class Replicas:
    """Posts that wait on the bus, and as many readers as are asked for."""

    def __init__(self, ground: Ground, size: Size) -> None:
        self._ground = ground
        self._size = size

    async def round(self, wanted: Collection[str]) -> Round:
        """One, then two."""
        found = Round()
        one, _ = await self._pace(1)
        two, spent = await self._pace(2)
        found.compare("replicas_2_vs_1", two, one)
        busy = " · ".join(
            f"{name} {seconds / spent.seconds:.0%}" for name, seconds in spent.by_name.items()
        )
        found.notes["replicas_2_vs_1"] += f"; with two, of a core: {busy}"
        return found

    async def _pace(self, replicas: int) -> tuple[float, machine.Spent]:
        await self._ground.empty(keep=[MODERATION.stream])
        module = (sys.executable, "-m", "bench.yardsticks.null", "run")
        told = environment(self._ground.home, self._ground.installation, "moderation")
        async with AsyncExitStack() as stack:
            for number in range(replicas):
                port = {"KLANKBORD_HTTP__PORT": str(free_port())}
                name = f"null-{number}"
                await stack.enter_async_context(program(self._ground, name, module, told | port))
            done = acknowledged(self._ground, MODERATION.stream, MODERATION.name)
            before = machine.read()
            found = await pace(done, self._size.short_window, self._size.replica_events)
            return found, machine.between(before, machine.read())


@asynccontextmanager
async def replicas(size: Size, seed: int) -> AsyncIterator[Replicas]:
    """A ground with posts that wait."""
    async with ground() as made:
        talk, now = Talk(seed), datetime.now(UTC)
        await made.fill(talk.event(number, now) for number in range(size.replica_events))
        yield Replicas(made, size)
