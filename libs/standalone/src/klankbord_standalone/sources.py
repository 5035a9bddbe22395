"""`klankbord source`: what the sources of a running installation are doing, and what to do with
them, through ingest's door for the operator.
"""

import base64
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from klankbord_ingest.keys import file_name
from klankbord_ingest.kinds import installed
from klankbord_ingest.signature import SECRET_PREFIX
from klankbord_ingest.sources import parse_sources
from klankbord_runtime.accepted import Refused
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.doctor.words import length
from klankbord_standalone.explained import FileRefusedError, NothingHereError, UsageError
from klankbord_standalone.home import Home, Running
from klankbord_standalone.private_file import write_private
from klankbord_standalone.source_entry import UnwritableError, entry_line, with_entry

PATIENCE = 120.0
"""Seconds that ingest may take: it may ask a platform that is slow."""


async def ask(home: Home, path: str, *, acts: bool = False, **asked: str) -> dict[str, Any]:
    """What the running ingest answers the operator.

    Args:
        home: the installation.
        path: below `/v1/operator/sources`.
        acts: whether something is to be done, not only told.
        asked: what to say with it.

    Raises:
        NothingHereError: nothing runs here.
        UsageError: ingest says that it makes no sense, and why.
    """
    running = home.running()
    if running is None:
        raise NothingHereError(f"nothing runs in {home.data}; start it with `klankbord up`")
    async with _client(running) as client:
        method = "POST" if acts else "GET"
        url = f"/v1/operator/sources{path}"
        try:
            response = await client.request(method, url, params=asked)
        except httpx.HTTPError as error:
            why = f"ingest does not answer: {error or type(error).__name__}"
            raise NothingHereError(why) from error
    document: dict[str, Any] = response.json()
    if response.status_code != HTTPStatus.OK:
        raise UsageError(str(document.get("detail", response.status_code)))
    return document


def _client(running: Running) -> httpx.AsyncClient:
    token = Credentials(Path(running.credentials)).operator_token()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(
        base_url=running.address("ingest"), headers=headers, timeout=PATIENCE, trust_env=False
    )


def add(
    home: Home, kind: str, name: str, community: str, options: Mapping[str, str]
) -> tuple[Path, bytes]:
    """Add a source to klankbord.yaml; gives the file, and what stood in it before.

    Raises:
        UsageError: there is no such kind, an option is a secret, or the file cannot be added to.
        FileRefusedError: it would not be a good file any more; says what is wrong. Nothing changed.
    """
    if kind not in installed():
        raise UsageError(f"there is no kind {kind!r}; there are {', '.join(installed())}")
    fields = getattr(installed()[kind], "model_fields", {})
    for role in installed()[kind].secrets.keys() & options.keys() - fields.keys():
        raise UsageError(
            f"{role} is a secret, and is not written into klankbord.yaml: "
            f"give --secret {role}=FILE, or --secret {role}=- to type it in"
        )
    file = home.config / "klankbord.yaml"
    before = file.read_bytes()
    try:
        after = with_entry(before.decode(), entry_line(kind, name, community, options)).encode()
        parse_sources(after)
    except UnwritableError as error:
        raise UsageError(f"{file}: {error}") from error
    except Refused as refused:
        raise FileRefusedError(f"{file} would be refused, and was not changed\n{refused}") from None
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(after)
    new.replace(file)
    return file, before


def keep_secret(home: Home, source: str, role: str, secret: str) -> Path:
    """Write a secret of a source where ingest reads it."""
    file = home.secrets / file_name(source, role)
    write_private(file, f"{secret.strip()}\n")
    return file


def new_secret(kind: str) -> str:
    """A secret for what a platform signs with, in the form that the kind asks for."""
    if kind == "webhook":
        return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_hex(32)


def missing(home: Home, source: str) -> list[str]:
    """What a listed source has no secret for yet, in a sentence each: what it needs comes first."""
    entry = parse_sources((home.config / "klankbord.yaml").read_bytes()).by_name[source].entry
    assert entry is not None
    lacking = [
        (role, secret)
        for role, secret in entry.secrets.items()
        if not (home.secrets / file_name(source, role)).exists()
    ]
    lacking.sort(key=lambda one: not entry.needs(one[1]))
    return [
        f"it {'needs a' if entry.needs(secret) else 'may have a'} {role}: {secret.what}"
        for role, secret in lacking
    ]


def show(document: Mapping[str, Any], out: Console) -> None:
    """Print what every source is doing."""
    lines = [("source", "kind", "community", "how", "last heard")]
    for source in document["sources"]:
        ways = [way["way"] for way in source["ways"]]
        how = ", ".join((["sends"] if source["sends"] else []) + ways) or "imported"
        heard = _ago(source["heard"])
        lines.append((source["name"], source["kind"], source["community"], how, heard))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    states = ["", *map(_state, document["sources"])]
    for line, state in zip(lines, states, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.print("  ".join(cells).rstrip(), style=None if state else "bold", soft_wrap=True)
        if state:  # below, over the whole width: why something fails is a sentence with a path
            out.print(Padding(Text.from_markup(state, overflow="fold"), (0, 0, 0, 2)))


def show_findings(name: str, document: Mapping[str, Any], out: Console) -> bool:
    """Print what was found when a source was tried; whether all of it is well."""
    for finding in document["findings"]:
        mark = "[green]✓[/green]" if finding["ok"] else "[red]✗[/red]"
        out.print(f"{mark} {name}: {escape(finding['what'])}", soft_wrap=True)
        if finding["advice"]:
            out.print(f"  → {escape(finding['advice'])}", soft_wrap=True)
    return all(finding["ok"] for finding in document["findings"])


def _state(source: Mapping[str, Any]) -> str:
    if source["paused"]:
        return "paused"
    if source["disabled"]:
        return f"[red]{escape(source['disabled'])}[/red]"
    told = [text for way in source["ways"] if (text := _way_state(way))]
    if silent := source.get("silent"):
        told.append(f"[red]silent[/red]: some {silent['expected']:,} posts should have come")
    return "; ".join(told) or "well"


def _way_state(way: Mapping[str, Any]) -> str:
    name, reason = way["way"], escape(way["reason"] or "")  # a platform's own words, perhaps
    if name == "backfill":
        done = way["nextTry"] is None and way["healthy"]
        return f"backfill {'done' if done else 'under way'}: {way['heard']:,} heard" + (
            f", {reason}" if reason else ""
        )
    left = "" if way["rateLeft"] is None else f"{way['rateLeft']} requests left"
    if not way["healthy"]:
        when = "it is not asked again" if way["nextTry"] is None else f"next {_in(way['nextTry'])}"
        return f"[red]{name} failed {_times(way['failures'])}[/red]: {reason} ({when})"
    return ", ".join(filter(None, [reason, left]))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _ago(moment: str | None) -> str:
    if moment is None:
        return "never"
    return f"{length(datetime.now(UTC) - datetime.fromisoformat(moment))} ago"


def _in(moment: str) -> str:
    left = datetime.fromisoformat(moment) - datetime.now(UTC)
    return f"in {length(left)}" if left.total_seconds() > 0 else "now"
