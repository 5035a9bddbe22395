"""NDJSON (https://github.com/ndjson/ndjson-spec): each line is the data of a `post.received`."""

import json
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from klankbord_ingest.imports.mapping import ImportMapping
from klankbord_ingest.imports.meter import Meter
from klankbord_ingest.imports.row import SHOWN, Refusal, Row, Rows, lines, too_long_line, validated
from klankbord_ingest.submission import Submission


def read_ndjson(
    path: Path,
    zone: tzinfo = UTC,
    mapping: ImportMapping | None = None,
    meter: Meter | None = None,
) -> Rows:
    """The posts and interactions of an NDJSON file; empty lines are skipped.

    Args:
        path: the file, in UTF-8.
        zone: the time zone of times that name none, where a mapping reads them.
        mapping: which member of an object is which field, where they are not called the same;
            `author.id` is the `id` of what `author` holds.
        meter: told how much was read.
    """
    with (meter or Meter()).open(path) as stream:
        for number, line in lines(stream):
            if line is None:
                yield Row(f"line {number}", too_long_line())
            elif text := line.removeprefix(b"\xef\xbb\xbf").strip():
                yield Row(f"line {number}", _content(text, zone, mapping))


def _content(line: bytes, zone: tzinfo, mapping: ImportMapping | None) -> Submission | Refusal:
    shown = line.decode("utf-8", "replace")[:SHOWN]
    try:
        document = from_json(line)
    except ValueError as error:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as decoding:
            return Refusal("bad_encoding", f"the line is not UTF-8: {decoding}", row=shown)
        return Refusal("no_json", f"the line is no JSON: {error}", row=shown)
    if not isinstance(document, dict):
        return Refusal("no_object", 'the line is no JSON object; write {"nativeId": …}', row=shown)
    if mapping is None:
        return validated(document)
    mapped = mapping.document({name: _cell(document, name) for name in mapping.columns}, zone)
    return mapped if isinstance(mapped, Refusal) else validated(mapped, document)


def _cell(document: Any, name: str) -> str:
    """What a member holds, as text; empty where there is none."""
    if isinstance(document, dict) and name in document:
        value = document[name]
        if isinstance(value, str):
            return value
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    first, dot, rest = name.partition(".")
    inner = document.get(first) if dot and isinstance(document, dict) else None
    return _cell(inner, rest) if inner is not None else ""
