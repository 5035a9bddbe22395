"""How every `klankbord` command is declared: an async function that is told where it works.

Each gets the options that say which installation is meant (`--data`, `--config`, and those of
existing servers), as one `Place`; and an error that a user can act on ends it with one clear line.
"""

import asyncio
import functools
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import asyncpg
import typer
from nats.errors import Error as NatsError

from klankbord_runtime.accepted import Refused
from klankbord_runtime.permissions import NoOneStreamError
from klankbord_runtime.provision import ProvisionError
from klankbord_standalone.child import ServerFailedError
from klankbord_standalone.credentials import CredentialsError
from klankbord_standalone.dlq import NoSuchLetterError
from klankbord_standalone.home import Home
from klankbord_standalone.standalone import Elsewhere

EXPLAINED = (
    ServerFailedError,
    ProvisionError,
    CredentialsError,
    NoOneStreamError,
    NoSuchLetterError,
    Refused,
)
"""Errors whose text says what is wrong and what to do."""


@dataclass(frozen=True)
class Place:
    """Which installation a command is about."""

    home: Home
    elsewhere: Elsewhere | None


class UsageError(ValueError):
    """The command was called in a way that makes no sense; its text says how to."""


Run: TypeAlias = Callable[..., Awaitable[None]]

_OPTIONS = {
    "data": Annotated[
        Path,
        typer.Option(envvar="KLANKBORD_DATA", help="The folder that Klankbord keeps its data in."),
    ],
    "config": Annotated[
        Path | None,
        typer.Option(
            envvar="KLANKBORD_CONFIG",
            help="The folder with klankbord.yaml, policy.yaml and routing.yaml. [default: "
            "./klankbord, or what the data folder was made with]",
        ),
    ],
    "nats_url": Annotated[
        str | None,
        typer.Option(help="Use this NATS instead of the embedded one.", rich_help_panel="Servers"),
    ],
    "nats_creds_dir": Annotated[
        Path | None,
        typer.Option(help="The folder of its nkey seeds.", rich_help_panel="Servers"),
    ],
    "postgres_url": Annotated[
        str | None,
        typer.Option(
            help="Use this PostgreSQL: a URI of a role that may make roles.",
            rich_help_panel="Servers",
        ),
    ],
}
_DEFAULTS: dict[str, Any] = {"data": Path("klankbord-data")}


def place_of(
    data: Path,
    config: Path | None,
    nats_url: str | None,
    nats_creds_dir: Path | None,
    postgres_url: str | None,
) -> Place:
    """The installation that these options name.

    Raises:
        UsageError: only some of the three options of existing servers are there.
    """
    given = (nats_url, nats_creds_dir, postgres_url)
    if any(given) and not all(given):
        raise UsageError(
            "--nats-url, --nats-creds-dir and --postgres-url belong together: give all or none"
        )
    elsewhere = None
    if nats_url and nats_creds_dir and postgres_url:
        elsewhere = Elsewhere(nats_url, nats_creds_dir, postgres_url)
    return Place(Home.at(data, config), elsewhere)


def command(app: typer.Typer, name: str) -> Callable[[Run], Run]:
    """Decorate an async function `run(place, …)` as a command of the app."""

    def declare(run: Run) -> Run:
        own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]
        options = [
            inspect.Parameter(
                option,
                inspect.Parameter.KEYWORD_ONLY,
                default=_DEFAULTS.get(option),
                annotation=annotation,
            )
            for option, annotation in _OPTIONS.items()
        ]

        @functools.wraps(run)
        def call(**arguments: Any) -> None:
            where = {option: arguments.pop(option) for option in _OPTIONS}
            _explain(run, where, arguments)

        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + options
        )
        del call.__wrapped__
        app.command(name)(call)
        return run

    return declare


def _explain(run: Run, where: dict[str, Any], arguments: dict[str, Any]) -> None:
    try:
        asyncio.run(run(place_of(**where), **arguments))  # type: ignore[arg-type]
    except UsageError as error:
        _end(2, str(error))
    except EXPLAINED as error:
        _end(1, str(error))
    except BrokenPipeError:
        # whoever read our output has had enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (NatsError, asyncpg.PostgresError, OSError) as error:
        _end(1, f"a server does not do its part: {type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _end(code: int, message: str) -> None:
    sys.stderr.write(f"klankbord: {message}\n")
    sys.exit(code)
