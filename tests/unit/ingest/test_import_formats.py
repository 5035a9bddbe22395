"""The format of a file is known by how it begins; what nobody knows is told with every format."""

import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from klankbord_ingest.imports.formats import (
    FORMATS,
    READERS,
    Circumstances,
    UnknownFormatError,
    detect,
    open_rows,
)

CIRCUMSTANCES = Circumstances(UTC, datetime(2026, 11, 22, tzinfo=UTC))


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b'{"nativeId": "7", "content": "x"}\n', "ndjson"),
        (b'{"published": "2026-01-01", "id": 7}\n{"id": 8}', "ndjson"),
        (b'{"version": "https://jsonfeed.org/version/1.1", "items": []}', "feed"),
        (b'{\n  "title": "x",\n  "items": [ {"id": "1"} ]\n}', "feed"),
        (b"\xef\xbb\xbfnativeId;published;content\r\n", "csv"),
        (b"content\tid\n", "csv"),
        (b"From jo@example.org Sun Nov 22 09:00:00 2026\nSubject: x\n", "mbox"),
        (b"Received: from a by b\nSubject: x\n\n", "mbox"),
        (b'<?xml version="1.0"?><rss/>', "feed"),
        ('<?xml version="1.0"?><rss/>'.encode("utf-16"), "feed"),
    ],
)
def test_a_file_is_known_by_its_beginning(tmp_path: Path, body: bytes, form: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(body)
    assert detect(file) == form


def test_a_zip_file_and_a_folder_with_users_are_slacks(tmp_path: Path) -> None:
    archive = tmp_path / "export.zip"
    zipfile.ZipFile(archive, "w").close()
    assert detect(archive) == "slack"
    (tmp_path / "users.json").write_text("[]")
    assert detect(tmp_path) == "slack"


MAIL = b"Received: from a by b\nFrom: jo@example.org\nSubject: x\n\nHello.\n"
YAML = b"name: x\non: push\n"


@pytest.mark.parametrize(
    "files",
    [
        {"cur/1:2,S": b"", "new/2": b"", "tmp/3": b""},
        {"a.eml": b"", "b.mbox": b"", "LICENSE": b"Free."},
        {"a.txt": MAIL, "b": MAIL, "notes": b"Hello."},
        {"work/cur/1": MAIL, "work/new/2": MAIL},
    ],
)
def test_a_folder_of_mails_is_a_mailbox(tmp_path: Path, files: dict[str, bytes]) -> None:
    write(tmp_path, files)
    assert detect(tmp_path) == "mbox"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"a.yaml": YAML, "b.yaml": YAML},
        {".mails/1": MAIL, ".mails/2": MAIL},
        {"tests/a.eml": MAIL, "a.py": b"import os", "b.py": b"import os", "c.py": b""},
        {"klankbord-data/1": MAIL},
    ],
)
def test_a_folder_of_something_else_is_not_read_as_mails(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    write(tmp_path, files)
    with pytest.raises(UnknownFormatError, match="too few of its files are mails"):
        detect(tmp_path, own=tmp_path / "klankbord-data")


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)


@pytest.mark.parametrize("body", [b"", b"\n \n", b"\x89PNG\r\n", b"Hello, world", b'{"a": 1}'])
def test_a_file_nobody_knows_is_told_with_every_format(tmp_path: Path, body: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(body)
    with pytest.raises(UnknownFormatError) as told:
        detect(file)
    assert all(name in str(told.value) for name in FORMATS)


def test_a_format_that_there_is_not_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError, match="xlsx"):
        open_rows(tmp_path, "xlsx", CIRCUMSTANCES)


def test_every_format_has_a_reader() -> None:
    assert FORMATS.keys() == READERS.keys()
