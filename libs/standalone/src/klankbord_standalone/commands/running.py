"""`klankbord up`, `demo`, `status` and `exporter`: the installation as a whole."""

from datetime import date, datetime
from typing import Annotated

import typer

from klankbord_runtime.telemetry import log_to_stderr
from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, out, print_json, say
from klankbord_standalone.demo import demo as play_demo
from klankbord_standalone.exporter import export, monitoring_urls
from klankbord_standalone.sample import SEED
from klankbord_standalone.standalone import reach
from klankbord_standalone.status import read_status
from klankbord_standalone.status import show as show_status
from klankbord_standalone.up import up as start_up

running = typer.Typer()


@command(running, "up")
async def up(
    place: Place,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_535,
            help="Where the door listens. [default: where it did before, at first a free one]",
        ),
    ] = None,
) -> None:
    """Start everything on this machine, and keep it running until Ctrl-C.

    A second start on the same data folder goes on where the first one stopped.
    """
    await start_up(place, port, out(), say)


@command(running, "demo")
async def demo(
    place: Place,
    seed: Annotated[int, typer.Option(help="Another seed is another eight weeks.")] = SEED,
    today: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day it plays on. [default: today]"),
    ] = None,
) -> None:
    """Play a sample community through everything, and show what a community manager would see.

    Eight weeks of a small software maker's community, written for this: a launch, a meet-up, a
    conflict, a spammer, leads, bugs, praise, in five languages. It lives in a folder of its own
    inside the data folder and is played anew each time.
    """
    day = today.date() if today else date.today()  # noqa: DTZ011 - the user's own day
    await play_demo(place.home.data / "demo", place.elsewhere, seed, day, out(), say)


@command(running, "status")
async def status(place: Place, as_json: Json = False) -> None:
    """Is everything running, is anything waiting, did anything go wrong. Exit code 1: not well."""
    running = place.home.running()
    async with reach(place.home, place.elsewhere) as installation:
        found = await read_status(installation, running)
    if as_json:
        print_json(found.as_json())
    else:
        show_status(found, out())
    if not found.healthy:
        raise typer.Exit(1)


@command(running, "exporter")
async def exporter(
    nats_monitoring_url: Annotated[
        str,
        typer.Option(
            envvar="KLANKBORD_NATS_MONITORING_URL",
            help="Where nats-server is monitored, http://nats:8222; every server of a cluster, "
            "separated by commas.",
        ),
    ],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The port; 0 takes a free one.")
    ] = 8080,
) -> None:
    """Show Prometheus what NATS keeps, and how far each consumer has read; until Ctrl-C.

    It reads NATS's monitoring port at each scrape of /metrics, and needs no credential.
    """
    log_to_stderr("exporter", "INFO")
    urls = monitoring_urls(nats_monitoring_url)
    await export(urls, host, port, lambda bound: say(f"the exporter listens on {host}:{bound}"))
