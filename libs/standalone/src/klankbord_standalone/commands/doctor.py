"""`klankbord doctor`: what a support engineer would ask for."""

from typing import Annotated

import typer

from klankbord_standalone.command import Place, command
from klankbord_standalone.commands.console import Json, out, print_json
from klankbord_standalone.doctor import show
from klankbord_standalone.doctor.examine import Asked, examine
from klankbord_standalone.explained import UsageError
from klankbord_standalone.exporter import monitoring_urls
from klankbord_standalone.services import SERVICES

doctor = typer.Typer()


def _addresses(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, _, address = text.partition("=")
        if name not in SERVICES or not address.startswith(("http://", "https://")):
            raise UsageError(
                f"--service {text} is none: give NAME=URL, such as ingest=http://ingest:8080, "
                f"with a name of {', '.join(SERVICES)}"
            )
        found[name] = address.rstrip("/")
    return found


@command(doctor, "doctor")
async def run_doctor(
    place: Place,
    service: Annotated[
        list[str] | None,
        typer.Option(help="Where a service is that runs elsewhere: NAME=URL; again for more."),
    ] = None,
    nats_monitoring_url: Annotated[
        str | None,
        typer.Option(
            envvar="KLANKBORD_NATS_MONITORING_URL",
            help="Where nats-server is monitored, http://nats:8222; every server of a cluster, "
            "separated by commas.",
        ),
    ] = None,
    replicas: Annotated[int, typer.Option(help="Servers that keep each stream: 1, 3 or 5.")] = 1,
    as_json: Json = False,
) -> None:
    """Check everything that a support engineer would ask for, and say what to do.

    It changes nothing, starts nothing, and shows no secret and nothing that a member wrote.
    Exit code 1: there is a problem.
    """
    monitoring = monitoring_urls(nats_monitoring_url) if nats_monitoring_url else []
    asked = Asked(_addresses(service or []), monitoring, replicas)
    findings = await examine(place, asked)
    if as_json:
        print_json(show.as_json(findings))
    else:
        show.show(findings, out())
    if not show.is_well(findings):
        raise typer.Exit(1)
