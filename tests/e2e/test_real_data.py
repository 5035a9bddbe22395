"""Real data that nobody here wrote, through the real doors: counted, refused with reasons, once.

Runs where `../shared/real` lies beside the repository, and skips elsewhere.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from stage import Stage, stage

from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.imports.client import (
    Circumstances,
    ImportFailedError,
    ImportResult,
    Target,
    import_path,
    import_url,
)
from klankbord_ingest.outgoing import Allowed, FetchError, Gate

REAL = Path(__file__).parents[3] / "shared" / "real" / "payloads"
FEED_FILES = {".xml", ".rss", ".atom", ".rdf", ".json"}
EVERY = int(os.environ.get("KLANKBORD_TEST_EVERY_FEED", "25"))
"""Every how manieth feed is imported: each takes a reader process, and 1 is all of them."""
AT_LEAST = {"slack": 150, "mail": 15, "feeds": 10}
"""Posts that each source is known to hold; every 25th feed holds the fewest."""
HERE = Circumstances(zone=UTC, heard=datetime(2026, 3, 1, tzinfo=UTC))

pytestmark = pytest.mark.skipif(not REAL.exists(), reason="../shared/real is not here")


@pytest.fixture
def address() -> Iterator[str]:
    """Every file of the feeds, served over HTTP as it is."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """A line per feed, which nobody reads."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(REAL / "feeds")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def add(total: Counter[str], result: ImportResult) -> None:
    total.update({"received": result.received, "duplicate": result.duplicate})
    total.update({"refused": result.refused} | result.reasons)


async def import_feeds(scene: Stage, address: str) -> Counter[str]:
    total: Counter[str] = Counter()
    fetcher = Fetcher(Gate(Allowed.of([address.removeprefix("http://")])))
    files = [file for file in sorted((REAL / "feeds").rglob("*")) if file.suffix in FEED_FILES]
    for file in files[::EVERY]:
        total["files"] += 1
        url = f"{address}/{quote(file.relative_to(REAL / 'feeds').as_posix())}"
        try:
            add(
                total, await import_url(url, target(scene, "feeds"), scene.home.data, HERE, fetcher)
            )
        except (FetchError, ImportFailedError) as error:
            total[f"not fetched: {error}"[:80]] += 1
    return total


def target(scene: Stage, source: str) -> Target:
    return Target(
        scene.everything.running.address("ingest"),
        scene.everything.installation.credentials.operator_token(),
        "acme",
        source,
    )


async def import_all(scene: Stage, address: str) -> dict[str, Counter[str]]:
    """What became of the rows, by source."""
    files = {
        "slack": REAL / "slack" / "export-archive" / "tests" / "testarchive.zip",
        "mail": REAL / "email",
    }
    told: dict[str, Counter[str]] = {name: Counter() for name in files}
    for name, path in files.items():
        add(told[name], await import_path(path, target(scene, name), scene.home.data, HERE))
    return told | {"feeds": await import_feeds(scene, address)}


async def test_slack_mail_and_feeds_come_in_and_come_in_once(address: str) -> None:
    async with stage() as scene:
        first = await import_all(scene, address)
        again = await import_all(scene, address)
        for name, least in AT_LEAST.items():
            assert first[name]["received"] >= least, first[name]
            assert again[name]["received"] == 0, again[name]
            assert again[name]["refused"] == first[name]["refused"]
            assert again[name]["duplicate"] == first[name]["received"] + first[name]["duplicate"]
        await scene.settled()
        assert (await scene.status()).dead_letters == 0
