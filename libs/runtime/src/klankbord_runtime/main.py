"""What every service understands on its command line: run, migrate, apply, republish."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NoReturn, TypeVar

import asyncpg
import uvloop
from nats.errors import Error as NatsError

from klankbord_runtime import migrate
from klankbord_runtime.accepted import Refused
from klankbord_runtime.audit import NoAuditError
from klankbord_runtime.migrate import MigrationChangedError, SchemaBehindError
from klankbord_runtime.republish import CutShortError
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

    Exit codes: 0 done, 1 the database, its schema or a file is not as it must be, 2 wrong usage or
    settings, 3 a configuration file was refused.
    """
    parser = argparse.ArgumentParser(prog=f"klankbord-{name}")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("run", help="run until SIGTERM")
    migrating = verbs.add_parser("migrate", help="apply the migrations that are missing")
    migrating.add_argument(
        "--wait", action="store_true", help="apply nothing, but wait until none is missing"
    )
    apply = verbs.add_parser("apply", help="put a configuration file in force for every replica")
    apply.add_argument("name", help="which file, such as policy")
    apply.add_argument("path", type=Path, help="the file to apply")
    again = verbs.add_parser(
        "republish", help="publish again what was sent, for a bus that lost it"
    )
    again.add_argument(
        "--since", type=_moment, required=True, help="such as 2026-11-22T09:30:00+01:00"
    )
    again.add_argument("--dry-run", action="store_true", help="count only")
    given = parser.parse_args(arguments)
    try:
        settings = settings_class()
        log_to_stderr(name, settings.telemetry.log_level)
        service = None if given.verb == "migrate" else create(settings)
    except (ValueError, OSError) as error:
        _end(2, f"klankbord-{name}: {error}")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if service is None:
                runner.run(_migrate(settings, name, wait=given.wait))
            elif given.verb == "apply":
                runner.run(_apply(service, given.name, given.path))
            elif given.verb == "republish":
                runner.run(_republish(service, given.since, dry_run=given.dry_run))
            else:
                runner.run(service.run())
    except Refused as refused:
        _end(3, f"{given.path}: refused\n{refused}")
    except (SchemaBehindError, MigrationChangedError, NoAuditError, CutShortError) as error:
        _end(1, str(error))
    except (OSError, asyncpg.PostgresError, NatsError) as error:
        _end(1, f"klankbord-{name}: {type(error).__name__}: {error}")


async def _migrate(settings: ServiceSettings, name: str, *, wait: bool) -> None:
    where = (settings.postgres.connection_url(), f"klankbord_{name}", name)
    if wait:
        await migrate.wait(*where)
        return
    for applied in await migrate.migrate(*where):
        print(f"applied {applied}")  # noqa: T201


async def _apply(service: Service, name: str, path: Path) -> None:
    if name not in service.files:
        _end(2, f"there is no file {name!r} here, only {', '.join(sorted(service.files))}")
    body = await asyncio.to_thread(path.read_bytes)
    await service.open()
    try:
        async with service.database.transaction() as connection:
            digest = await service.files[name].apply(connection, body)
    finally:
        await service.close()
    print(f"{name}: {digest} is in force")  # noqa: T201


async def _republish(service: Service, since: datetime, *, dry_run: bool) -> None:
    await service.open()
    try:
        told = await service.republish(since, dry_run=dry_run)
    finally:
        await service.close()
    print(json.dumps(told.as_json()))  # noqa: T201


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} names no time zone")  # argparse shows the text it was given
    return moment


def _end(code: int, message: str) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    sys.exit(code)
