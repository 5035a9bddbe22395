"""The doors on a real PostgreSQL and a real NATS: what is accepted is stored, once, and told on."""

import asyncio
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from world import Migrated, eventually, settings

from klankbord_ingest import api, handlers, request_body
from klankbord_ingest.app import create
from klankbord_ingest.settings import Settings
from klankbord_ingest.signature import secret_key, signed_headers
from klankbord_runtime.service import Service
from klankbord_runtime.settings import HttpSettings, NatsSettings, OutboxSettings
from klankbord_schemas import InteractionReceived, MemberSeen, PostReceived
from klankbord_schemas.event import Event
from klankbord_standalone.servers import Installation

SECRET = "whsec_" + "bWVuZWVyIGRlIHV1bCB6YXQgb3AgZWVuIHRhaw=="
CONFIG = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}
sources:
  - {name: forum, community: demo, kind: webhook, platform: forum.example.org}
  - {name: chat, community: demo, kind: webhook, published_trust: claimed, origins: [crm.example]}
  - {name: mute, community: demo, kind: webhook}
"""
OPERATOR_TOKEN = "a token of at least 32 characters that the operator has"
PUBLISHED = "2026-03-01T10:00:00Z"
POST = {
    "nativeId": "42",
    "published": PUBLISHED,
    "attributedTo": {"id": "anna", "name": "Anna", "preferredUsername": "anna"},
    "content": "De nieuwe versie is veel sneller, heel erg bedankt daarvoor!",
}
EVENT_CLASSES: dict[str, type[Event[Any]]] = {
    event.type_name(): event for event in (PostReceived, InteractionReceived, MemberSeen)
}


@dataclass
class Door:
    """A running ingest, and a sender who holds its secret."""

    service: Service
    http: httpx.AsyncClient

    async def send(
        self,
        document: object,
        source: str = "forum",
        content_type: str = "application/json",
        webhook_id: str | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Sign and post a document."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        now = datetime.now(UTC)
        name = webhook_id or secrets.token_hex(8)
        signed = {
            "content-type": content_type,
            **signed_headers(secret_key(SECRET), name, now, body),
        }
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(f"/v1/sources/{source}", content=body, headers=signed | given)

    async def import_(self, document: object, token: str = OPERATOR_TOKEN, **query: str) -> Any:
        """Post a batch as the operator's importer does."""
        return await self.http.post(
            f"/v1/import/{query.pop('source', 'archive')}",
            json=document,
            params={"community": "demo"} | query,
            headers=[(b"authorization", f"Bearer {token}".encode())],
        )

    async def said(self) -> list[Any]:
        """Every event that was committed, in order."""
        async with self.service.database.connection() as connection:
            rows = await connection.fetch("select body from outbox order by batch, position")
        return [
            EVENT_CLASSES[json.loads(row["body"])["type"]].from_json(row["body"]) for row in rows
        ]

    async def posts(self) -> list[PostReceived]:
        """The posts among them."""
        return [event for event in await self.said() if isinstance(event, PostReceived)]


def settings_of(installation: Installation, folder: Path, **outbox: int) -> Settings:
    (folder / "klankbord.yaml").write_text(CONFIG)
    (folder / "pseudonym.key").write_bytes(bytes(range(32)))
    (folder / "operator.token").write_text(OPERATOR_TOKEN + "\n")
    for source in ("forum", "chat"):
        (folder / source).write_text(SECRET)
    return settings(
        installation,
        "ingest",
        Settings,
        http=HttpSettings(port=free_port()),
        outbox=OutboxSettings(**outbox),
        config_dir=folder,
        secrets_dir=folder,
        pseudonym_key_file=folder / "pseudonym.key",
        operator_token_file=folder / "operator.token",
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture
async def door(
    installation: Installation, migrated: Migrated, tmp_path: Path
) -> AsyncIterator[Door]:
    await migrated("ingest")
    own = settings_of(installation, tmp_path)
    service = create(own)
    address = f"http://127.0.0.1:{own.http.port}"
    async with service.running(), httpx.AsyncClient(base_url=address, timeout=20) as http:
        yield Door(service, http)


def receipt(response: httpx.Response) -> tuple[int, int]:
    assert response.status_code == 202, response.text
    told = response.json()
    return told["received"], told["duplicate"]


def problem(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    told = response.json()
    assert told["status"] == response.status_code
    assert told["type"] == "about:blank"
    return str(told["detail"])


async def test_a_post_becomes_an_event_and_its_author_a_pseudonym(door: Door) -> None:
    assert receipt(await door.send(POST)) == (1, 0)
    post, member = await door.said()
    assert isinstance(post, PostReceived)
    assert post.data.language == "nl"
    assert post.data.published == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert post.data.published_trust == "attested"
    assert (post.data.source, post.data.platform) == ("forum", "forum.example.org")
    assert post.version == 1
    assert post.traceparent is not None
    assert isinstance(member, MemberSeen)
    assert member.data.member == post.data.attributed_to
    assert (member.data.name, member.data.native_id) == ("Anna", "anna")
    assert "anna" not in post.to_json().decode().lower()


async def test_when_a_source_was_heard_last_outlives_the_process(
    installation: Installation,
    migrated: Migrated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handlers, "HEALTH_EVERY", 0.05)
    await migrated("ingest")
    heard = "klankbord_ingest_source_heard_timestamp_seconds"
    own, shown = settings_of(installation, tmp_path), list[float]()
    for is_restarted in (False, True):
        service = create(own)
        ask = partial(service.registry.get_sample_value, heard, {"source": "forum"})
        address = f"http://127.0.0.1:{own.http.port}"
        async with service.running(), httpx.AsyncClient(base_url=address, timeout=20) as http:
            if not is_restarted:
                assert receipt(await Door(service, http).send(POST)) == (1, 0)
            shown.append(await eventually(ask))
            assert service.registry.get_sample_value(heard, {"source": "chat"}) is None
    assert shown == [pytest.approx(time.time(), abs=60)] * 2


async def test_what_is_accepted_reaches_the_bus(door: Door, installation: Installation) -> None:
    async with installation.client("operator") as client:
        stream = client.jetstream()
        await door.send({"posts": [POST | {"nativeId": str(number)} for number in range(100)]})

        async def stored() -> bool:
            return (await stream.stream_info("POSTS")).state.messages >= 100

        await eventually(stored)
        assert (await stream.stream_info("POSTS")).state.messages == 100
        assert (await stream.stream_info("MEMBERS")).state.messages == 1


async def test_the_trace_that_comes_with_a_request_goes_on(door: Door) -> None:
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    await door.send(POST, traceparent=traceparent)
    assert {event.traceparent for event in await door.said()} == {traceparent}


async def test_edits_and_deletes_are_versions_of_one_post(door: Door) -> None:
    edited = POST | {"operation": "update", "content": "Changed", "sequence": 5}
    deleted = {"id": "42", "operation": "delete", "sequence": 6}
    assert receipt(await door.send({"posts": [POST, edited, deleted, POST, edited]})) == (3, 2)
    posts = await door.posts()
    assert [(post.data.operation, post.version) for post in posts] == [
        ("create", 1),
        ("update", 5),
        ("delete", 6),
    ]
    assert len({post.data.post for post in posts}) == 1
    assert posts[-1].data.content == ""


async def test_versions_that_come_one_by_one_and_out_of_order_are_kept(door: Door) -> None:
    edits = [POST | {"sequence": number, "content": str(number)} for number in (3, 1, 2, 3)]
    assert [receipt(await door.send(edit)) for edit in edits] == [(1, 0), (1, 0), (1, 0), (0, 1)]
    assert [post.version for post in await door.posts()] == [3, 1, 2]


async def test_a_to_b_to_a_is_three_versions_and_a_retried_delivery_is_none(door: Door) -> None:
    for number, content in enumerate("ABA"):
        edit = POST | {"content": content}
        assert receipt(await door.send(edit, webhook_id=str(number))) == (1, 0)
    for number, content in enumerate("ABA"):
        edit = POST | {"content": content}
        assert receipt(await door.send(edit, webhook_id=str(number))) == (0, 1)
    assert [post.version for post in await door.posts()] == [1, 2, 3]


async def test_a_delivery_id_that_is_used_twice_for_different_posts_loses_nothing(
    door: Door,
) -> None:
    for native_id in ("one", "two"):
        response = await door.send(POST | {"nativeId": native_id}, webhook_id="same")
        assert receipt(response) == (1, 0)


async def test_interactions_are_heard_once(door: Door) -> None:
    like = {"kind": "like", "object": "42", "attributedTo": "bob", "published": PUBLISHED}
    join = {"kind": "join", "nativeId": "j1", "attributedTo": "bob", "published": PUBLISHED}
    batch = {"posts": [POST], "interactions": [like, like, join]}
    assert receipt(await door.send(batch)) == (3, 1)
    assert receipt(await door.send(batch)) == (0, 4)
    post, *likes = [event for event in await door.said() if not isinstance(event, MemberSeen)]
    assert [event.data.kind for event in likes] == ["like", "join"]
    assert likes[0].data.post == post.data.post


async def test_a_member_is_told_of_when_the_appearance_changes(door: Door) -> None:
    def by(name: str | None, day: int) -> Mapping[str, object]:
        author = {"id": "anna", "name": name} if name else "anna"
        moment = f"2026-03-{day:02d}T10:00:00Z"
        return POST | {"nativeId": str(day), "published": moment, "attributedTo": author}

    for day, name in enumerate(["Anna", "Anna", None, "Anna J."], start=10):
        await door.send(by(name, day))
    await door.send(by("An older name", 1))
    members = [event for event in await door.said() if isinstance(event, MemberSeen)]
    assert [event.data.name for event in members] == ["Anna", "Anna J."]


async def test_a_member_who_looks_the_same_is_not_written_for_each_post(door: Door) -> None:
    async def row_version() -> object:
        async with door.service.database.connection() as connection:
            return await connection.fetchval("select xmin from member")

    author = {"attributedTo": {"id": "anna", "name": "Anna"}}
    await door.send(POST | author | {"nativeId": "1", "published": "2026-03-10T10:00:00Z"})
    before = await row_version()
    await door.send(POST | author | {"nativeId": "2", "published": "2026-03-11T09:00:00Z"})
    assert await row_version() == before
    await door.send(POST | author | {"nativeId": "3", "published": "2026-03-11T11:00:00Z"})
    assert await row_version() != before


async def test_a_moment_in_the_future_is_clamped_and_marked(door: Door) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    soon = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    await door.send(
        {
            "posts": [
                POST | {"published": tomorrow},
                POST | {"nativeId": "43", "published": soon},
            ]
        }
    )
    late, early = await door.posts()
    assert late.data.published_adjusted
    assert late.data.published == late.recordedtime
    assert not early.data.published_adjusted


async def test_a_listed_sender_of_cloud_events_may_ask_before_it_sends(door: Door) -> None:
    asked = {"WebHook-Request-Origin": "crm.example", "WebHook-Request-Rate": "120"}
    granted = await door.http.options("/v1/sources/chat", headers=asked)
    assert granted.status_code == 200
    assert granted.headers["webhook-allowed-origin"] == "crm.example"
    assert granted.headers["webhook-allowed-rate"] == "*"
    for source, origin in (("chat", "other.example"), ("forum", "crm.example"), ("nowhere", "x")):
        headers = {"WebHook-Request-Origin": origin}
        refused = await door.http.options(f"/v1/sources/{source}", headers=headers)
        assert refused.status_code == 401
        assert "webhook-allowed-origin" not in refused.headers


async def test_cloud_events_come_in_and_binary_mode_does_not(door: Door) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "x.said", "data": POST}
    other = event | {"data": POST | {"nativeId": "43"}}
    structured = await door.send(event, content_type="application/cloudevents+json; charset=utf-8")
    assert receipt(structured) == (1, 0)
    batch = await door.send([event, other], content_type="application/cloudevents-batch+json")
    assert receipt(batch) == (1, 1)
    binary = await door.send(POST, ce_id="1", ce_specversion="1.0")
    assert binary.status_code == 415
    assert "not signed" in problem(binary)


async def test_whoever_is_not_known_gets_one_answer_and_nothing_is_stored(door: Door) -> None:
    good = await door.send(POST, webhook_id="good")
    assert good.status_code == 202
    old = str(int(time.time()) - 301)
    refused = [
        await door.send(POST, source="unknown"),
        await door.send(POST, source="mute"),
        await door.send(POST, webhook_signature="v1,AAAA"),
        await door.send(POST, webhook_timestamp=old),
        await door.send(POST, webhook_id="another", webhook_signature=""),
        await door.http.post("/v1/sources/forum", json=POST),
    ]
    for signature in (b"v1,\xff\xfe", "v1,é".encode()):
        raw = [(b"content-type", b"application/json"), (b"webhook-signature", signature)]
        refused.append(await door.http.post("/v1/sources/forum", content=b"{}", headers=raw))
    assert {response.status_code for response in refused} == {401}
    assert len({problem(response) for response in refused}) == 1
    assert len(await door.posts()) == 1


async def test_one_wrong_post_refuses_the_whole_batch_with_reasons(door: Door) -> None:
    response = await door.send(
        {"posts": [POST, {"nativeId": "b", "published": "2026-03-01T10:00:00"}]}
    )
    assert response.status_code == 422
    assert "nothing was stored" in problem(response)
    assert response.json()["errors"] == [
        {
            "index": 1,
            "field": "published",
            "why": "has no time zone; write when it was, such as 2026-11-22T09:30:00Z",
            "code": "no_time_zone",
        }
    ]
    assert await door.said() == []


async def test_what_is_no_readable_body_is_refused_with_the_reason(door: Door) -> None:
    assert "not read here" in problem(await door.send(POST, content_type="text/plain"))
    assert "UTF-8" in problem(
        await door.send(POST, content_type="application/json; charset=latin-1")
    )
    assert "compressed" in problem(await door.send(POST, content_encoding="gzip"))
    assert (await door.send(b"{")).status_code == 422
    deep = b'{"id": "a", "published": 1, "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    assert (await door.send(deep)).status_code == 422


async def test_a_body_that_is_too_large_is_refused_declared_or_not(door: Door) -> None:
    body = b" " * (api.NOBODY.max_bytes + 1)
    assert (await door.send(body)).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    headers = {"content-type": "application/json"}
    undeclared = await door.http.post("/v1/sources/forum", content=chunks(), headers=headers)
    assert undeclared.status_code == 413
    assert str(api.NOBODY.max_bytes) in problem(undeclared)


async def test_a_body_that_does_not_come_is_not_waited_for(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "READ_SECONDS", 0.2)
    port = door.http.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/sources/forum HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    answer = await asyncio.wait_for(reader.read(100), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_full_outbox_turns_senders_away_for_now(
    installation: Installation, migrated: Migrated, tmp_path: Path
) -> None:
    await migrated("ingest")
    unreachable = NatsSettings(url=f"nats://127.0.0.1:{free_port()}")
    own = settings_of(installation, tmp_path, max_pending=1)
    own = own.model_copy(update={"nats": unreachable})
    service = create(own)
    address = f"http://127.0.0.1:{own.http.port}"
    async with service.running(), httpx.AsyncClient(base_url=address) as http:
        door = Door(service, http)
        assert receipt(await door.send(POST)) == (1, 0)
        await eventually(lambda: service.outbox_full)
        response = await door.send(POST)
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert "nothing was stored" in problem(response)


async def test_the_same_batch_from_several_senders_at_once_is_heard_once(door: Door) -> None:
    rows = [POST | {"nativeId": str(number)} for number in range(200)]
    orders = [rows, rows[::-1], rows[::2] + rows[1::2], rows[50:150]] * 3
    answers = await asyncio.gather(*(door.send({"posts": order}) for order in orders))
    assert sum(receipt(answer)[0] for answer in answers) == 200
    assert len({post.id for post in await door.posts()}) == 200 == len(await door.posts())


async def test_the_import_door_takes_what_is_in_order_and_names_the_rest(door: Door) -> None:
    rows = [POST, {"nativeId": "b"}, POST | {"nativeId": "43", "community": "other"}]
    response = await door.import_(
        {"posts": rows, "interactions": [{"kind": "poke", "published": PUBLISHED}]}
    )
    assert response.status_code == 200
    told = response.json()
    assert (told["received"], told["duplicate"]) == (1, 0)
    assert [(row["index"], row["field"], row["code"]) for row in told["refused"]] == [
        (1, "published", "missing"),
        (2, "community", "wrong_community"),
        (0, "interactions.kind", "unknown_value"),
    ]
    again = (await door.import_({"posts": [POST]})).json()
    assert again == {"received": 0, "duplicate": 1, "erased": 0, "refused": []}


async def test_the_same_post_from_a_webhook_and_an_import_is_one(door: Door) -> None:
    assert receipt(await door.send(POST)) == (1, 0)
    told = (await door.import_({"posts": [POST]}, source="forum")).json()
    assert told["duplicate"] == 1
    told = (await door.import_({"posts": [POST]}, platform="forum.example.org")).json()
    assert told["duplicate"] == 1
    told = (await door.import_({"posts": [POST | {"platform": "forum.example.org"}]})).json()
    assert told["duplicate"] == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"token": "x" * 40}, 401),
        ({"token": "é" * 40}, 401),
        ({"community": "No Where"}, 422),
        ({"source": "Not-A-Slug"}, 422),
        ({"platform": "\0"}, 422),
    ],
)
async def test_the_import_door_refuses_others_and_odd_names(
    door: Door, query: dict[str, str], status: int
) -> None:
    response = await door.import_({"posts": [POST]}, **query)
    assert response.status_code == status
    assert problem(response)
    assert await door.said() == []


async def test_the_doors_are_described_for_machines(door: Door) -> None:
    described = (await door.http.get("/openapi.json")).json()
    assert described["openapi"] == "3.1.0"
    assert set(described["paths"]) == {"/v1/sources/{name}", "/v1/import/{source}"}
    references = set(find_references(described))
    assert references
    assert references <= {
        f"#/components/schemas/{name}" for name in described["components"]["schemas"]
    }


def find_references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for inner in value.values() for found in find_references(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in find_references(inner)]
    return []


README = Path(__file__).parents[3] / "services/ingest/README.md"
TOOLS_ARE_THERE = all(shutil.which(tool) for tool in ("sh", "curl", "openssl", "od"))


@pytest.mark.skipif(not TOOLS_ARE_THERE, reason="curl and openssl are not installed")
async def test_the_readmes_example_is_true(door: Door) -> None:
    (example,) = re.findall(r"```sh\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    environment = {
        "PATH": os.environ["PATH"],
        "KLANKBORD": str(door.http.base_url),
        "SECRET": SECRET,
        "SOURCE": "forum",
    }
    shell = await asyncio.create_subprocess_exec(
        "sh", "-eu", "-c", example, env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(shell.communicate(), 20)
    assert json.loads(output) == {"received": 1, "duplicate": 0, "erased": 0}
    assert '`{"received":1,"duplicate":0,"erased":0}`' in README.read_text("utf-8")
