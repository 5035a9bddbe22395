"""Every nats-server that we start or ship acknowledges an event only when it is on the disk."""

import re
from pathlib import Path

import pytest

from klankbord_standalone.nats_server import server_config

ROOT = Path(__file__).parents[3]
PLACES = ("deploy", "libs", "services", "examples", "docker-compose.yml", "Dockerfile")
READ = {".conf", ".yaml", ".yml", ".json", ".toml", ""}


def shipped_configs() -> list[Path]:
    """Every file of ours that configures JetStream's store."""
    files = [file for place in PLACES for file in [ROOT / place, *(ROOT / place).rglob("*")]]
    return [
        file
        for file in files
        if file.is_file() and file.suffix in READ and "store_dir" in file.read_text("utf-8")
    ]


def test_the_configurations_are_found() -> None:
    names = {str(file.relative_to(ROOT)) for file in shipped_configs()}
    assert "deploy/nats/nats.conf" in names
    assert "libs/standalone/src/klankbord_standalone/nats.conf" in names


@pytest.mark.parametrize("file", shipped_configs(), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_shipped_configuration_syncs_every_write(file: Path) -> None:
    body = file.read_text("utf-8")
    stores = len(re.findall(r"^\s*store_dir\b", body, re.MULTILINE))
    assert len(re.findall(r"^\s*sync_interval: always$", body, re.MULTILINE)) == stores
    assert "persist_mode" not in body  # `async` would override it (ADR-56)


def test_the_rendered_configuration_syncs_every_write_and_stays_on_this_machine() -> None:
    config = server_config(4222, 8222, Path('/data/with "quotes"/store'))
    assert "  sync_interval: always\n" in config
    assert 'listen: "127.0.0.1:4222"' in config
    assert 'http: "127.0.0.1:8222"' in config
    assert r'store_dir: "/data/with \"quotes\"/store"' in config
    assert "max_payload: 1MB" in config
