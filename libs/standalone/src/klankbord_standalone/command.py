"""How every `klankbord` command is declared: an async function that is told where it works.

One that asks for a `place` gets the options that say which installation is meant (`--data`,
`--config`, and those of existing servers) as one `Place`; and an error that a user can act on ends
it with one clear line.
"""

import asyncio
import functools
import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import asyncpg
import typer
from nats.errors import Error as NatsError

from klankbord_runtime import noise
from klankbord_runtime.accepted import Refused
from klankbord_runtime.permissions import NoOneStreamError
from klankbord_runtime.provision import ProvisionError
from klankbord_standalone.address import without_users
from klankbord_standalone.explained import ExplainedError, FileRefusedError, UsageError
from klankbord_standalone.home import Home
from klankbord_standalone.standalone import Elsewhere


@dataclass(frozen=True)
class Place:
    """Which installation a command is about."""

    home: Home
    elsewhere: Elsewhere | None


Run: TypeAlias = Callable[..., Coroutine[Any, Any, None]]

_OPTIONS = {
    "data": Annotated[
        Path,
        typer.Option(envvar="KLANKBORD_DATA", help="The folder that Klankbord keeps its data in."),
    ],
    "config": Annotated[
        Path | None,
        typer.Option(
            envvar="KLANKBORD_CONFIG",
            help="The folder with klankbord.yaml, policy.yaml, routing.yaml and queries.yaml. "
            "[default: ./klankbord, or what the data folder was made with]",
        ),
    ],
    "nats_url": Annotated[
        str | None,
        typer.Option(
            envvar="KLANKBORD_NATS_URL",
            help="Use this NATS instead of the embedded one.",
            rich_help_panel="Servers",
        ),
    ],
    "nats_creds_dir": Annotated[
        Path | None,
        typer.Option(
            envvar="KLANKBORD_NATS_CREDS_DIR",
            help="The folder of its nkey seeds.",
            rich_help_panel="Servers",
        ),
    ],
    "postgres_url": Annotated[
        str | None,
        typer.Option(
            envvar="KLANKBORD_POSTGRES_URL",
            help="Use this PostgreSQL: a URI of a role that may make roles.",
            rich_help_panel="Servers",
        ),
    ],
    "postgres_url_file": Annotated[
        Path | None,
        typer.Option(
            envvar="KLANKBORD_POSTGRES_URL_FILE",
            help="A file that holds that URI instead, as Kubernetes mounts secrets.",
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
    postgres_url_file: Path | None = None,
) -> Place:
    """The installation that these options name.

    Raises:
        UsageError: only some of the three options of existing servers are there, or they name
            others than those that what runs in the data folder uses.
        OSError: the file cannot be read.
    """
    if postgres_url is None and postgres_url_file is not None:
        postgres_url = postgres_url_file.read_text("utf-8").strip()
    given = (nats_url, nats_creds_dir, postgres_url)
    if any(given) and not all(given):
        raise UsageError(
            "--nats-url, --nats-creds-dir and --postgres-url belong together: give all or none"
        )
    elsewhere = None
    if nats_url and nats_creds_dir and postgres_url:
        elsewhere = Elsewhere(nats_url, nats_creds_dir, postgres_url)
    home = Home.at(data, config)
    running = home.running()
    if running is not None and elsewhere is not None and running.nats_url != nats_url:
        raise UsageError(
            f"what runs in {home.data} uses {running.nats_url}, not {nats_url}: leave out "
            "--nats-url and its like, or name another folder with --data"
        )
    return Place(home, elsewhere)


def command(app: typer.Typer, name: str) -> Callable[[Run], Run]:
    """Decorate an async function `run(place, …)`, or one without a place, as a command."""

    def declare(run: Run) -> Run:
        own = dict(inspect.signature(run, eval_str=True).parameters)
        has_place = own.pop("place", None) is not None
        options = [
            inspect.Parameter(
                option,
                inspect.Parameter.KEYWORD_ONLY,
                default=_DEFAULTS.get(option),
                annotation=annotation,
            )
            for option, annotation in _OPTIONS.items()
            if has_place
        ]

        async def call(**arguments: Any) -> None:
            if has_place:
                where = {option: arguments.pop(option) for option in _OPTIONS}
                arguments["place"] = place_of(**where)
            await run(**arguments)

        @functools.wraps(run)
        def command(**arguments: Any) -> None:
            _run(call(**arguments))

        command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.values()] + options
        )
        del command.__wrapped__
        app.command(name)(command)
        return run

    return declare


def _run(called: Coroutine[Any, Any, None]) -> None:
    noise.leave_out()
    try:
        asyncio.run(called)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except BrokenPipeError:
        # whoever read our output has had enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        sys.stderr.write(f"klankbord: {without_users(str(explained))}\n")
        sys.exit(explained.exit_code)


def explain(error: BaseException) -> ExplainedError | None:
    """The error as one that a user can act on; None where it is none, but a bug of ours."""
    match error:
        case ExplainedError():
            return error
        case Refused():
            return FileRefusedError(str(error))
        case ProvisionError() | NoOneStreamError():
            return ExplainedError(str(error))
        case BaseExceptionGroup(exceptions=(first, *_)):  # several things at once: the first tells
            return explain(first)
        case OSError(filename=str(file), strerror=why):
            return ExplainedError(f"{file}: {why}")
        case NatsError() | asyncpg.PostgresError() | asyncpg.InterfaceError() | OSError():
            return ExplainedError(f"a server does not do its part: {type(error).__name__}: {error}")
    return None
