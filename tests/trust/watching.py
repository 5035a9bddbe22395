"""How much memory and time the services take while things happen to them."""

import asyncio
from collections.abc import Callable, Sequence

import psutil
from stage import Understudy
from trust.tally import MIB

EVERY = 0.5


class Watch:
    """Looks at every replica's memory, its workers' included, twice a second."""

    def __init__(self, replicas: Sequence[Understudy], progress: Callable[[], float]) -> None:
        self._replicas = replicas
        self._progress = progress
        self.peak_mib = 0.0
        self._halves = [0.0, 0.0]

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            half = int(self._progress() >= 0.5)
            for process in self._replicas:
                self._halves[half] = max(self._halves[half], _memory(process.pid) / MIB)
            self.peak_mib = max(self._halves)
            await asyncio.sleep(EVERY)

    @property
    def growth_mib(self) -> float:
        """By how much the peak of the second half is higher than that of the first."""
        return max(0.0, self._halves[1] - self._halves[0])


def _memory(pid: int | None) -> int:
    try:
        if pid is None:
            return 0
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_info().rss for member in family)
    except psutil.NoSuchProcess:  # killed meanwhile
        return 0


async def idle_cpu(replicas: Sequence[Understudy], seconds: float) -> float:
    """The share of one core, in percent, that the busiest replica takes while nothing happens."""
    before = [_busy(process.pid) for process in replicas]
    await asyncio.sleep(seconds)
    after = [_busy(process.pid) for process in replicas]
    return max(100 * (now - then) / seconds for then, now in zip(before, after, strict=True))


def _busy(pid: int | None) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
