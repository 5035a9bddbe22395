"""`klankbord outbox replay`: from when on, and what is told."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console

from klankbord_standalone.explained import UsageError
from klankbord_standalone.outbox import EVERYTHING, Replayed, beginning, show

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("2026-11-22T09:30+01:00", datetime(2026, 11, 22, 8, 30, tzinfo=UTC)),
        ("all", EVERYTHING),
    ],
)
def test_from_when_on(text: str, moment: datetime) -> None:
    assert beginning(text, NOW) == moment


@pytest.mark.parametrize("text", ["new", "2026-11-22T12:00+00:00", "2027-01-01", "yesterday"])
def test_what_is_not_in_the_past_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        beginning(text, NOW)


def told(one: Replayed, since: datetime = NOW, *, dry_run: bool = False) -> str:
    said = StringIO()
    show([one], since, Console(file=said, width=200), dry_run=dry_run)
    return said.getvalue()


def test_what_is_told() -> None:
    streams = Counter({"POSTS": 1200, "MEMBERS": 7})
    whole = told(Replayed("ingest", streams, NOW - timedelta(days=1)))
    assert "1,200" in whole
    assert "1,207 events were said again" in whole
    assert "goes back" not in whole
    assert "would be" in told(Replayed("ingest", streams, NOW), dry_run=True)


def test_an_outbox_that_does_not_go_back_so_far_says_so() -> None:
    short = told(Replayed("ingest", Counter(), NOW + timedelta(hours=1)))
    assert "ingest: its outbox goes back to 2026-11-22 13:00:00 UTC" in short
    assert "goes back" not in told(Replayed("ingest", Counter(), NOW), EVERYTHING)


def test_a_service_that_was_cut_short_says_how_to_go_on() -> None:
    cut = Replayed("routing", Counter(), None, "go on with --since 2026-11-22T09:30:00+00:00")
    assert "routing: go on with --since 2026-11-22T09:30:00+00:00" in told(cut)
