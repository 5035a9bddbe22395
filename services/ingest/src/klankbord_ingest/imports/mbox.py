"""Mailboxes: mbox files (RFC 4155), Maildir, and folders of mails."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_tz
from pathlib import Path

from klankbord_ingest.imports.mail import read_mail
from klankbord_ingest.imports.meter import Meter
from klankbord_ingest.imports.row import Refusal, Row, Rows, lines

MAX_MAIL_BYTES = 32 * 1024 * 1024
"""The largest mail that is read, with its attachments."""
MAX_MAIL_LINES = 400_000
"""The most lines of one: each is a text of its own to Python's reader, of 50 bytes and more."""

_BEGINS = re.compile(rb"From .*\d:\d\d.* \d{4}\b")
"""`From jo@example.org Sat Jan  3 01:05:34 1996`; and no sentence that begins with From."""


def is_maildir(path: Path) -> bool:
    """Whether a folder is a Maildir, https://cr.yp.to/proto/maildir.html."""
    return all((path / name).is_dir() for name in ("cur", "new", "tmp"))


def files_of(path: Path, own: Path | None) -> Iterator[Path]:
    """The files of a folder that may be mails, in order.

    What is hidden is none (but the folders of a Maildir begin with a dot), nor is what a Maildir
    has in tmp: that is still being delivered.

    Args:
        path: the folder.
        own: a folder of ours to stay out of.
    """
    for folder, subfolders, names in os.walk(path):
        below = [Path(folder, name) for name in sorted(subfolders) if name != "tmp"]
        subfolders[:] = [
            subfolder.name
            for subfolder in below
            if (not subfolder.name.startswith(".") or is_maildir(subfolder))
            and (own is None or subfolder.resolve() != own.resolve())
        ]
        for name in sorted(names):
            file = Path(folder, name)
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                yield file


def read_mailbox(path: Path, own: Path | None = None, meter: Meter | None = None) -> Rows:
    """The mails of an mbox file, of a file with one mail, or of every file in a folder.

    Args:
        path: the file or folder.
        own: a folder of ours to stay out of.
        meter: told how much was read.
    """
    meter = meter or Meter()
    if not path.is_dir():
        yield from _read_file(path, "", meter)
        return
    meter.total = sum(file.stat().st_size for file in files_of(path, own))
    for file in files_of(path, own):
        yield from _read_file(file, f"{file.relative_to(path)}, ", meter)


def _read_file(path: Path, place: str, meter: Meter) -> Rows:
    for number, (body, received) in enumerate(_split(path, meter), start=1):
        position = f"{place}message {number}"
        if body is None or body.count(b"\n") > MAX_MAIL_LINES:
            why = f"the mail has more than {MAX_MAIL_BYTES:,} bytes, or {MAX_MAIL_LINES:,} lines"
            yield Row(position, Refusal("too_large", why))
        else:
            yield Row(position, read_mail(body, received))


def _split(path: Path, meter: Meter) -> Iterator[tuple[bytes | None, datetime | None]]:
    """Each mail of a file, None for one that is too large, and when its mailbox says it came.

    In an mbox, a line `From <address> <date>` after an empty line begins a mail, and a line of a
    mail that begins so is written `>From`. A file that does not begin with `From ` is one mail.
    """
    mail = bytearray()
    is_mbox = is_too_large = False
    received: datetime | None = None
    after_empty = True
    with meter.open(path) as stream:
        for number, line in lines(stream):
            if line is None:
                is_too_large = True
                continue
            if (number == 1 and line.startswith(b"From ")) or (
                is_mbox and after_empty and _BEGINS.match(line)
            ):
                if is_mbox:
                    yield None if is_too_large else bytes(mail), received
                is_mbox, is_too_large = True, False
                received = _received(line)
                mail.clear()
            elif not is_too_large:
                mail += line[1:] if is_mbox and line.startswith(b">From ") else line
                if len(mail) > MAX_MAIL_BYTES:
                    is_too_large = True
                    mail.clear()
            after_empty = not line.strip()
    yield None if is_too_large else bytes(mail), received


def _received(line: bytes) -> datetime | None:
    """The moment in a line `From someone@example.org Sat Jan  3 01:05:34 1996`, in UTC."""
    parts = line.decode("latin-1").split(maxsplit=2)
    parsed = parsedate_tz(parts[2]) if len(parts) == 3 else None
    if parsed is None:
        return None
    try:
        return datetime(*parsed[:6], tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter for a year of twenty digits
        return None
