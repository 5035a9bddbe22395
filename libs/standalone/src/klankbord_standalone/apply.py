"""`klankbord policy`, `routing` and `config`: check a file, or put it in force."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from klankbord_ingest.sources import parse_sources
from klankbord_moderation.policy import parse_policy
from klankbord_routing.rules import parse_rules
from klankbord_runtime.accepted import Refused
from klankbord_standalone.home import Home
from klankbord_standalone.servers import Installation
from klankbord_standalone.standalone import environment

REFUSED = 3


@dataclass(frozen=True)
class Kind:
    """A file that decides how a service works."""

    name: str
    services: tuple[str, ...]
    """Who works by it, each with a copy of its own."""
    parse: Callable[[bytes], object]


POLICY = Kind("policy", ("moderation",), parse_policy)
ROUTING = Kind("routing", ("routing",), parse_rules)
CONFIG = Kind("klankbord", ("ingest", "metrics"), parse_sources)


def check(kind: Kind, file: Path, out: Console) -> None:
    """Say whether the file would be accepted; ends with exit code 3 when it would not."""
    try:
        kind.parse(file.read_bytes())
    except Refused as refused:
        sys.stderr.write(f"{file}: refused\n{refused}\n")
        raise typer.Exit(REFUSED) from None
    out.print(f"{file} is a good {kind.name} file")


async def apply(home: Home, installation: Installation, kind: Kind, file: Path) -> None:
    """Let each service itself accept the file, with its own role; ends with its exit code."""
    for service in kind.services:
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
