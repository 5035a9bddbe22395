"""`klankbord policy`, `routing`, `config` and `query`: check a file, or put it in force."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import typer

from klankbord_ingest.query.file import parse_queries
from klankbord_ingest.sources import parse_sources
from klankbord_metrics.communities import parse_communities
from klankbord_moderation.policy import parse_policy
from klankbord_routing.rules import parse_rules
from klankbord_runtime.accepted import Refused
from klankbord_standalone.explained import FileRefusedError
from klankbord_standalone.home import Home
from klankbord_standalone.servers import Installation
from klankbord_standalone.standalone import environment

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """A file that decides how services work."""

    name: str
    parsers: Mapping[str, Callable[[bytes], object]]
    """How each service that works by it reads it; each keeps a copy of its own."""


POLICY = Kind("policy", {"moderation": parse_policy})
ROUTING = Kind("routing", {"routing": parse_rules})
QUERIES = Kind("queries", {"ingest": parse_queries})
CONFIG = Kind("klankbord", {"ingest": parse_sources, "metrics": parse_communities})


def check(kind: Kind, file: Path) -> None:
    """See whether each service would accept the file.

    Raises:
        FileRefusedError: one would not.
    """
    for parse in kind.parsers.values():
        checked(file, parse)


def checked(file: Path, parse: Callable[[bytes], T]) -> T:
    """What the file says.

    Raises:
        FileRefusedError: it is not well formed; names the lines and the fixes.
        OSError: it cannot be read.
    """
    try:
        return parse(file.read_bytes())
    except Refused as refused:
        raise FileRefusedError(f"{file}: refused\n{refused}") from None


async def apply(home: Home, installation: Installation, kind: Kind, file: Path) -> None:
    """Let each service itself accept the file, with its own role; ends with its exit code.

    Raises:
        FileRefusedError: one would not accept it; then none was asked to.
    """
    check(kind, file)
    for service in kind.parsers:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"klankbord_{service}",
            "apply",
            kind.name,
            str(file),
            env=environment(home, installation, service),
        )
        code = await process.wait()
        if code:
            raise typer.Exit(code)
