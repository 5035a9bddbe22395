"""`klankbord link` as an operator types it, and whoever follows the link: no log says who."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from klankbord_standalone.home import Home
from klankbord_standalone.postgres_server import PostgresServer

KLANKBORD = [sys.executable, "-m", "klankbord_standalone"]
ADDRESS = "127.0.0.2"
"""Where whoever follows the link is: another address than the server's, to be told from it."""
FORWARDED = "203.0.113.77"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
PAGE = "https://example.org/launch?lang=en#top"
LEADS_TO = "https://example.org/launch?lang=en&utm_medium=email&utm_campaign=spring#top"
PATIENCE = 60


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    PostgresServer(tmp_path / "klankbord-data" / "postgres", "").erase()


def typed(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*KLANKBORD, "link", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_link_is_made_followed_and_ended_and_nobody_is_in_the_logs(folder: Path) -> None:
    up = subprocess.Popen([*KLANKBORD, "up"], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        home, until = Home.at(folder / "klankbord-data", None), time.monotonic() + PATIENCE
        while home.running() is None:
            assert time.monotonic() < until
            time.sleep(0.1)
        offer = ["--community", "demo", "--campaign", "spring", "--medium", "email"]
        made = typed(folder, "add", PAGE, *offer, "--code", "launch", "--json")
        assert made.returncode == 0, made.stderr
        link = json.loads(made.stdout)
        assert link["target"] == LEADS_TO
        _follow(link["address"])
        _is_heard(home)
        assert typed(folder, "disable", link["address"]).returncode == 0
        assert httpx.get(link["address"]).status_code == 410
    finally:
        up.terminate()
        up.wait(timeout=PATIENCE)
    for log in home.logs.iterdir():
        text = log.read_text("utf-8", "replace")
        for what in (ADDRESS, FORWARDED, "Firefox", "secret question"):
            assert what not in text, log


def _follow(address: str) -> None:
    headers = {
        "user-agent": FIREFOX,
        "referer": "https://www.google.com/search?q=secret question",
        "x-forwarded-for": FORWARDED,
    }
    with httpx.Client(transport=httpx.HTTPTransport(local_address=ADDRESS)) as member:
        led = member.get(address, headers=headers)
    assert (led.status_code, led.headers["location"]) == (302, LEADS_TO)


def _is_heard(home: Home) -> None:
    running, until = home.running(), time.monotonic() + PATIENCE
    assert running is not None
    counted = 'klankbord_ingest_submissions_total{outcome="received",source="links"} 1.0'
    while counted not in httpx.get(f"{running.address('ingest')}/metrics").text:
        assert time.monotonic() < until
        time.sleep(0.1)
