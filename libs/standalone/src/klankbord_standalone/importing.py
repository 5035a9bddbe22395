"""`klankbord import`: history through the door of a running ingest, or of one started for it."""

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.imports.archive import ExportError
from klankbord_ingest.imports.client import (
    Circumstances,
    ImportFailedError,
    ImportResult,
    Target,
    import_path,
    import_url,
)
from klankbord_ingest.imports.csv import HeaderError
from klankbord_ingest.imports.formats import UnknownFormatError
from klankbord_ingest.imports.mapping import read_mapping
from klankbord_ingest.outgoing import Allowed, FetchError, Gate
from klankbord_ingest.sources import parse_sources
from klankbord_standalone.apply import checked
from klankbord_standalone.command import Place
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.explained import UsageError
from klankbord_standalone.home import Home, Running
from klankbord_standalone.progress_line import shown
from klankbord_standalone.standalone import start

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Job:
    """What is to be imported, and as what."""

    path: str
    """A path, or an http(s) address."""
    community: str
    source: str
    platform: str | None
    """Whose ids these are; the source's own platform where it is left out."""
    form: str
    dry_run: bool
    allowed: tuple[str, ...] = ()
    """Hosts and networks that an address may lead to although they are not public."""
    mapping: Path | None = None
    """The file that says which column is which field."""

    @property
    def is_url(self) -> bool:
        """Whether it is to be fetched."""
        return self.path.startswith(("http://", "https://"))


async def run(place: Place, job: Job, err: Console) -> ImportResult:
    """Import it, telling how far it is on a terminal.

    Raises:
        UsageError: it cannot be imported at all; says what to do.
    """
    _check(job, place.home)
    place.home.prepare()
    zone = _zone(place.home, job.community, err)
    mapping = None if job.mapping is None else checked(job.mapping, read_mapping)
    circumstances = Circumstances(zone, datetime.now(UTC), own=place.home.data, mapping=mapping)
    with shown(err, time.monotonic) as tell:
        try:
            async with _target(place, job) as target:
                if job.is_url:
                    return await import_url(
                        job.path,
                        target,
                        place.home.data,
                        circumstances,
                        Fetcher(Gate(Allowed.of(job.allowed))),
                        dry_run=job.dry_run,
                        report=tell,
                    )
                return await import_path(
                    Path(job.path),
                    target,
                    place.home.data,
                    circumstances,
                    job.form,
                    dry_run=job.dry_run,
                    report=tell,
                )
        except (UnknownFormatError, HeaderError, ExportError, ImportFailedError) as error:
            raise UsageError(str(error)) from error
        except FetchError as error:
            way_out = " or name it with --allow" if error.code == "not_public" else ""
            raise UsageError(f"{error}{way_out}") from error


def show(result: ImportResult, out: Console) -> None:
    """Print what became of the rows."""
    table = Table(box=None, show_header=False)
    table.add_column(justify="right")
    table.add_row(f"{result.received:,}", "received")
    table.add_row(f"{result.duplicate:,}", "known already")
    table.add_row(f"{result.refused:,}", "refused")
    for code, count in sorted(result.reasons.items(), key=lambda reason: -reason[1]):
        table.add_row(f"{count:,}", f"  {code}", style="dim")
    out.print(table)
    if result.refused_file is not None:
        out.print(f"refused rows, each with its reason: {result.refused_file}", soft_wrap=True)


def as_json(result: ImportResult) -> dict[str, Any]:
    """The result for a script."""
    told: dict[str, Any] = json.loads(result.as_json())
    return told


def _check(job: Job, home: Home) -> None:
    for what, name in (("community", job.community), ("source", job.source)):
        if SLUG.fullmatch(name) is None:
            raise UsageError(
                f"{what} {name!r} cannot be a name: use a-z, 0-9 and -, at most 63 characters"
            )
    if not job.is_url and not Path(job.path).exists():
        raise UsageError(f"there is no file or folder {job.path}")
    if job.mapping is not None and not job.mapping.is_file():
        raise UsageError(f"there is no mapping file {job.mapping}")
    if not job.is_url and Path(job.path).resolve() == home.data.resolve():
        raise UsageError(f"{job.path} is where Klankbord keeps its own data, and no history")


def _zone(home: Home, community: str, err: Console) -> tzinfo:
    """The community's time zone, in which times that name none are read."""
    file = home.config / "klankbord.yaml"
    listed = checked(file, parse_sources).communities
    if community in listed:
        return ZoneInfo(listed[community].time_zone)
    err.print(
        f"[dim]· {file} does not list community {community}: "
        "it is counted in UTC until you list it there[/dim]",
        soft_wrap=True,
    )
    return UTC


@asynccontextmanager
async def _target(place: Place, job: Job) -> AsyncIterator[Target]:
    """Where it goes: to the ingest that runs here, or to one that is started for the while."""
    running = place.home.running()
    if job.dry_run:
        yield Target("http://127.0.0.1", "", job.community, job.source, job.platform)
    elif running is not None:
        yield _door(running, job)
    else:
        async with start(place.home, place.elsewhere) as everything:
            yield _door(everything.running, job)


def _door(running: Running, job: Job) -> Target:
    token = Credentials(Path(running.credentials)).operator_token()
    return Target(running.address("ingest"), token, job.community, job.source, job.platform)
