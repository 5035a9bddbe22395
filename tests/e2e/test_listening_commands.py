"""`klankbord source` and `klankbord link` as an operator types them, on an installation that runs;
and whoever follows a link: no log says who.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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


ITEM = "<item><guid>1</guid><title>Hello</title></item>"
FEED = f"<rss version='2.0'><channel>{ITEM}</channel></rss>".encode()


@dataclass
class Up:
    """An installation that runs, and a web server beside it."""

    folder: Path
    home: Home
    blog: str
    """The address of a feed that ingest may ask."""

    def typed(self, *words: str, code: int = 0) -> str:
        """What a command prints."""
        done = subprocess.run(
            [*KLANKBORD, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


class _Blog(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/feed.xml" else 401)
        self.end_headers()
        self.wfile.write(FEED)

    def log_message(self, *_: object) -> None:
        """A line per request, which nobody reads."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    blog = ThreadingHTTPServer(("127.0.0.1", 0), _Blog)
    threading.Thread(target=blog.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{blog.server_port}"
    process = subprocess.Popen(
        [*KLANKBORD, "up"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "KLANKBORD_OUTGOING__ALLOW": json.dumps([address])},
    )
    try:
        home = Home.at(folder / "klankbord-data", folder / "klankbord")
        until = time.monotonic() + PATIENCE
        while home.running() is None:
            assert time.monotonic() < until
            time.sleep(0.1)
        yield Up(folder, home, f"http://{address}/feed.xml")
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)
        blog.shutdown()
        blog.server_close()
        PostgresServer(folder / "klankbord-data" / "postgres", "").erase()


def test_a_source_is_added_tried_and_heard_while_everything_runs(up: Up) -> None:
    add = ("source", "add", "feed")
    told = up.typed(*add, "blog", "--community", "demo", f"url={up.blog}", "every=1s")
    assert "blog is listed in" in told
    assert "did you mean url?" in up.typed(*add, "b", "--community", "demo", "ulr=x", code=3)
    assert "did you mean demo?" in up.typed(
        *add, "b", "--community", "demi", f"url={up.blog}", code=3
    )
    assert "name is said already" in up.typed(
        *add, "../b", "--community", "demo", f"url={up.blog}", "name=b", code=2
    )
    assert "there is no kind" in up.typed("source", "add", "feeed", "b", "--community", "d", code=2)

    until = time.monotonic() + PATIENCE
    while not (blog := _listed(up, "blog"))["heard"]:
        assert time.monotonic() < until
        time.sleep(1)
    assert blog["ways"][0]["healthy"]
    assert "✓ blog: it answers: posts and interactions in its first answer: 1" in up.typed(
        "source", "test", "blog"
    )

    up.typed("source", "pause", "blog")
    assert _listed(up, "blog")["paused"]
    up.typed("source", "resume", "blog")
    assert "klankbord import" in up.typed("source", "backfill", "blog", code=2)
    assert "no source is named 'blogg'" in up.typed("source", "test", "blogg", code=2)


def test_what_is_wrong_with_a_source_is_told_in_plain_words_and_no_secret_with_it(up: Up) -> None:
    hush = up.folder / "hush"
    hush.write_text("a token that nobody may see\n")
    options = ["--community", "demo", "--new-secret", "--secret", f"token={hush}"]
    url = up.blog.removesuffix("/feed.xml")
    told = up.typed(
        "source", "add", "discourse", "board", f"url={url}", "api_username=system", *options
    )
    secret = (up.home.secrets / "board").read_text().strip()
    assert f"give its platform this secret: {secret}" in told
    for file in up.home.secrets.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file

    until = time.monotonic() + PATIENCE  # secrets are read every ten seconds
    while "the token is wrong or expired" not in (told := _tried(up, "board")):
        assert time.monotonic() < until, told
        time.sleep(2)
    assert "✗ board: asking failed" in told
    assert "make a new token (or look up the password) on the platform" in told
    listed = up.typed("source", "list")
    for shown in (told, listed, (up.home.config / "klankbord.yaml").read_text()):
        assert "nobody may see" not in shown
        assert secret not in shown


def test_a_link_is_made_followed_and_ended_and_nobody_is_in_the_logs(up: Up) -> None:
    offer = ["--community", "demo", "--campaign", "spring", "--medium", "email"]
    link = json.loads(up.typed("link", "add", PAGE, *offer, "--code", "launch", "--json"))
    assert link["target"] == LEADS_TO
    _follow(link["address"])
    _is_heard(up.home)
    up.typed("link", "disable", link["address"])
    assert httpx.get(link["address"]).status_code == 410
    for log in up.home.logs.iterdir():
        text = log.read_text("utf-8", "replace")
        for what in (ADDRESS, FORWARDED, "Firefox", "secret question", "nobody may see"):
            assert what not in text, log


def _listed(up: Up, name: str) -> dict[str, Any]:
    sources = json.loads(up.typed("source", "list", "--json"))
    (found,) = [source for source in sources if source["name"] == name]
    return dict(found)


def _tried(up: Up, name: str) -> str:
    done = subprocess.run(
        [*KLANKBORD, "source", "test", name],
        cwd=up.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout + done.stderr


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
