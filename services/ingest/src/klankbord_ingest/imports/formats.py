"""Which formats can be imported, and which one a file has."""

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from klankbord_ingest.imports.archive import files, is_tar, names_in
from klankbord_ingest.imports.csv import HeaderError, read_csv, read_header
from klankbord_ingest.imports.discord import read_discord
from klankbord_ingest.imports.feed import read_feed
from klankbord_ingest.imports.mapping import ImportMapping
from klankbord_ingest.imports.mastodon import read_mastodon
from klankbord_ingest.imports.mbox import files_of, is_maildir, read_mailbox
from klankbord_ingest.imports.meter import Meter
from klankbord_ingest.imports.ndjson import read_ndjson
from klankbord_ingest.imports.row import Rows
from klankbord_ingest.imports.slack import read_slack

HEAD = 4096
"""How many bytes of a file are looked at to know its format."""
SAMPLE = 100
"""How many files of a folder are looked at to know whether they are mails."""
ENOUGH = 1 / 3
"""The part of them that must be mails."""
MAILS = frozenset({".eml", ".mbox", ".mbx"})
"""What the names of files with mails end on."""

Reader: TypeAlias = Callable[[Path, "Circumstances", Meter], Rows]


@dataclass(frozen=True)
class Circumstances:
    """What a file does not say of itself."""

    zone: tzinfo
    """The time zone of times that name none: the community's."""
    heard: datetime
    """The moment that an entry of a feed without a date is taken to be written."""
    own: Path | None = None
    """The folder that Klankbord keeps its data in: nothing there is history."""
    mapping: ImportMapping | None = None
    """Which column is which field, in CSV and NDJSON."""


READERS: dict[str, Reader] = {
    "ndjson": lambda path, given, meter: read_ndjson(path, given.zone, given.mapping, meter),
    "csv": lambda path, given, meter: read_csv(path, given.zone, given.mapping, meter),
    "mbox": lambda path, given, meter: read_mailbox(path, given.own, meter),
    "slack": lambda path, _, __: read_slack(path),
    "discord": lambda path, _, meter: read_discord(path, meter),
    "mastodon": lambda path, _, meter: read_mastodon(path, meter),
    "feed": lambda path, given, _: read_feed(path, given.heard),
}
MAPPED = frozenset({"csv", "ndjson"})
"""The formats that a mapping can be given for."""

FORMATS = {
    "ndjson": "one JSON object per line, the data of a post.received",
    "csv": "a header with nativeId, published, content, …, or any header with --mapping",
    "mbox": "an mbox file, one mail, or a folder of mails such as a Maildir",
    "slack": "a Slack workspace export: the zip file or its folder",
    "discord": "an export by DiscordChatExporter: a JSON file, or a folder or zip file of them",
    "mastodon": "a Mastodon archive, or the outbox.json in it",
    "feed": "a saved RSS, Atom, RDF or JSON feed",
}
"""What `--format` takes, and what each is."""

_MAIL_HEADER = re.compile(rb"(?:From |>?From: |[A-Za-z][A-Za-z0-9-]{1,40}:[ \t]?\S)")
_DISCORD = re.compile(rb'^\s*(?:\xef\xbb\xbf)?\{\s*"guild"\s*:\s*\{')
_MAIL_ONLY = re.compile(rb"^(?:From |(?:From|Received|Return-Path|Message-ID):)", re.M | re.I)


class UnknownFormatError(ValueError):
    """Nobody can tell which format a file has. The message lists the formats."""

    def __init__(self, path: Path, found: str) -> None:
        """Say what the file looks like instead."""
        known = "\n".join(f"  {name:8} {what}" for name, what in FORMATS.items())
        super().__init__(
            f"{path}: {found}. Say what it is with --format; these can be imported:\n{known}"
        )


def detect(path: Path, own: Path | None = None, *, is_mapped: bool = False) -> str:
    """The format of a file or folder, as `READERS` names it.

    Args:
        path: the file or folder.
        own: a folder of ours that is not looked into.
        is_mapped: whether a mapping says what its columns mean: then it is CSV or NDJSON.

    Raises:
        UnknownFormatError: it is none of them; the message lists them.
        OSError: it cannot be read.
    """
    if is_mapped:
        return "ndjson" if _start(path).startswith(b"{") else "csv"
    if path.is_dir():
        return _detect_folder(path, own)
    if zipfile.is_zipfile(path):
        return _detect_zip(path)
    if is_tar(path):
        return "mastodon"
    start = _start(path)
    if not start:
        raise UnknownFormatError(path, "the file is empty")
    if start.startswith(b"{"):
        return _detect_json(path, start)
    if start.startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        return "feed"
    if _is_csv(start):
        return "csv"
    if _MAIL_HEADER.match(start):
        return "mbox"
    raise UnknownFormatError(path, f"it begins with {_shown(start)!r}, which none of them does")


def open_rows(
    path: Path, form: str, circumstances: Circumstances, meter: Meter | None = None
) -> Rows:
    """The rows of a file, read as they are asked for.

    Args:
        path: the file or folder.
        form: a name of `READERS`, or `auto`.
        circumstances: what the file does not say of itself.
        meter: told how much was read.

    Raises:
        UnknownFormatError: `form` is `auto` and nobody can tell, or is none of them.
    """
    is_mapped = circumstances.mapping is not None
    name = detect(path, circumstances.own, is_mapped=is_mapped) if form == "auto" else form
    if name not in READERS:
        raise UnknownFormatError(path, f"there is no format {name!r}")
    if is_mapped and name not in MAPPED:
        raise UnknownFormatError(path, f"{name} needs no mapping: csv and ndjson can have one")
    return READERS[name](path, circumstances, meter or Meter())


def _start(path: Path) -> bytes:
    """How a file begins, from the first thing that is to be seen."""
    with path.open("rb") as file:
        return file.read(HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()


def _shown(start: bytes) -> str:
    """How it begins, for a person."""
    return start[:60].decode("utf-8", "ignore").partition("\n")[0]


def _is_mailbox(path: Path, own: Path | None) -> bool:
    """A Maildir, or a folder with enough files that are mails by their names or beginnings.

    Stricter than with a single file: YAML begins like a mail too, and what is taken for a mail and
    is none is written out with the reason, whatever it is.
    """
    if is_maildir(path):
        return True
    sample = list(islice(files_of(path, own), SAMPLE))
    mails = sum(file.suffix in MAILS or _is_surely_mail(_start(file)) for file in sample)
    return mails > 0 and mails >= ENOUGH * len(sample)


def _is_surely_mail(start: bytes) -> bool:
    return _MAIL_HEADER.match(start) is not None and _MAIL_ONLY.search(start) is not None


def _detect_folder(path: Path, own: Path | None) -> str:
    marks = {"users.json": "slack", "channels.json": "slack", "outbox.json": "mastodon"}
    for mark, form in marks.items():
        if (path / mark).is_file():
            return form
    if any(_DISCORD.search(_start(file)) for file in islice(path.glob("*.json"), SAMPLE)):
        return "discord"
    if _is_mailbox(path, own):
        return "mbox"
    raise UnknownFormatError(
        path, "this folder is no export that is known, and too few of its files are mails"
    )


def _detect_zip(path: Path) -> str:
    """By the files in it; Slack's where it says nothing else, as it always was."""
    names = {PurePosixPath(name).name for name in names_in(path)}
    if "outbox.json" in names:
        return "mastodon"
    if names.isdisjoint({"users.json", "channels.json"}):
        for _, stream in files(path, lambda name: name.endswith(".json"), Meter()):
            return "discord" if _DISCORD.search(stream.read(HEAD)) else "slack"
    return "slack"


def _detect_json(path: Path, start: bytes) -> str:
    """A JSON Feed is one object with `items`; a line of NDJSON is one with an id."""
    if _DISCORD.search(start):
        return "discord"
    if b'"OrderedCollection"' in start or b'"orderedItems"' in start:
        return "mastodon"
    if b"jsonfeed.org/version" in start or re.search(rb'"items"\s*:\s*\[', start):
        return "feed"
    if re.match(rb'\{.*"(?:nativeId|id|native_id|kind)"\s*:', start):
        return "ndjson"
    raise UnknownFormatError(path, "it is JSON, but no JSON Feed and not one object per line")


def _is_csv(start: bytes) -> bool:
    try:
        read_header(start.splitlines()[0].decode("utf-8"))
    except (HeaderError, UnicodeDecodeError):
        return False
    return True
