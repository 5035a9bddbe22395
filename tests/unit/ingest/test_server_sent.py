"""Server-sent events, however they are cut into pieces."""

import time
from collections import deque

import pytest

from klankbord_ingest.server_sent import (
    MAX_EVENT_BYTES,
    ServerSent,
    ServerSentReader,
    TooLargeError,
)

STREAM = (
    b": here\n"
    b"event: update\r\ndata: one\r\ndata:two\r\nid: 7\r\n\r\n"
    b"data: h\xc3\xa9\n\n"
    b"event: nothing\n\n"
    b"data: cut off\n"
)
READ = [None, ServerSent("update", "one\ntwo", "7"), ServerSent("message", "hé", "7")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pieces_of_any_size_make_the_same_events(size: int) -> None:
    reader = ServerSentReader()
    pieces = (STREAM[at : at + size] for at in range(0, len(STREAM), size))
    assert [event for piece in pieces for event in reader.read(piece)] == READ


@pytest.mark.parametrize("line", [b"data: x\n", b"x", b": still here\n"])
def test_an_event_without_end_is_given_up_at_a_mebibyte(line: bytes) -> None:
    reader = ServerSentReader()
    pieces = [line * (64 * 1024 // len(line))] * (2 * MAX_EVENT_BYTES // (64 * 1024))
    with pytest.raises(TooLargeError):
        deque((event for piece in pieces for event in reader.read(piece)), maxlen=0)


def test_a_line_that_comes_byte_by_byte_costs_no_more_for_each_byte_the_longer_it_is() -> None:
    reader = ServerSentReader()
    began = time.process_time()
    for _ in range(200_000):
        list(reader.read(b"x"))
    assert time.process_time() - began < 4  # some 0.1 s; 17 s where each byte copies all before it
