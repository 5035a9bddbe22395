"""A hostile feed ends the process that reads it, not the service; the next feed is read again."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from klankbord_ingest.feeds.document import UnreadableFeedError
from klankbord_ingest.feeds.worker import FeedReader

GOOD = b"<rss version='2.0'><channel><item><guid>a-7</guid></item></channel></rss>"


def rss(item: bytes) -> bytes:
    return b"<rss version='2.0'><channel><item>" + item + b"</item></channel></rss>"


@pytest.fixture
def reader() -> Iterator[FeedReader]:
    with FeedReader(max_seconds=1.0) as reader:
        yield reader


def test_what_takes_too_long_is_ended_and_the_reader_replaced() -> None:
    slow = rss(b"</item><item>" * 60_000)  # half a second's work for a tenth of a second
    with FeedReader(max_seconds=0.1) as reader:
        with pytest.raises(UnreadableFeedError, match="seconds") as refused:
            reader.read(slow)
        assert refused.value.code == "too_slow"
        for _ in range(50):  # on a loaded machine even a small feed may take longer than that
            with suppress(UnreadableFeedError):
                assert reader.read(GOOD).entries[0].id == "a-7"
                break
        else:
            pytest.fail("the reader was not replaced")


def test_what_takes_too_much_memory_is_refused_and_the_next_feed_is_read() -> None:
    with FeedReader(max_memory_bytes=120 * 1024 * 1024) as reader:
        with pytest.raises(UnreadableFeedError) as refused:
            reader.read(rss(b"</item><item>" * 60_000))
        assert refused.value.code in {"too_much_memory", "reader_died"}
        assert reader.read(GOOD).entries[0].id == "a-7"


@pytest.mark.parametrize(
    "body",
    [
        rss(b"<description>" + b"<a>" * 300_000),
        rss(b"<title>" + b"<" * 1_000_000 + b"</title>"),
        rss(b"<title>" + b"&" * 1_000_000 + b"</title>"),
        rss(b"<description><![CDATA[" + b"<![CDATA[" * 100_000 + b"]]></description>"),
        b'{"items": [' + b'{"id": [' * 50_000,
        b"<!DOCTYPE a ["
        + b"".join(b'<!ENTITY a%d "&a%d;&a%d;">' % (n, n - 1, n - 1) for n in range(1, 40))
        + b"]><rss>&a39;</rss>",
    ],
    ids=["deep", "brackets", "ampersands", "cdata", "json", "billion laughs"],
)
def test_hostile_documents_are_read_or_refused_in_time(reader: FeedReader, body: bytes) -> None:
    begun = time.monotonic()
    with suppress(UnreadableFeedError):
        reader.read(body)
    assert time.monotonic() - begun < 4


def test_a_reader_that_was_killed_between_feeds_is_replaced(reader: FeedReader) -> None:
    reader.read(GOOD)
    assert reader._process is not None
    reader._process.kill()
    reader._process.wait()
    assert reader.read(GOOD).entries[0].id == "a-7"


def test_closing_leaves_no_process() -> None:
    with FeedReader() as reader:
        reader.read(GOOD)
        process = reader._process
    assert process is not None
    assert process.returncode == 0
