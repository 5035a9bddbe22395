"""`klankbord outbox replay`: each service says again what it said, for a bus that lost it.

A service alone may read its outbox and publish its events, so each does it itself, in a process of
its own; this only asks them, and adds up.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.js.api import DeliverPolicy
from rich.console import Console
from rich.table import Table

from klankbord_standalone.explained import UsageError
from klankbord_standalone.home import Home
from klankbord_standalone.servers import Installation
from klankbord_standalone.services import SERVICES
from klankbord_standalone.standalone import environment
from klankbord_standalone.tail import parse_since

EVERYTHING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Replayed:
    """What one service said again, or would."""

    service: str
    streams: Counter[str]
    """How many events, by stream."""
    oldest: datetime | None
    """When the oldest event that its outbox has was recorded."""
    failure: str | None = None
    """Why it did not come to its end, and how to go on."""


def beginning(text: str, now: datetime) -> datetime:
    """The moment to replay from: `all`, an age such as `2h`, or a date or time.

    Raises:
        UsageError: it is none of these, or not in the past.
    """
    since = parse_since(text, now)
    if since.policy is DeliverPolicy.ALL:
        return EVERYTHING
    if since.moment is None or since.moment >= now:
        raise UsageError(f"--since {text} is not in the past: nothing was said since then")
    return since.moment


async def replay(
    home: Home, installation: Installation, since: datetime, *, dry_run: bool
) -> AsyncIterator[Replayed]:
    """Let one service after the other say again what it said since then."""
    for service in SERVICES:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"klankbord_{service}",
            "republish",
            "--since",
            since.isoformat(),
            *(["--dry-run"] if dry_run else []),
            env=environment(home, installation, service),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate()
        if process.returncode:
            # the last line says why; those before are its log
            *_, failure = ["", *complained.decode().strip().splitlines()]
            yield Replayed(service, Counter(), None, failure)
            continue
        told = json.loads(said)
        oldest = told["oldest"] and datetime.fromisoformat(told["oldest"])
        yield Replayed(service, Counter(told["streams"]), oldest)


def show(told: list[Replayed], since: datetime, out: Console, *, dry_run: bool) -> None:
    """Print it."""
    table = Table("service", "stream", box=None, header_style="dim")
    table.add_column("events", justify="right")
    for one in told:
        for stream, events in sorted(one.streams.items()):
            table.add_row(one.service, stream, f"{events:,}")
    total = sum(one.streams.total() for one in told)
    if total:
        out.print(table)
    out.print(f"{total:,} events {'would be' if dry_run else 'were'} said again")
    for one in told:
        if one.oldest is not None and one.oldest > since > EVERYTHING:
            out.print(
                f"{one.service}: its outbox goes back to {one.oldest:%Y-%m-%d %H:%M:%S} UTC; "
                "whether it said anything before is not known here"
            )
        if one.failure is not None:
            out.print(f"{one.service}: {one.failure}", soft_wrap=True, markup=False)
