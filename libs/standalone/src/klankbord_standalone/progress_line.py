"""How far an import is, in one line: on a terminal it changes, elsewhere it comes again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

from klankbord_ingest.imports.client import Progress

WIDTH = 20
"""How many letters the bar is long."""
EVERY = 10.0
"""Seconds between two lines where there is no terminal."""
SPINNER = 4
"""What a terminal's line has beside the text: the sign that turns, and a margin."""
SETTLING = 2.0
"""Seconds before a rate says anything."""


@dataclass(frozen=True)
class Beginning:
    """When a run began to settle rows, and where it was then."""

    seconds: float
    rows: int
    bytes_read: int


def line(progress: Progress, began: Beginning, now: float) -> str:
    """The line: a bar, the rate and the time left as far as they are known, and what came of it.

    Args:
        progress: how far it is.
        began: where this run began.
        now: seconds on the same clock as `began`.
    """
    spent = now - began.seconds
    rows, read = progress.rows - began.rows, progress.bytes_read - began.bytes_read
    parts = [f"{progress.rows:,} rows"]
    if spent >= SETTLING and rows > 0:
        parts.append(f"{rows / spent:,.0f} rows/s")
    if progress.bytes_in_all:
        share = min(1.0, progress.bytes_read / progress.bytes_in_all)
        full = round(share * WIDTH)
        parts.insert(0, f"{'━' * full}{'─' * (WIDTH - full)} {share:.0%}")
        if spent >= SETTLING and read > 0 and share < 1:
            left = (progress.bytes_in_all - progress.bytes_read) * spent / read
            parts.append(f"{_duration(left)} left")
    counts = f"{progress.received:,} received, {progress.duplicate:,} known"
    parts.append(f"{counts}, {progress.refused:,} refused")
    return " · ".join([*parts, *([progress.waiting] if progress.waiting else [])])


@contextmanager
def shown(err: Console, clock: Callable[[], float]) -> Iterator[Callable[[Progress], None]]:
    """Gives what is to be told of progress; shows it for as long as this lasts."""
    teller = _Teller(clock)
    if err.is_terminal:
        with err.status("reading …") as status:
            yield lambda progress: status.update(teller.line(progress)[: err.width - SPINNER])
        return

    def tell(progress: Progress) -> None:
        text = teller.line(progress)
        if teller.is_due(progress):
            err.print(text, soft_wrap=True, markup=False, highlight=False)

    yield tell


class _Teller:
    """Remembers where the run began, and what was said last."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: Beginning | None = None
        self._created = self._said = clock()
        self._waiting: str | None = None

    def line(self, progress: Progress) -> str:
        if self._began is None:
            # Going through what was settled before takes time too, and says nothing of the rate.
            goes_on = progress.skipped > 0
            self._began = Beginning(
                self._clock() if goes_on else self._created,
                progress.rows if goes_on else 0,
                progress.bytes_read if goes_on else 0,
            )
        return line(progress, self._began, self._clock())

    def is_due(self, progress: Progress) -> bool:
        """Whether it is time for another line, or there is something new to say."""
        is_news = progress.waiting is not None and progress.waiting != self._waiting
        self._waiting = progress.waiting
        if not is_news and self._clock() - self._said < EVERY:
            return False
        self._said = self._clock()
        return True


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
