"""`streams.yaml`: what it may say, and that nonsense is refused with its line and the fix."""

from pathlib import Path

import pytest

from klankbord_runtime.refused import Refused
from klankbord_schemas.topology import DAY, STREAMS
from klankbord_standalone.explained import FileRefusedError
from klankbord_standalone.retention import parse_streams, streams_kept

GIB = 1024**3


def test_without_a_file_streams_are_kept_as_shipped(tmp_path: Path) -> None:
    assert tuple(streams_kept(tmp_path)) == STREAMS


def test_what_is_said_of_one_stream_leaves_the_others_alone() -> None:
    kept = {stream.name: stream for stream in parse_streams(b"POSTS: {max_bytes: 100GiB}\n")}
    assert (kept["POSTS"].max_bytes, kept["POSTS"].max_age) == (100 * GIB, 30 * DAY)
    assert [s for s in kept.values() if s.name != "POSTS"] == [
        stream for stream in STREAMS if stream.name != "POSTS"
    ]


def test_age_and_size_can_both_be_said() -> None:
    kept = {s.name: s for s in parse_streams(b"DEAD:\n  max_age: 12w\n  max_bytes: 512MiB\n")}
    assert (kept["DEAD"].max_age, kept["DEAD"].max_bytes) == (84 * DAY, GIB // 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("POST: {max_age: 30d}", "line 1: POST: is not known here; did you mean POSTS?"),
        ("\nPOSTS: {max_age: 12h}", "line 2: POSTS.max_age: an event that a service has not read"),
        ("POSTS: {max_bytes: 100GB}", "POSTS.max_bytes: '100GB' is no size from 64MiB"),
        ("POSTS: {max_bytes: 1MiB}", "'1MiB' is no size from 64MiB"),
        ("POSTS: {max_bytes: 20}", "20 is no size"),
        ("POSTS: {max_age: 30}", "30 is no length of time"),
        ("POSTS: {max_age: -1d}", "'-1d' is no length of time"),
        ("MEMBERS: {max_age: 30d}", "MEMBERS.max_age: is not known here"),
        ("POSTS: 7d", "'7d' is not a mapping"),
        ("POSTS: {max_age: 7d}\nPOSTS: {max_age: 8d}", "line 2: POSTS: this stands on line 1"),
        ("# nothing", "the file is empty"),
    ],
)
def test_nonsense_is_refused_with_its_line_and_the_fix(text: str, told: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_streams(text.encode())
    assert told in str(refused.value)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "streams.yaml").write_text("POSTS: {max_age: soon}")
    with pytest.raises(FileRefusedError, match=r"streams\.yaml: refused\nline 1: POSTS\.max_age"):
        streams_kept(tmp_path)
