"""Mails of an mbox a second, from the file to the disk: read, sent to the door, committed."""

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from bench import machine
from bench.ground import Ground, ground
from bench.rounds import Round
from bench.sizes import Size
from bench.talk import COMMUNITY
from letters import write_mbox

from klankbord_ingest.imports.client import Circumstances, Target, import_path

NAMES = ("import_mbox_per_s",)


class Imports:
    """An mbox, and a running ingest to bring it to."""

    def __init__(self, ground: Ground, address: str, size: Size) -> None:
        self._ground = ground
        token = ground.installation.credentials.operator_token()
        self._target = Target(address, token, COMMUNITY, "list")
        self._mbox = ground.home.data / "list.mbox"
        self._written = write_mbox(self._mbox, size.backlog)
        self._mails = size.backlog
        self._round = 0

    async def round(self, wanted: Collection[str]) -> Round:
        """Import it all, as mails that were never heard."""
        self._round += 1
        target = replace(self._target, platform=f"list-{self._round}")
        around = Circumstances(UTC, datetime.now(UTC))
        before, begun = machine.read(), time.monotonic()
        result = await import_path(self._mbox, target, self._ground.home.data, around)
        seconds, spent = time.monotonic() - begun, machine.between(before, machine.read())
        if result.received != self._written:
            raise RuntimeError(f"of {self._written} mails {result.received} were received")
        found = Round()
        found.values["import_mbox_per_s"] = self._mails / seconds
        found.notes["import_mbox_per_s"] = " · ".join(
            [f"{self._mails:,} mails, {self._mbox.stat().st_size / 2**20:.0f} MiB; µs/mail"]
            + [f"{name} {cpu / self._mails * 1e6:.0f}" for name, cpu in spent.by_name.items()]
        )
        return found


@asynccontextmanager
async def imports(size: Size, seed: int) -> AsyncIterator[Imports]:
    """Ingest alone."""
    async with ground() as made, made.running("ingest") as (ingest,):
        yield Imports(made, ingest.address, size)
