"""NDJSON and CSV: every row is a submission or a refusal that says where, what and why."""

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from klankbord_ingest.imports.csv import HeaderError, read_csv
from klankbord_ingest.imports.ndjson import read_ndjson
from klankbord_ingest.imports.row import MAX_LINE_BYTES, Refusal, Row
from klankbord_ingest.submission import InteractionSubmission, PostSubmission

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
POST = {"nativeId": "7", "published": "2026-11-22T09:30:00Z", "content": "Hallo"}


def ndjson(tmp_path: Path, body: bytes) -> list[Row]:
    file = tmp_path / "posts.ndjson"
    file.write_bytes(body)
    return list(read_ndjson(file))


def csv(tmp_path: Path, body: str | bytes) -> list[Row]:
    file = tmp_path / "posts.csv"
    file.write_bytes(body if isinstance(body, bytes) else body.encode())
    return list(read_csv(file, AMSTERDAM))


def posts(rows: list[Row]) -> list[PostSubmission]:
    return [row.content for row in rows if isinstance(row.content, PostSubmission)]


def refused(rows: list[Row]) -> list[tuple[str, str]]:
    return [(row.position, row.content.code) for row in rows if isinstance(row.content, Refusal)]


def test_a_line_is_the_data_of_a_post(tmp_path: Path) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(POST).encode() + b"\n\n"
    (post,) = posts(ndjson(tmp_path, body))
    assert (post.native_id, post.content) == ("7", "Hallo")


def test_a_line_with_a_kind_is_an_interaction(tmp_path: Path) -> None:
    line = json.dumps({"kind": "like", "object": "7", "published": "2026-11-22T09:30:00Z"})
    (row,) = ndjson(tmp_path, line.encode())
    assert isinstance(row.content, InteractionSubmission)


def test_each_broken_line_is_refused_alone_with_its_number_and_code(tmp_path: Path) -> None:
    good = json.dumps(POST).encode()
    broken = [
        b"{not json}",
        b"[1]",
        b'{"published": "2026-11-22T09:30:00Z"}',
        b'{"nativeId": "8"}',
        b'{"nativeId": "8", "published": "yesterday"}',
        b'{"nativeId": "8", "published": "2026-11-22T09:30:00"}',
        b'{"nativeId": "8\xff"}',
        b'{"nativeId": "8", "content": "' + b"x" * MAX_LINE_BYTES + b'"}',
        b"[" * 100_000,
    ]
    rows = ndjson(tmp_path, b"\n".join([good, *broken, good]))
    assert len(posts(rows)) == 2
    assert refused(rows) == [
        ("line 2", "no_json"),
        ("line 3", "no_object"),
        ("line 4", "missing_nativeId"),
        ("line 5", "missing_published"),
        ("line 6", "no_moment"),
        ("line 7", "no_time_zone"),
        ("line 8", "bad_encoding"),
        ("line 9", "too_large"),
        ("line 10", "no_json"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_header_holds_the_same_names(tmp_path: Path, delimiter: str) -> None:
    header = ["nativeId", "published", "attributedTo", "attributedTo.name", "tag", "content"]
    cells = ["7", "2026-11-22 10:30", "u1", "Jo", "bug|export", f'"Eerst{delimiter} toen\nstop"']
    table = "\ufeff" + delimiter.join(header) + "\r\n" + delimiter.join(cells) + "\r\n"
    (post,) = posts(csv(tmp_path, table))
    assert post.content == f"Eerst{delimiter} toen\nstop"
    assert post.tag == ["bug", "export"]
    assert post.attributed_to is not None
    assert (post.attributed_to.id, post.attributed_to.name) == ("u1", "Jo")


def test_a_time_without_a_zone_is_the_communitys(tmp_path: Path) -> None:
    table = "nativeId,published\n1,2026-07-01 12:00\n2,2026-12-01 12:00\n3,2026-12-01T12:00:00Z\n"
    moments = [post.published for post in posts(csv(tmp_path, table))]
    assert [moment and moment.hour for moment in moments] == [10, 11, 12]


def test_each_broken_row_is_refused_alone(tmp_path: Path) -> None:
    table = b"nativeId,published,content\n" + b"\n".join(
        [
            b"1,2026-11-22,ok",
            b"2,2026-11-22,a,b",
            b"3,2026-11-22",
            b"4,22/11/2026,x",
            b"5,,x",
            b"6,2026-11-22,caf\xe9",
            b"7,2026-11-22," + b"x" * MAX_LINE_BYTES,
            b"8,2026-11-22,ok",
        ]
    )
    rows = csv(tmp_path, table)
    assert [post.native_id for post in posts(rows)] == ["1", "8"]
    assert refused(rows) == [
        ("line 3", "no_csv"),
        ("line 4", "no_csv"),
        ("line 5", "no_moment"),
        ("line 6", "missing_published"),
        ("line 7", "bad_encoding"),
        ("line 8", "too_large"),
    ]


def test_a_quotation_mark_left_open_is_refused_and_costs_no_memory(tmp_path: Path) -> None:
    table = 'nativeId,content\n1,"' + "open\n" * 60_000
    assert ("no_csv") in {code for _, code in refused(csv(tmp_path, table))}


def test_a_file_whose_first_line_names_no_id_is_refused_as_a_whole(tmp_path: Path) -> None:
    with pytest.raises(HeaderError, match="nativeId"):
        csv(tmp_path, "name,text\nJo,Hello\n")
