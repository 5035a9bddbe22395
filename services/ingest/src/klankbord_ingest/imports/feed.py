"""A saved feed document."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from klankbord_ingest.feeds.document import FeedDocument, UnreadableFeedError
from klankbord_ingest.feeds.entries import submissions
from klankbord_ingest.feeds.parse import MAX_BYTES
from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.imports.row import Refusal, Row, Rows, refusal_of


def read_feed(path: Path, heard: datetime) -> Rows:
    """The entries of a feed that lies in a file.

    Args:
        path: the file.
        heard: the moment an entry without a date is taken to be written.
    """
    with path.open("rb") as file:
        body = file.read(MAX_BYTES + 1)
    yield from read_feed_body(body, path.resolve().as_uri(), heard)


def read_feed_body(body: bytes, url: str, heard: datetime) -> Rows:
    """The entries of a feed that came from `url`; it is read in a process of its own."""
    try:
        with FeedReader() as reader:
            document = reader.read(body)
    except UnreadableFeedError as error:
        yield Row("feed", Refusal(error.code, str(error)))
        return
    yield from _rows(document, url, heard)


def _rows(document: FeedDocument, url: str, heard: datetime) -> Iterator[Row]:
    posts, refused = submissions(document, url, heard)
    for post in posts:
        yield Row(f"entry {post.native_id}", post)
    for error in refused:
        entry = document.entries[error.index or 0].model_dump(mode="json", exclude_defaults=True)
        yield Row(f"entry {error.index}", refusal_of(error, entry))
