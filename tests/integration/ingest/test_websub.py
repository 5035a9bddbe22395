"""A hub tells that a feed has something new: it is subscribed to, and believed if it signs."""

import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from world import Migrated, eventually, settings

from klankbord_ingest.app import create
from klankbord_ingest.settings import OutgoingSettings, Settings
from klankbord_runtime.service import Service
from klankbord_runtime.settings import HttpSettings
from klankbord_schemas import PostReceived
from klankbord_standalone.child import free_port
from klankbord_standalone.servers import Installation

SECRET = "a random text of this source alone"
CONFIG = """
communities:
  - {{slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}}
sources:
  - {{name: blog, community: demo, kind: feed, url: '{url}', every: 1h, websub: true}}
"""


def rss(**items: str) -> bytes:
    entries = "".join(
        f"<item><guid>{name}</guid><pubDate>Sat, 21 Nov 2026 10:00:00 GMT</pubDate>"
        f"<description>{words}</description></item>"
        for name, words in items.items()
    )
    return f"<rss version='2.0'><channel>{entries}</channel></rss>".encode()


@dataclass
class Hub:
    """A blog, and the hub that it names."""

    web: Any
    reply: Any
    door: httpx.AsyncClient
    service: Service
    asked: list[dict[str, str]] = field(default_factory=list)

    def shows(self, **items: str) -> None:
        """Have the blog say this."""
        link = f'<{self.web.url("/hub")}>; rel="hub", <{self.web.url("/feed")}>; rel="self"'
        self.web.at("/feed", self.reply(body=rss(**items), headers={"Link": link}))

    def accept(self, request: Any) -> Any:
        """Take a subscription."""
        self.asked.append(dict(parse_qsl(request.body.decode())))
        return self.reply(status=202)

    @property
    def callback(self) -> str:
        return urlsplit(self.asked[-1]["hub.callback"]).path

    async def verifies(self, **changed: str) -> httpx.Response:
        """Ask whether the subscription is meant."""
        given = {
            "hub.mode": "subscribe",
            "hub.topic": self.web.url("/feed"),
            "hub.challenge": "a-challenge",
            "hub.lease_seconds": "864000",
        } | {f"hub.{name}": value for name, value in changed.items()}
        return await self.door.get(self.callback, params=given)

    async def tells(self, body: bytes, signature: str | None = None) -> httpx.Response:
        """Deliver something, signed with the secret that it was given."""
        digest = hmac.new(self.asked[-1]["hub.secret"].encode(), body, "sha256").hexdigest()
        headers = {"X-Hub-Signature": signature or f"sha256={digest}"}
        return await self.door.post(
            self.callback, content=body, headers=headers | {"Content-Type": "application/rss+xml"}
        )

    async def heard(self) -> list[str]:
        """The ids of all posts."""
        async with self.service.database.connection() as connection:
            rows = await connection.fetch("select body from outbox order by batch, position")
        bodies = [bytes(row["body"]) for row in rows if b"post.received" in bytes(row["body"])]
        return [PostReceived.from_json(body).data.native_id for body in bodies]

    async def reason(self) -> str | None:
        async with self.service.database.connection() as connection:
            told: str | None = await connection.fetchval("select reason from listening")
            return told


@pytest.fixture
async def hub(
    installation: Installation, migrated: Migrated, tmp_path: Path, web: Any, reply: Any
) -> AsyncIterator[Hub]:
    await migrated("ingest")
    (tmp_path / "klankbord.yaml").write_text(CONFIG.format(url=web.url("/feed")))
    (tmp_path / "blog").write_text(SECRET)
    (tmp_path / "pseudonym.key").write_bytes(bytes(32))
    port = free_port()
    given = settings(
        installation,
        "ingest",
        Settings,
        http=HttpSettings(port=port),
        config_dir=tmp_path,
        secrets_dir=tmp_path,
        pseudonym_key_file=tmp_path / "pseudonym.key",
        public_url=f"http://127.0.0.1:{port}/",
        outgoing=OutgoingSettings(allow=(f"127.0.0.1:{web.port}",)),
    )
    service = create(given)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as door:
        played = Hub(web, reply, door, service)
        web.answers["/hub"] = played.accept
        played.shows(a="One")
        async with service.running():
            await eventually(lambda: played.asked)
            yield played


async def test_a_hub_is_subscribed_to_and_heard_at_once(hub: Hub) -> None:
    (asked,) = hub.asked
    assert asked["hub.mode"] == "subscribe"
    assert asked["hub.topic"] == hub.web.url("/feed")
    assert SECRET not in "".join(asked.values())

    meant = await hub.verifies()
    assert (meant.status_code, meant.text) == (200, "a-challenge")
    assert (await hub.verifies(mode="denied", reason="full")).text == ""
    for changed in (
        {"topic": hub.web.url("/another")},
        {"mode": "unsubscribe"},
        {"mode": ""},
    ):
        assert (await hub.verifies(**changed)).status_code == 401, changed
    assert (await hub.door.get("/v1/sources/blog")).status_code == 401

    await eventually(hub.heard)
    hub.shows(a="One", b="Two")
    assert (await hub.tells(rss(b="Two"))).status_code == 202
    assert await eventually(lambda: _both(hub)) == ["a", "b"]
    assert len(hub.asked) == 1  # still subscribed


async def test_whoever_does_not_sign_is_not_believed(hub: Hub) -> None:
    await eventually(hub.heard)
    fetched = len(hub.web.asked)
    right = hmac.new(hub.asked[-1]["hub.secret"].encode(), b"x", "sha256").hexdigest()
    for body, signature in (
        (b"y", f"sha256={right}"),
        (b"x", right),
        (b"x", "sha256="),
        (b"x", "md5=9dd4e461268c8034f5c8564e155c67a6"),
    ):
        assert (await hub.tells(body, signature)).status_code == 401
    unsigned = await hub.door.post(hub.callback, content=b"x")
    assert unsigned.status_code == 401
    assert len(hub.web.asked) == fetched


async def _both(hub: Hub) -> list[str] | None:
    heard = await hub.heard()
    return heard if len(heard) > 1 else None
