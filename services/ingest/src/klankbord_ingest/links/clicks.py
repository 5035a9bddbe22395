"""Clicks on their way into the database.

Whoever follows a link is answered first, and waits for nothing. Their click is written right after
that, together with those that came meanwhile. While the database is away clicks wait here, and go
in when it is back; at most `MOST_WAITING`, and what comes beyond is counted as lost. What waits
when the process is killed is lost too: a few clicks, where nobody was kept waiting.
"""

import logging
from collections import deque
from collections.abc import Callable
from itertools import islice

from klankbord_ingest.arrivals import MOST_TOGETHER, Arrivals
from klankbord_ingest.links.link import Link
from klankbord_ingest.source import Source
from klankbord_ingest.submission import InteractionSubmission
from klankbord_ingest.telemetry import Telemetry
from klankbord_ingest.usecases import Delivery
from klankbord_runtime.faults import TRANSIENT

MOST_WAITING = 10_000
"""Clicks that may wait at once: some 20 MB."""

log = logging.getLogger(__name__)


class Clicks:
    """Writes clicks, those together that wait together."""

    def __init__(
        self,
        arrivals: Arrivals,
        may_write: Callable[[], bool],
        source_of: Callable[[Link], Source],
        telemetry: Telemetry,
    ) -> None:
        """Hold nothing yet.

        Args:
            arrivals: writes them.
            may_write: whether they can be written now.
            source_of: which source the clicks on a link belong to, while they can be written.
            telemetry: counts what is lost.
        """
        self._arrivals = arrivals
        self._may_write = may_write
        self._source_of = source_of
        self._telemetry = telemetry
        self._waiting: deque[tuple[Link, InteractionSubmission]] = deque()
        self._is_writing = False
        self._is_losing = False
        self._is_away = False
        """Whether the database was away when it was tried last."""

    def __len__(self) -> int:
        return len(self._waiting)

    def hold(self, click: InteractionSubmission, link: Link) -> None:
        """Let a click on that link wait to be written; lost where too many wait."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((link, click))
        else:
            self._lose(1, f"{MOST_WAITING} wait already")

    async def write(self) -> None:
        """Write all that wait, unless somebody does, or the database was away a moment ago."""
        if self._is_writing or self._is_away:
            return
        self._is_writing = True
        try:
            while self._waiting and self._may_write() and await self._write_some():
                pass
        finally:
            self._is_writing = False

    async def try_again(self) -> None:
        """Write all that wait, also if the database was away: for a clock, not for each click."""
        self._is_away = False
        await self.write()

    async def _write_some(self) -> bool:
        """Write the first that wait, of one source; whether to go on after it."""
        first, _ = self._waiting[0]
        some: list[InteractionSubmission] = []
        for link, click in islice(self._waiting, MOST_TOGETHER):
            if (link.community, link.source) != (first.community, first.source):
                break
            some.append(click)
        source = self._source_of(first)
        try:
            receipt = await self._arrivals.write(Delivery(tuple(some)), source)
        except TRANSIENT as error:
            self._is_away = True
            log.warning("%d clicks wait: %s: %s", len(self._waiting), type(error).__name__, error)
            return False
        except Exception:  # noqa: BLE001  said by Arrivals, with its traceback
            self._done(len(some))
            self._lose(len(some), "they cannot be written; the log says why above")
        else:
            self._done(len(some))
            self._is_losing = False
            self._telemetry.counted(source.name, *receipt)
        return True

    def _done(self, count: int) -> None:
        """The first ones wait no more. Until here they did, so that a cancellation loses none."""
        for _ in range(count):
            self._waiting.popleft()

    def _lose(self, count: int, why: str) -> None:
        """Count clicks as lost, and say so once until some are written again."""
        self._telemetry.clicks.labels("lost").inc(count)
        if not self._is_losing:
            self._is_losing = True
            log.error("clicks are lost from here on: %s", why)
