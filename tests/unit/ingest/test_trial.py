"""Trying a source tells what is wrong with it, whatever its kind does."""

import asyncio
from datetime import UTC, datetime
from typing import Literal

import pytest

from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.kind import Cursor, Page, Pull, Web
from klankbord_ingest.listening import trial
from klankbord_ingest.listening.trial import Finding, try_out
from klankbord_ingest.outgoing import Allowed, Gate
from klankbord_ingest.web import Hosts


class Odd(Pull):
    """A kind that fails over what it is answered, or never has enough of it."""

    kind: Literal["odd"]
    hangs: bool = False

    async def fetch(self, web: Web, cursor: Cursor, now: datetime) -> Page:
        if self.hangs:
            await asyncio.sleep(60)
        raise KeyError("what the platform left out")


async def tried(**fields: object) -> Finding:
    entry = Odd.model_validate({"kind": "odd", "name": "a", "community": "demo", **fields})
    web = Web(Fetcher(Gate(Allowed())), Hosts())
    (found,) = await try_out(entry, web, "", None, datetime.now(UTC))
    return found


async def test_a_kind_that_fails_is_told_of_and_where_to_look() -> None:
    found = await tried()
    assert not found.ok
    assert "KeyError" in found.what
    assert "the log" in found.advice


async def test_a_platform_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "PULL_SECONDS", 0.05)
    found = await tried(hangs=True)
    assert (found.ok, found.what) == (False, "asking took too long, and was given up")
