"""Platforms that ask whether an address is ours before they send to it, at the real door."""

import json
from collections.abc import AsyncIterator
from hmac import digest
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from world import Migrated, settings

from klankbord_ingest.app import create
from klankbord_ingest.settings import Settings
from klankbord_runtime.service import Service
from klankbord_runtime.settings import HttpSettings
from klankbord_standalone.child import free_port
from klankbord_standalone.servers import Installation

CONFIG = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}
sources:
  - {name: page, community: demo, kind: facebook, account: "1001"}
  - {name: li, community: demo, kind: linkedin, organization: "urn:li:organization:2414183"}
"""
SECRETS = {
    "page": "the-app-secret",
    "page.verify": "words-of-our-own",
    "li": "the-client-secret",
    "operator.token": "a token of at least 32 characters that the operator has",
}
CHALLENGE = "890e4665-4dfe-4ab1-b689-ed553bceeed0"


class Door(NamedTuple):
    """A running ingest, as a platform reaches it."""

    http: httpx.AsyncClient
    service: Service

    async def posts(self) -> list[str]:
        """What the posts that were committed say."""
        async with self.service.database.connection() as connection:
            rows = await connection.fetch("select body from outbox order by batch, position")
        events = [json.loads(bytes(row["body"])) for row in rows]
        return [one["data"]["content"] for one in events if "post.received" in one["type"]]


@pytest.fixture
async def door(
    installation: Installation, migrated: Migrated, tmp_path: Path
) -> AsyncIterator[Door]:
    await migrated("ingest")
    (tmp_path / "klankbord.yaml").write_text(CONFIG)
    (tmp_path / "pseudonym.key").write_bytes(bytes(range(32)))
    for name, secret in SECRETS.items():
        (tmp_path / name).write_text(secret)
    own = settings(
        installation,
        "ingest",
        Settings,
        http=HttpSettings(port=free_port()),
        config_dir=tmp_path,
        secrets_dir=tmp_path,
        pseudonym_key_file=tmp_path / "pseudonym.key",
        operator_token_file=tmp_path / "operator.token",
    )
    service = create(own)
    base = f"http://127.0.0.1:{own.http.port}/v1/sources"
    async with service.running(), httpx.AsyncClient(base_url=base, timeout=20) as client:
        yield Door(client, service)


async def test_the_address_is_shown_to_be_ours_and_then_heard_on(door: Door) -> None:
    meta = {"hub.mode": "subscribe", "hub.challenge": "1158201444"}
    shown = await door.http.get("/page", params={**meta, "hub.verify_token": "words-of-our-own"})
    assert (shown.status_code, shown.text) == (200, "1158201444")
    assert shown.headers["content-type"].startswith("text/plain")
    assert shown.headers["x-content-type-options"] == "nosniff"
    refused = await door.http.get("/page", params={**meta, "hub.verify_token": "words-of-others"})
    assert refused.status_code == 401
    assert "1158201444" not in refused.text

    asked = await door.http.get("/li", params={"challengeCode": CHALLENGE})
    signed = digest(b"the-client-secret", CHALLENGE.encode(), "sha256").hex()
    assert asked.json() == {"challengeCode": CHALLENGE, "challengeResponse": signed}
    assert asked.headers["content-type"] == "application/json"

    value = {"item": "comment", "verb": "add", "comment_id": "7_8", "post_id": "1001_7"}
    words = {"message": "Can I export this?", "created_time": 1_795_348_800}
    change = {"field": "feed", "value": {**value, **words, "from": {"id": "501", "name": "Ann"}}}
    entry = {"id": "1001", "time": 1_795_348_800, "changes": [change]}
    body = json.dumps({"object": "page", "entry": [entry]}).encode()
    signature = f"sha256={digest(b'the-app-secret', body, 'sha256').hex()}"
    given = {"content-type": "application/json", "x-hub-signature-256": signature}
    for _ in range(2):
        heard = await door.http.post("/page", content=body, headers=given)
        assert (heard.status_code, heard.content) == (200, b"")
    forged = await door.http.post("/page", content=body + b" ", headers=given)
    assert forged.status_code == 401
    assert await door.posts() == ["Can I export this?"]


async def test_no_notification_can_be_had_signed_by_asking_for_a_challenge(
    door: Door,
) -> None:
    """LinkedIn signs notifications and challenges with one secret."""
    forged = json.dumps({"type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "notifications": []})
    asked = await door.http.get("/li", params={"challengeCode": f"hmacsha256={forged}"})
    assert asked.status_code == 401
    assert "challengeResponse" not in asked.text
