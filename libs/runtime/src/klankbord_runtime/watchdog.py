"""A thread that ends the process when the process cannot help itself any more.

Seen under faults (docs/adr/0003): a client that closed for good leaves an event loop that spins
or sleeps for ever, ignores SIGTERM, and answers no probe. Whoever supervises starts a new one.
"""

import asyncio
import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h: an internal error."""
FROZEN_AFTER = 20.0
"""Seconds without a turn of the event loop."""
GONE_AFTER = 60.0
"""Seconds without a connection to the bus."""


class Watchdog:
    """Watches one event loop, and one connection, from outside."""

    def __init__(
        self, connected: Callable[[], bool], end: Callable[[int], None] = os._exit
    ) -> None:
        self._connected = connected
        self._end = end
        self._turned = time.monotonic()
        self._seen = time.monotonic()
        self._stop = threading.Event()
        self.lag = 0.0
        """How late the loop's last turn was, in seconds."""

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    async def beat(self) -> None:
        """Run in the loop that is watched; cancel it to end."""
        while True:
            now = time.monotonic()
            self._turned = now
            if self._connected():
                self._seen = now
            await asyncio.sleep(0.5)
            self.lag = max(0.0, time.monotonic() - now - 0.5)

    def stop(self) -> None:
        """Watch no more."""
        self._stop.set()

    def verdict(self, now: float) -> str | None:
        """Why the process should end; None while it should not."""
        if now - self._turned > FROZEN_AFTER:
            return f"the event loop has not turned for {now - self._turned:.0f} s"
        if now - self._seen > GONE_AFTER:
            return f"the bus has been out of reach for {now - self._seen:.0f} s"
        return None

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            reason = self.verdict(time.monotonic())
            if reason is not None:
                log.critical("ending the process, for its supervisor to start it anew: %s", reason)
                faulthandler.dump_traceback()
                self._end(EXIT_CODE)
