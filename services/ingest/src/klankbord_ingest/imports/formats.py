"""Which formats can be imported, and which one a file has."""

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from klankbord_ingest.imports.csv import HeaderError, read_csv, read_header
from klankbord_ingest.imports.feed import read_feed
from klankbord_ingest.imports.mbox import files_of, is_maildir, read_mailbox
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

Reader: TypeAlias = Callable[[Path, "Circumstances"], Rows]


@dataclass(frozen=True)
class Circumstances:
    """What a file does not say of itself."""

    zone: tzinfo
    """The time zone of times that name none: the community's."""
    heard: datetime
    """The moment that an entry of a feed without a date is taken to be written."""
    own: Path | None = None
    """The folder that Klankbord keeps its data in: nothing there is history."""


READERS: dict[str, Reader] = {
    "ndjson": lambda path, _: read_ndjson(path),
    "csv": lambda path, circumstances: read_csv(path, circumstances.zone),
    "mbox": lambda path, circumstances: read_mailbox(path, circumstances.own),
    "slack": lambda path, _: read_slack(path),
    "feed": lambda path, circumstances: read_feed(path, circumstances.heard),
}

FORMATS = {
    "ndjson": "one JSON object per line, the data of a post.received",
    "csv": "a header with nativeId, published, content, …; comma, semicolon or tab",
    "mbox": "an mbox file, one mail, or a folder of mails such as a Maildir",
    "slack": "a Slack workspace export: the zip file or its folder",
    "feed": "a saved RSS, Atom, RDF or JSON feed",
}
"""What `--format` takes, and what each is."""

_MAIL_HEADER = re.compile(rb"(?:From |>?From: |[A-Za-z][A-Za-z0-9-]{1,40}:[ \t]?\S)")
_MAIL_ONLY = re.compile(rb"^(?:From |(?:From|Received|Return-Path|Message-ID):)", re.M | re.I)


class UnknownFormatError(ValueError):
    """Nobody can tell which format a file has. The message lists the formats."""

    def __init__(self, path: Path, found: str) -> None:
        """Say what the file looks like instead."""
        known = "\n".join(f"  {name:7} {what}" for name, what in FORMATS.items())
        super().__init__(
            f"{path}: {found}. Say what it is with --format; these can be imported:\n{known}"
        )


def detect(path: Path, own: Path | None = None) -> str:
    """The format of a file or folder, as `READERS` names it.

    Args:
        path: the file or folder.
        own: a folder of ours that is not looked into.

    Raises:
        UnknownFormatError: it is none of them; the message lists them.
        OSError: it cannot be read.
    """
    if path.is_dir():
        marks = ("users.json", "channels.json")
        if any((path / mark).is_file() for mark in marks):
            return "slack"
        if _is_mailbox(path, own):
            return "mbox"
        raise UnknownFormatError(
            path, "this folder is no Slack export, and too few of its files are mails"
        )
    if zipfile.is_zipfile(path):
        return "slack"
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
    raise UnknownFormatError(path, f"it begins with {start[:60]!r}, which none of them does")


def open_rows(path: Path, form: str, circumstances: Circumstances) -> Rows:
    """The rows of a file, read as they are asked for.

    Args:
        path: the file or folder.
        form: a name of `READERS`, or `auto`.
        circumstances: what the file does not say of itself.

    Raises:
        UnknownFormatError: `form` is `auto` and nobody can tell, or is none of them.
    """
    name = detect(path, circumstances.own) if form == "auto" else form
    if name not in READERS:
        raise UnknownFormatError(path, f"there is no format {name!r}")
    return READERS[name](path, circumstances)


def _start(path: Path) -> bytes:
    """How a file begins, from the first thing that is to be seen."""
    with path.open("rb") as file:
        return file.read(HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()


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


def _detect_json(path: Path, start: bytes) -> str:
    """A JSON Feed is one object with `items`; a line of NDJSON is one with an id."""
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
