"""What every service understands on its command line: run, migrate, apply."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import uvloop
from pydantic import ValidationError

from klankbord_runtime.accepted import Refused
from klankbord_runtime.migrate import SchemaBehindError, migrate
from klankbord_runtime.service import Service
from klankbord_runtime.settings import ServiceSettings
from klankbord_runtime.telemetry import log_to_stderr

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def command(
    name: str,
    settings_class: type[SettingsT],
    create: Callable[[SettingsT], Service],
    arguments: list[str] | None = None,
) -> None:
    """Run the service's command line; ends the process with its exit code.

    Exit codes: 0 done, 1 the database or its schema is not ready, 2 wrong usage or settings,
    3 a file was refused.
    """
    parser = argparse.ArgumentParser(prog=f"klankbord-{name}")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("run", help="run until SIGTERM")
    verbs.add_parser("migrate", help="apply the migrations that are missing")
    apply = verbs.add_parser("apply", help="put a configuration file in force for every replica")
    apply.add_argument("name", help="which file, such as policy")
    apply.add_argument("path", type=Path, help="the file to apply")
    given = parser.parse_args(arguments)
    try:
        settings = settings_class()
    except ValidationError as error:
        sys.exit(_usage(f"klankbord-{name}: settings: {error}"))
    log_to_stderr(name, settings.telemetry.log_level)
    match given.verb:
        case "run":
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run(name, create, settings))
        case "migrate":
            url = settings.postgres.connection_url()
            for migration in asyncio.run(migrate(url, f"klankbord_{name}", name)):
                print(f"applied {migration}")  # noqa: T201
        case "apply":
            asyncio.run(_apply(create(settings), given.name, given.path))


async def _run(name: str, create: Callable[[SettingsT], Service], settings: SettingsT) -> None:
    try:
        service = create(settings)
    except (ValueError, OSError) as error:
        sys.exit(_usage(f"klankbord-{name}: {error}"))
    try:
        await service.run()
    except SchemaBehindError as error:
        sys.exit(str(error))


async def _apply(service: Service, name: str, path: Path) -> None:
    body = await asyncio.to_thread(path.read_bytes)
    await service.open()
    try:
        async with service.database.transaction() as connection:
            digest = await service.file(name).apply(connection, body)
    except Refused as refused:
        sys.stderr.write(f"{path}: refused\n{refused}\n")
        sys.exit(3)
    finally:
        await service.close()
    print(f"{name}: {digest} is in force")  # noqa: T201


def _usage(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 2
