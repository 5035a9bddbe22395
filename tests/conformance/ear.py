"""Ingest's ear without its database: what a kind says, put in order as ingest does."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from conformance.platform import Platform

from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.kind import (
    Cursor,
    InteractionSubmission,
    Page,
    PostSubmission,
    SourceEntry,
    Web,
)
from klankbord_ingest.kinds import installed
from klankbord_ingest.outgoing import Allowed, Gate
from klankbord_ingest.sequence import History, NewVersion, place, version_of
from klankbord_ingest.source import Source
from klankbord_ingest.sources import source_of
from klankbord_ingest.web import Hosts
from klankbord_schemas.community import Community

MAX_CURSOR_BYTES = 64 * 1024
COMMUNITY = Community(slug="demo", name="Demo", time_zone="UTC", languages=("en",))


def entry_of(platform: Platform, base: str) -> SourceEntry:
    """The source as klankbord.yaml would list it."""
    given = {"kind": platform.kind, "name": "place", "community": "demo", **platform.options(base)}
    return installed()[platform.kind].model_validate(given)


def source(entry: SourceEntry) -> Source:
    """The same as ingest has it."""
    return source_of(entry, COMMUNITY)


def keys_of(entry: SourceEntry, secrets: Mapping[str, str]) -> dict[str, tuple[bytes, ...]]:
    """The keys that these secrets hold, for every role of the kind."""
    return {
        role: tuple(entry.key(role, line) for line in secrets.get(role, "").splitlines())
        for role in entry.secrets
    }


def web_of(entry: SourceEntry, platform: Platform, ports: Iterable[int], **more: Any) -> Web:
    """The web as the source sees it; only the platform's own server may be asked."""
    allowed = Allowed.of(f"{host}:{port}" for port in ports for host in ("127.0.0.1", "localhost"))
    fetcher = Fetcher(Gate(allowed), max_seconds=more.pop("max_seconds", 5.0))
    return Web(fetcher, Hosts(), keys_of(entry, platform.secrets), **more)


class Ear:
    """What was heard so far."""

    def __init__(self) -> None:
        self.histories: dict[str, History] = {}
        self.texts: dict[str, tuple[int, str]] = {}
        self.cursor: Cursor = {}
        self.refused: list[str] = []
        self.passed_over: Counter[str] = Counter()
        self.new = 0
        """How many new versions of posts were heard."""
        self.interactions: set[tuple[object, ...]] = set()
        """By what makes each one fact."""

    def hear(self, page: Page, *, is_history: bool = False) -> int:
        """Hear a page and keep its cursor, as it would come back from the database.

        Returns:
            How many new versions of posts it had.
        """
        before = self.new
        for one in page.submissions:
            if isinstance(one, InteractionSubmission):
                self.interactions.add(_fact(one))
            if not isinstance(one, PostSubmission):
                continue
            author = None if one.attributed_to is None else one.attributed_to.id
            version = version_of(one, datetime.now(UTC), is_history=is_history, author=author)
            verdict = place(self.histories.get(one.native_id, History()), version)
            if isinstance(verdict, NewVersion):
                self.new += 1
                self.histories[one.native_id] = verdict.history
                if verdict.sequence >= self.texts.get(one.native_id, (-1, ""))[0]:
                    self.texts[one.native_id] = (verdict.sequence, one.text)
        self.refused += [f"{error.field} {error.why}" for error in page.refused]
        self.passed_over.update(page.passed_over)
        if page.cursor is not None:
            stored = json.dumps(page.cursor)
            assert len(stored) <= MAX_CURSOR_BYTES
            self.cursor = json.loads(stored)
        return self.new - before

    @property
    def standing(self) -> dict[str, str]:
        """The posts that stand, and what they say."""
        return {
            post: self.texts[post][1]
            for post, history in self.histories.items()
            if history.operation != "delete"
        }


def _fact(one: InteractionSubmission) -> tuple[object, ...]:
    """What makes an interaction the same when it is told again, as in `InteractionReceived.of`."""
    if one.native_id is not None:
        return (one.kind, one.native_id)
    author = None if one.attributed_to is None else one.attributed_to.id
    return (one.kind, one.object or one.url, author, one.published)
