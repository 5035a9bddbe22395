"""Who spent the processor's time: this benchmark, by process, or somebody else (proc(5))."""

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")
KERNEL = 2
"""kthreadd: its children write our pages to the disk, so they are nobody else's load."""
MOST_STEAL = 0.03
MOST_FOREIGN = 0.03


@dataclass(frozen=True)
class Process:
    """One process at one moment."""

    parent: int
    ticks: int
    """User and system time, with that of the children that ended and were waited for."""


@dataclass(frozen=True)
class Reading:
    """The whole machine at one moment."""

    at: float
    all_ticks: int
    stolen_ticks: int
    processes: dict[int, Process] = field(repr=False)


@dataclass(frozen=True)
class Spent:
    """What happened between two readings."""

    seconds: float
    cpu: float
    """Seconds of processor time that this process and its descendants used."""
    by_name: dict[str, float]
    """The same by process; the names are those of `name_of`."""
    steal: float
    """The share of the machine's time that its host gave to others."""
    foreign: float
    """The share of the machine's time that other programs used."""

    @property
    def disturbance(self) -> str:
        """Why these seconds say little about the software; empty where they do."""
        told = (("steal", self.steal, MOST_STEAL), ("load of others", self.foreign, MOST_FOREIGN))
        return ", ".join(f"{name} {share:.0%}" for name, share, most in told if share > most)


def read() -> Reading:
    """Look at the machine now."""
    ticks = [int(word) for word in _first_line(PROC / "stat").split()[1:9]]
    processes: dict[int, Process] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                words = _first_line(entry / "stat").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):  # it ended just now
                continue
            used = sum(int(word) for word in words[11:15])
            processes[int(entry.name)] = Process(int(words[1]), used)
    return Reading(time.monotonic(), sum(ticks), ticks[7], processes)


def between(before: Reading, after: Reading) -> Spent:
    """What was spent from one reading to the other."""
    parents = {pid: process.parent for pid, process in before.processes.items()}
    parents |= {pid: process.parent for pid, process in after.processes.items()}
    used: Counter[str] = Counter()
    foreign = 0
    for pid in parents:
        began, ended = before.processes.get(pid), after.processes.get(pid)
        # what ended was added to its parent's account, so what it had before is taken off here
        delta = (ended.ticks if ended else 0) - (began.ticks if began else 0)
        line = list(_ancestors(pid, parents))
        if os.getpid() in line:
            used[name_of(pid, parents)] += delta
        elif KERNEL not in line:
            foreign += delta
    every = max(1, after.all_ticks - before.all_ticks)
    return Spent(
        seconds=after.at - before.at,
        cpu=sum(used.values()) / TICK,
        by_name={name: ticks / TICK for name, ticks in used.most_common() if ticks},
        steal=(after.stolen_ticks - before.stolen_ticks) / every,
        foreign=foreign / every,
    )


def name_of(pid: int, parents: dict[int, int]) -> str:
    """What a process of ours is called: by its service or program, or by the parent's name."""
    if pid == os.getpid():
        return "generator"
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return name_of(parents[pid], parents)
    modules = (word for word in words if word.startswith(("klankbord_", "bench.")))
    program = Path(words[0].split(" ")[0].rstrip(":")).name
    return next(modules, program).removeprefix("klankbord_").rpartition(".")[2]


def _ancestors(pid: int, parents: dict[int, int]) -> Iterable[int]:
    while pid in parents:
        yield pid
        pid = parents[pid]


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline()
