"""What was tried, what went wrong, how long it took and how much memory, at most."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024**2


@dataclass
class Tally:
    """The figures of many inputs."""

    inputs: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    """Seconds, and which input took them."""
    largest: tuple[float, str] = (0.0, "")
    """MiB that a process grew by while it worked on an input, and on which."""

    def failed(self, name: str, why: object) -> None:
        """Note that an input was not handled as it should be."""
        self.failures.append(f"{name}: {why!r}"[:500])

    def took(self, name: str, seconds: float, mib: float = 0.0) -> None:
        """Note what an input took."""
        self.slowest = max(self.slowest, (seconds, name))
        self.largest = max(self.largest, (mib, name))

    def add(self, other: "Tally") -> None:
        """Count what the other counted, too."""
        self.inputs += other.inputs
        self.failures += other.failures
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)

    @contextmanager
    def input(self, name: str, allowed: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Try one input in this process: nothing but `allowed` may come out."""
        self.inputs += 1
        memory = Memory(os.getpid())
        begun = time.perf_counter()
        try:
            yield
        except allowed:
            pass  # it was refused as it should be
        except Exception as error:  # noqa: BLE001  to find these is what this is for
            self.failed(name, error)
        self.took(name, time.perf_counter() - begun, memory.grown())


class Memory:
    """How much a process of this machine grew since this was made, at the most."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")
        (self._process / "clear_refs").write_text("5")  # the peak starts anew (proc(5))
        self._before = self._kib("VmRSS")

    def grown(self) -> float:
        """In MiB."""
        return (self._kib("VmHWM") - self._before) / 1024

    def _kib(self, name: str) -> int:
        status = (self._process / "status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0])
