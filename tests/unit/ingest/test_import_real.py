"""Nothing that real sources wrote crashes or hangs a reader (files beside the repository)."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from klankbord_ingest.feeds.document import UnreadableFeedError
from klankbord_ingest.feeds.entries import submissions
from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.imports.client import import_path
from klankbord_ingest.imports.door import Target
from klankbord_ingest.imports.formats import Circumstances

PAYLOADS = Path(__file__).parents[3].parent / "shared" / "real" / "payloads"
CIRCUMSTANCES = Circumstances(ZoneInfo("Europe/Amsterdam"), datetime(2026, 11, 22, tzinfo=UTC))
NOWHERE = Target("http://127.0.0.1:1", "no token", "demo", "archive")

pytestmark = pytest.mark.skipif(not PAYLOADS.is_dir(), reason="no ../shared/real")


def test_every_feed_is_read_or_refused_with_a_reason() -> None:
    counts: Counter[str] = Counter()
    files = sorted(file for file in (PAYLOADS / "feeds").rglob("*") if file.is_file())
    with FeedReader() as reader:
        for file in files:
            try:
                document = reader.read(file.read_bytes())
            except UnreadableFeedError as refused:
                counts[refused.code] += 1
                continue
            posts, errors = submissions(document, "https://example.org/feed", CIRCUMSTANCES.heard)
            counts["feeds"] += 1
            counts["posts"] += len(posts)
            counts.update(error.code for error in errors)
    print(counts)
    assert counts["feeds"] > 0.97 * len(files)
    assert counts["too_slow"] == counts["reader_died"] == counts["too_much_memory"] == 0
    assert counts["posts"] > 0.6 * len(files)


async def test_every_mail_is_a_post_or_refused_with_a_reason(tmp_path: Path) -> None:
    result = await import_path(PAYLOADS / "email", NOWHERE, tmp_path, CIRCUMSTANCES, dry_run=True)
    assert result.received >= 20
    assert result.reasons.keys() <= {"no_mail", "missing_published", "delivery_report"}
    assert result.refused == sum(result.reasons.values())
    assert result.refused_file is not None
    assert Path(result.refused_file).stat().st_mode & 0o777 == 0o600
    lines = Path(result.refused_file).read_text().splitlines()
    assert len(lines) == result.refused
    assert all({"position", "code", "why", "row"} <= json.loads(line).keys() for line in lines)


async def test_the_slack_export_is_read(tmp_path: Path) -> None:
    export = PAYLOADS / "slack" / "export-archive" / "tests" / "testarchive.zip"
    result = await import_path(export, NOWHERE, tmp_path, CIRCUMSTANCES, dry_run=True)
    assert (result.received, result.reasons) == (155, {"not_a_post": 3})
