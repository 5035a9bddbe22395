"""NDJSON (https://github.com/ndjson/ndjson-spec): each line is the data of a `post.received`."""

from pathlib import Path

from pydantic_core import from_json

from klankbord_ingest.imports.row import SHOWN, Refusal, Row, Rows, lines, too_long_line, validated
from klankbord_ingest.submission import Submission


def read_ndjson(path: Path) -> Rows:
    """The posts and interactions of an NDJSON file; empty lines are skipped."""
    with path.open("rb") as stream:
        for number, line in lines(stream):
            if line is None:
                yield Row(f"line {number}", too_long_line())
            elif text := line.removeprefix(b"\xef\xbb\xbf").strip():
                yield Row(f"line {number}", _content(text))


def _content(line: bytes) -> Submission | Refusal:
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
    return validated(document)
