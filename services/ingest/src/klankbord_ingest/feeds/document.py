"""What a feed says, whatever dialect it says it in."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class UnreadableFeedError(Exception):
    """A document is no feed, or one that may not be read. The message is for the feed's owner.

    `code` says the same as one word: too_large, too_many_entries, entities_refused, no_feed,
    too_slow, too_much_memory, reader_died.
    """

    def __init__(self, code: str, why: str) -> None:
        """Say what is wrong with the document."""
        super().__init__(why)
        self.code = code


class FeedEntry(BaseModel):
    """One entry of a feed."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str | None = None
    """The feed's own name for the entry: guid, id or rdf:about."""
    link: str | None = None
    """Where it can be read; may be relative to the feed."""
    title: str | None = None
    """The title as plain text."""
    content: str = ""
    """What it says as plain text."""
    html: str | None = None
    """What it says as sanitised HTML, where the feed gives HTML."""
    author: str | None = None
    """The author's name. Few feeds tell more of a person."""
    published: datetime | None = None
    updated: datetime | None = None
    tags: tuple[str, ...] = ()
    in_reply_to: str | None = None
    """The id of the entry that this one answers (RFC 4685)."""
    language: str | None = None


class FeedDocument(BaseModel):
    """A feed as it was at one moment. That an entry is gone does not say that it was deleted."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    ttl_minutes: int | None = None
    """How long the feed asks to be left alone (RSS 2.0 `ttl`)."""
    entries: tuple[FeedEntry, ...] = ()
