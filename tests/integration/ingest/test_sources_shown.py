"""What Prometheus is told of the sources: which there are, and whether they still talk."""

from pathlib import Path

import pytest
from world import Migrated, eventually, settings

from klankbord_ingest import handlers
from klankbord_ingest.app import create
from klankbord_ingest.settings import Settings
from klankbord_runtime.service import Service
from klankbord_standalone.servers import Installation

CONFIG = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}
sources:
  - {name: forum, community: demo, kind: webhook}
  - {name: silent, community: demo, kind: webhook}
  - {name: blog, community: demo, kind: feed, url: "http://127.0.0.1:1/feed.xml", every: 15m}
"""
HEARD = "klankbord_ingest_source_heard_timestamp_seconds"
FAILURES = "klankbord_ingest_source_failures"


@pytest.fixture
async def ingest(
    installation: Installation,
    migrated: Migrated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Service:
    monkeypatch.setattr(handlers, "HEALTH_EVERY", 0.05)
    await migrated("ingest")
    (tmp_path / "klankbord.yaml").write_text(CONFIG)
    (tmp_path / "pseudonym.key").write_bytes(bytes(32))
    key = tmp_path / "pseudonym.key"
    more = {"config_dir": tmp_path, "pseudonym_key_file": key}
    return create(settings(installation, "ingest", Settings, **more))


def shown(service: Service, name: str, source: str) -> float | None:
    return service.registry.get_sample_value(name, {"source": source})


async def test_sources_are_listed_and_a_feed_that_fails_is_seen(ingest: Service) -> None:
    async with ingest.running():
        await eventually(lambda: shown(ingest, FAILURES, "blog") == 1)
        listed = {
            tuple(sample.labels.values())
            for family in ingest.registry.collect()
            for sample in family.samples
            if sample.name == "klankbord_ingest_source_info"
        }
        assert listed == {
            ("forum", "demo", "webhook"),
            ("silent", "demo", "webhook"),
            ("blog", "demo", "feed"),
        }
        assert shown(ingest, FAILURES, "forum") is None
        assert shown(ingest, HEARD, "blog") is None
