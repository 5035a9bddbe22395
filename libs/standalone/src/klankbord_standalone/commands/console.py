"""What all commands print with, and options that several of them have."""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from klankbord_standalone.servers import Installation

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]
Community = Annotated[
    str | None, typer.Option(help="Which community. [default: the only one there is]")
]


@cache
def out() -> Console:
    """Where results are printed. Made when first used: it reads what the terminal can do."""
    return Console(highlight=False)


@cache
def err() -> Console:
    """Where the user is told what is being done."""
    return Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """Tell the user what is being done; not part of the result."""
    err().print(f"[dim]· {message} …[/dim]")


async def tell_head(installation: Installation) -> None:
    """Tell the hash that vouches for the audit log up to here; not part of the result."""
    err().print(f"[dim]audit {await installation.audit_head()}[/dim]", soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()
