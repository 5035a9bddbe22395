"""`klankbord demo`: a sample community through every service, and what comes out, checked.

The sample knows what it planted. What the pipeline measured must be equal to it, number by
number; where it is not, the demo fails and shows both.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from klankbord_runtime.db import Connection, Database, load_queries
from klankbord_standalone.explained import UsageError
from klankbord_standalone.home import Home
from klankbord_standalone.postgres_server import PostgresServer
from klankbord_standalone.report_html import render_html
from klankbord_standalone.report_reader import read_report
from klankbord_standalone.report_text import render_text
from klankbord_standalone.sample import CONFIGURATION, Planted, Sample, sample
from klankbord_standalone.sender import Sender, make_secret
from klankbord_standalone.standalone import Elsewhere, Say, Standalone, start
from klankbord_standalone.status import read_status
from klankbord_standalone.typed import klankbord, path_from_here

MARK = "klankbord-demo"
"""The file that says that a folder is a demo's, and may be made anew."""
SETTLE_PATIENCE = 120.0
QUIET_LOOKS = 5
"""How often in a row nothing may be on its way: a service shows its outbox every two seconds."""
NOT_MEASURED = frozenset({"posts_by_bots", "shadow_posts_by_label"})
"""What is planted for the sample's own tests; no service publishes a total of it."""
(COMMUNITY,) = (community["slug"] for community in CONFIGURATION["communities"])

queries = load_queries("klankbord_standalone")


@dataclass(frozen=True)
class Difference:
    """A number that came out otherwise than it was planted."""

    what: str
    planted: object
    measured: object


async def demo(
    folder: Path, elsewhere: Elsewhere | None, seed: int, today: date, out: Console, say: Say
) -> None:
    """Play the sample, compare, and show the report; ends with exit code 1 where they differ.

    Raises:
        UsageError: the folder is not a demo's.
        ServerFailedError, ProvisionError: something does not start.
    """
    home = Home.at(folder, folder / "config")
    _begin_anew(home)
    keys = {
        source["name"]: make_secret(home.secrets, source["name"])
        for source in CONFIGURATION["sources"]
    }
    say("writing eight weeks of a community")
    played = await asyncio.to_thread(sample, seed, today)
    async with start(home, elsewhere, say) as everything:
        say(f"playing {len(played.submitted):,} posts and interactions through the webhook door")
        await play(everything, played, keys)
        say("waiting until all of it is measured")
        await settled(everything)
        reader = everything.installation.postgres_url("reader")
        differences = compare(played.planted, await read_measured(reader))
        report = await read_report(reader, COMMUNITY, datetime.now(UTC))
        say("stopping")
    page = home.data / "report.html"
    page.write_text(render_html(report), encoding="utf-8")
    render_text(report, out)
    if differences:
        _show(differences, out)
        raise typer.Exit(1)
    _show_the_way_on(home, page, played.planted, out)


def _begin_anew(home: Home) -> None:
    if home.running() is not None:
        raise UsageError(f"a demo runs already in {home.data}: stop that one first")
    if home.data.exists():
        if not (home.data / MARK).exists():
            raise UsageError(f"{home.data} is no folder of an earlier demo: name another --data")
        PostgresServer(home.data / "postgres", "").erase()
        shutil.rmtree(home.data)
    home.data.mkdir(parents=True)
    (home.data / MARK).touch()
    home.config.mkdir()
    # YAML 1.2 contains JSON
    configuration = json.dumps(CONFIGURATION, indent=2, ensure_ascii=False)
    (home.config / "klankbord.yaml").write_text(configuration + "\n", encoding="utf-8")
    home.prepare()


async def play(everything: Standalone, played: Sample, keys: dict[str, bytes]) -> None:
    """Deliver everything: each source its own in the order of time, the sources side by side."""
    address = everything.running.address("ingest")
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:

        async def deliver(source: str) -> None:
            sender = Sender(http, address, source, keys[source])
            for delivery in played.deliveries():
                if delivery.source == source:
                    await sender.send(delivery.body)

        async with asyncio.TaskGroup() as group:
            for source in keys:
                group.create_task(deliver(source))


async def settled(everything: Standalone) -> None:
    """Wait until nothing is on its way: no event in a stream or an outbox, no day to measure."""
    async with (
        _reading(everything.installation.postgres_url("reader")) as connection,
        asyncio.timeout(SETTLE_PATIENCE),
    ):
        quiet = 0
        while quiet < QUIET_LOOKS:
            await asyncio.sleep(0.5)
            status = await read_status(everything.installation, everything.running)
            measured = await connection.fetchval(queries.fetch_is_settled, COMMUNITY)
            quiet = quiet + 1 if measured and status.waiting == 0 else 0


async def read_measured(reader_url: str) -> dict[str, Any]:
    """What was measured of the sample, by the names that the planted truth has."""
    async with _reading(reader_url) as connection:
        total = await connection.fetchrow(queries.fetch_total, COMMUNITY)
        weeks = await connection.fetch(queries.fetch_posts_by_week, COMMUNITY)
    posts_by_week = {row["monday"]: int(row["posts"]) for row in weeks}
    return {**(total or {}), "posts_by_week": posts_by_week}


@asynccontextmanager
async def _reading(reader_url: str) -> AsyncIterator[Connection]:
    database = Database(reader_url, "public", pool_size=1)
    await database.connect()
    try:
        async with database.connection() as connection:
            yield connection
    finally:
        await database.close()


def compare(planted: Planted, measured: dict[str, Any]) -> list[Difference]:
    """Every number of the planted truth that was measured otherwise, or not at all."""
    return [
        Difference(name, value, measured.get(name))
        for name, value in vars(planted).items()
        if name not in NOT_MEASURED and measured.get(name) != value
    ]


def _show(differences: list[Difference], out: Console) -> None:
    out.print("\n[red]What was measured is not what was planted:[/red]")
    table = Table("number", "planted", "measured", box=None, header_style="dim")
    for difference in differences:
        table.add_row(difference.what, str(difference.planted), str(difference.measured))
    out.print(table)


def _show_the_way_on(home: Home, page: Path, planted: Planted, out: Console) -> None:
    command, data = klankbord(), path_from_here(home.data)
    numbers = (
        f"{planted.posts:,} posts, {planted.contributors:,} contributors, "
        f"{planted.flagged_posts:,} flagged, {planted.open_cases:,} open cases"
    )
    lines = [
        "",
        f"Measured equals planted: {numbers}.",
        f"The same as one page, to mail to the boss: [bold]{path_from_here(page)}[/bold]",
        "",
        "Go on:",
        *_aligned(
            {
                f"{command} up --data {data}": "keep it running",
                f"{command} report --data {data}": "these numbers again",
                f"{command} tail 'klankbord.feedback.>' --data {data}": "what members said",
                f"{command} up": "your own community",
            }
        ),
    ]
    for line in lines:
        out.print(line, soft_wrap=True)


def _aligned(meanings: Mapping[str, str]) -> list[str]:
    width = max(map(len, meanings))
    return [f"  {command:{width}}   {meaning}" for command, meaning in meanings.items()]
