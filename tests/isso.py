"""Isso, a server of others that takes comments and gives them as an Atom feed.

It runs from the environment that `make .tools/peers/.ready` makes; see `needs_isso`.
"""

import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

PROGRAM = Path(__file__).parents[1] / ".tools" / "peers" / "bin" / "isso"
SITE = "https://blog.example.org"
"""The site whose comments it keeps; nobody asks it for anything."""

needs_isso = pytest.mark.skipif(not PROGRAM.exists(), reason="no Isso: make .tools/peers/.ready")


@dataclass
class Isso:
    """An Isso of one's own, with its comments in a folder."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    cookies: dict[int, str] = field(default_factory=dict)
    """What lets whoever wrote a comment edit it."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def feed(self, page: str) -> str:
        """The address of a page's comments, as Atom."""
        return f"{self.url}/feed?uri={page}"

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it answers."""
        self.port = self.port or _free_port()
        settings = self.folder / "isso.cfg"
        settings.write_text(
            f"[general]\ndbpath = {self.folder / 'comments.db'}\nhost = {SITE}\n"
            f"[server]\nlisten = {self.url}\n"
            f"[guard]\nenabled = false\n"
            f"[rss]\nbase = {SITE}\n"
        )
        with (self.folder / "isso.log").open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "-c", settings, "run"],
                # it writes local times into the feed, and calls them UTC
                env={"PATH": os.environ["PATH"], "TZ": "UTC"},
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"{self.url}/latest", timeout=1, trust_env=False)
            except httpx.TransportError:
                assert self.process.poll() is None, (self.folder / "isso.log").read_text()
                assert time.monotonic() < end, "Isso does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it; its comments stay."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=10)
            self.process = None

    def say(self, page: str, text: str, author: str, parent: int | None = None) -> int:
        """Post a comment; gives its number."""
        words = {"text": text, "author": author, "title": page, "parent": parent}
        answer = self._ask("POST", f"/new?uri={page}", words)
        number: int = answer.json()["id"]
        self._keep(number, answer)
        return number

    def edit(self, number: int, text: str) -> None:
        """Have a comment say something else."""
        cookie = {"Cookie": f"{number}={self.cookies[number]}"}
        self._keep(number, self._ask("PUT", f"/id/{number}", {"text": text}, cookie))

    def _keep(self, number: int, answer: httpx.Response) -> None:
        self.cookies[number] = answer.cookies[str(number)]

    def _ask(
        self, method: str, path: str, words: dict[str, Any], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        with httpx.Client(trust_env=False) as client:
            answer = client.request(method, self.url + path, json=words, headers=headers)
        answer.raise_for_status()
        return answer


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
