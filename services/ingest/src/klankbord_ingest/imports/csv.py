"""CSV (RFC 4180) whose header holds the field names of `post.received`'s data.

`attributedTo.name` and the like are fields of the author. A time without a zone is the
community's.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from klankbord_ingest.imports.fields import KNOWN, LISTS, TIMES, listed
from klankbord_ingest.imports.mapping import ImportMapping
from klankbord_ingest.imports.meter import Meter
from klankbord_ingest.imports.row import Refusal, Row, Rows, lines, too_long_line, validated
from klankbord_ingest.submission import Submission

DELIMITERS = ",;\t"
_BY_LOWER = {name.lower(): name for name in KNOWN}


class HeaderError(ValueError):
    """The first line of a CSV file is no header that can be used."""


def read_csv(
    path: Path, zone: tzinfo, mapping: ImportMapping | None = None, meter: Meter | None = None
) -> Rows:
    """The posts and interactions of a CSV file.

    Args:
        path: the file, in UTF-8; comma, semicolon or tab between the cells.
        zone: the time zone of times that name none.
        mapping: which column is which field, where the columns are not called as the fields are.
        meter: told how much was read.

    Raises:
        HeaderError: the first line names no `nativeId`, or not what the mapping names.
    """
    with (meter or Meter()).open(path) as stream:
        text = _Text(lines(stream))
        first = next(text, "")
        delimiter, header = mapped_header(first, mapping) if mapping else read_header(first)
        reader = csv.reader(text, delimiter=delimiter)
        cells: list[str] | None = []
        while cells is not None:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                why = f"this is no row of a CSV file ({error}); is a quotation mark left open?"
                yield Row(f"line {text.number}", Refusal("no_csv", why))
                continue
            for number in text.take_too_long():
                yield Row(f"line {number}", too_long_line())
            if cells and any(cells):
                yield Row(f"line {text.number}", _content(header, cells, zone, mapping))


def read_header(line: str) -> tuple[str, list[str]]:
    """The delimiter of a CSV file and the names of its columns, from its first line.

    Raises:
        HeaderError: no delimiter makes a header with `nativeId` (or `id`) of it.
    """
    for delimiter in DELIMITERS:
        cells = next(csv.reader([line], delimiter=delimiter), [])
        names = [_BY_LOWER.get(cell.strip().lower(), cell.strip()) for cell in cells]
        if "nativeId" in names or "id" in names:
            return delimiter, names
    raise HeaderError(
        f"the first line names no column nativeId: {line.strip()[:200]!r}; write a header such as "
        "nativeId,published,attributedTo,content"
    )


def mapped_header(line: str, mapping: ImportMapping) -> tuple[str, list[str]]:
    """The delimiter of a CSV file and its columns, all that a mapping names among them.

    Raises:
        HeaderError: one is missing.
    """
    headers = [
        (delimiter, [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])])
        for delimiter in DELIMITERS
    ]
    delimiter, header = max(headers, key=lambda one: len(mapping.columns.intersection(one[1])))
    missing = sorted(mapping.columns.difference(header))
    if missing:
        raise HeaderError(
            f"the mapping names the column {', '.join(missing)}, and the first line does not: "
            f"{line.strip()[:500]!r}"
        )
    return delimiter, header


def _content(
    header: list[str], cells: list[str], zone: tzinfo, mapping: ImportMapping | None
) -> Submission | Refusal:
    if not all(map(_is_unicode, cells)):
        shown = [cell.encode("utf-8", "replace").decode() for cell in cells]
        why = "the row is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)"
        return Refusal("bad_encoding", why, row=shown)
    row = dict(zip(header, cells, strict=False))
    if len(cells) != len(header):
        why = (
            f"the row has {len(cells)} cells and the header {len(header)}; put a text that holds "
            "the delimiter between quotation marks"
        )
        return Refusal("no_csv", why, row=cells)
    document = mapping.document(row, zone) if mapping else _named(row, zone)
    return document if isinstance(document, Refusal) else validated(document, row)


def _named(row: Mapping[str, str], zone: tzinfo) -> dict[str, Any]:
    """The fields of a row whose columns are called as they are."""
    document: dict[str, Any] = {}
    for name, cell in row.items():
        value = cell.strip() if name not in {"content", "contentHtml"} else cell
        if not value:
            continue
        if name.startswith("attributedTo"):
            author = document.setdefault("attributedTo", {})
            author[name.partition(".")[2] or "id"] = value
        else:
            document[name] = _value(name, value, zone)
    return document


def _is_unicode(cell: str) -> bool:
    return cell.isascii() or not any("\ud800" <= character <= "\udfff" for character in cell)


def _value(name: str, cell: str, zone: tzinfo) -> object:
    if name in TIMES:
        try:
            moment = datetime.fromisoformat(cell)
        except ValueError:
            return cell
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    if name in LISTS:
        return listed(cell)
    return cell


class _Text(Iterator[str]):
    """Lines as text; remembers at which it is, and which were too long to be read."""

    def __init__(self, numbered: Iterable[tuple[int, bytes | None]]) -> None:
        self._lines = iter(numbered)
        self._too_long: list[int] = []
        self.number = 0

    def __next__(self) -> str:
        for number, line in self._lines:
            self.number = number
            if line is None:
                self._too_long.append(number)
            else:
                # A byte that is not UTF-8 becomes half a surrogate pair, by which it is refused.
                encoding = "utf-8-sig" if number == 1 else "utf-8"
                return line.decode(encoding, "surrogateescape")
        raise StopIteration

    def take_too_long(self) -> list[int]:
        """The lines that were too long, once."""
        taken, self._too_long = self._too_long, []
        return taken
