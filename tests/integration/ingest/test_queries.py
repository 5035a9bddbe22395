"""Saved queries on a real PostgreSQL and a real NATS: each match is said once, now or later."""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from nats.js.api import DeliverPolicy
from world import Migrated, eventually, settings

from klankbord_ingest.app import create
from klankbord_ingest.erase import erase
from klankbord_ingest.pseudonym import pseudonym
from klankbord_ingest.settings import Settings
from klankbord_runtime.permissions import OPERATOR
from klankbord_runtime.service import Service
from klankbord_runtime.settings import HttpSettings
from klankbord_schemas import Person, QueryMatched, member_digest
from klankbord_schemas.topology import stream_of
from klankbord_standalone import queries
from klankbord_standalone.command import Place
from klankbord_standalone.explained import UsageError
from klankbord_standalone.home import Home
from klankbord_standalone.scan import read
from klankbord_standalone.servers import Installation
from klankbord_standalone.standalone import Elsewhere
from klankbord_standalone.tail import Since

CONFIG = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en]}
sources: []
"""
OUTAGE = "queries:\n  - {name: outage, any: [is down, outage*], authors: people}\n"
PRICES = OUTAGE + "  - {name: prices, all: [price*], none: [down]}\n"
TOKEN = "a token of at least 32 characters that the operator has"
KEY = bytes(range(32))
ALL = Since(DeliverPolicy.ALL)


@dataclass
class Scene:
    """A running ingest, and what its operator may do."""

    installation: Installation
    service: Service
    settings: Settings
    http: httpx.AsyncClient
    place: Place

    async def say(self, *posts: dict[str, Any]) -> None:
        usual = {"published": "2026-03-01T10:00:00Z", "attributedTo": {"id": "anna"}}
        answer = await self.http.post(
            "/v1/import/archive",
            json={"posts": [usual | post for post in posts]},
            params={"community": "demo"},
            headers={"authorization": f"Bearer {TOKEN}"},
        )
        assert answer.status_code == 200, answer.text
        assert not answer.json()["refused"]

    async def apply(self, body: str) -> None:
        file = self.service.files["queries"]
        async with self.service.database.transaction() as connection:
            digest = await file.apply(connection, body.encode())
        await eventually(lambda: file.digest == digest)

    async def matches(self, count: int) -> list[tuple[str, str, int]]:
        """What QUERIES keeps, once it keeps so many: native id's text, query and sequence."""
        found: list[QueryMatched] = []

        async def are_there() -> bool:
            async with self.installation.client(OPERATOR) as client:
                found[:] = await self.kept(client)
            return len(found) >= count

        await eventually(are_there)
        assert len({event.id for event in found}) == len(found)
        return sorted(
            (event.data.url or "", event.data.query, event.data.post_sequence) for event in found
        )

    async def kept(self, client: Client) -> list[QueryMatched]:
        stream = stream_of(QueryMatched)
        return [
            QueryMatched.from_json(message.data)
            async for messages in read(client, stream, ("klankbord.query.matched.>",))
            for message in messages
        ]

    async def run(self, name: str, since: Since = ALL, *, dry_run: bool = False) -> queries.Result:
        return await queries.run(self.place, name, since, lambda _: None, dry_run=dry_run)

    async def settled(self) -> None:
        """Everything that was said is on the bus."""

        async def is_sent() -> bool:
            return await self.service.waiting_to_be_sent() == 0

        await eventually(is_sent)


@pytest.fixture
async def scene(
    installation: Installation, migrated: Migrated, tmp_path: Path
) -> AsyncIterator[Scene]:
    await migrated("ingest")
    (tmp_path / "klankbord.yaml").write_text(CONFIG)
    (tmp_path / "queries.yaml").write_text(OUTAGE)
    (tmp_path / "pseudonym.key").write_bytes(KEY)
    (tmp_path / "operator.token").write_text(TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    own = settings(
        installation,
        "ingest",
        Settings,
        http=HttpSettings(port=port),
        config_dir=tmp_path,
        pseudonym_key_file=tmp_path / "pseudonym.key",
        operator_token_file=tmp_path / "operator.token",
    )
    service = create(own)
    elsewhere = Elsewhere(
        installation.nats_url, installation.credentials.folder, installation.admin_url
    )
    place = Place(Home.at(tmp_path / "data", tmp_path), elsewhere)
    address = f"http://127.0.0.1:{port}"
    async with service.running(), httpx.AsyncClient(base_url=address, timeout=20) as http:
        yield Scene(installation, service, own, http, place)


def post(native_id: str, content: str, **more: Any) -> dict[str, Any]:
    return {"nativeId": native_id, "content": content, "url": native_id} | more


async def test_a_post_matches_once_and_an_edit_as_its_own_version(scene: Scene) -> None:
    said = post("a", "The site is DOWN")
    await scene.say(said, post("b", "All is well"))
    await scene.say(said)
    edited = {"operation": "update", "updated": "2026-03-01T11:00:00Z"}
    await scene.say(post("a", "The site is down again", **edited))
    await scene.say({"nativeId": "a", "operation": "delete"})
    version = int(datetime(2026, 3, 1, 11, tzinfo=UTC).timestamp() * 1_000_000)
    assert await scene.matches(2) == [("a", "outage", 1), ("a", "outage", version)]


async def test_what_is_in_force_changes_while_posts_come(scene: Scene) -> None:
    await scene.apply(PRICES)
    await scene.say(post("a", "Prices!"), post("b", "Prices are down, the site is down"))
    assert await scene.matches(2) == [("a", "prices", 1), ("b", "outage", 1)]
    await scene.apply("queries: []\n")
    await scene.say(post("c", "The site is down"))
    await scene.settled()
    assert len(await scene.matches(2)) == 2


async def test_a_query_added_later_runs_over_stored_posts_once(scene: Scene) -> None:
    edited = {"operation": "update", "updated": "2026-03-01T11:00:00Z"}
    await scene.say(
        post("a", "What a price"),
        post("edited", "No price is named"),
        post("edited", "Nothing is named", **edited),
        post("deleted", "Price"),
        {"nativeId": "deleted", "operation": "delete"},
        post("theirs", "Another price", attributedTo={"id": "them"}),
        *(post(f"other {n}", "Something else") for n in range(50)),
    )
    await scene.settled()
    with pytest.raises(UsageError, match="no query 'prices' is in force, but outage"):
        await scene.run("prices")
    await scene.apply(PRICES)
    await scene.say(post("b", "Prices again"))  # found as it came in
    await scene.settled()
    person = Person("demo", member_digest(pseudonym(KEY, "archive", "them")))
    await erase(scene.settings, person)

    dry = await scene.run("prices", dry_run=True)
    assert (dry.said, dry.known, len(await scene.matches(1))) == (1, 1, 1)
    result = await scene.run("prices")
    assert (result.read, result.said, result.known, result.unreadable) == (57, 1, 1, 0)
    assert result.kept_since is not None
    assert abs(datetime.now(UTC) - result.kept_since) < timedelta(minutes=2)
    assert await scene.matches(2) == [("a", "prices", 1), ("b", "prices", 1)]

    again = await scene.run("prices")
    assert (again.said, again.known) == (0, 2)
    late = Since(DeliverPolicy.BY_START_TIME, datetime.now(UTC))
    nothing = await scene.run("prices", late)
    assert (nothing.read, nothing.said, nothing.known) == (0, 0, 0)
    await scene.settled()
    assert len(await scene.matches(2)) == 2
    acts = [entry.act for entry in await scene.installation.audit_log()]
    assert acts.count("query.run") == 3


async def test_a_file_that_is_no_good_changes_nothing(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "queries.yaml").write_text("queries: [{name: broken}]\n")
    again = create(scene.settings.model_copy(update={"http": HttpSettings(port=0)}))
    async with again.running():
        assert again.files["queries"].value.queries[0].name == "outage"
        await eventually(lambda: not again.problems)


async def test_an_erasure_takes_what_matched_out_of_the_outbox(scene: Scene) -> None:
    await scene.say(post("a", "The site is down"))
    await scene.say(post("b", "The site is down", attributedTo={"id": "bob"}))
    await scene.settled()
    person = Person("demo", member_digest(pseudonym(KEY, "archive", "anna")))
    await erase(scene.settings, person)

    async def are_kept() -> list[str]:
        async with scene.service.database.connection() as connection:
            rows = await connection.fetch(
                "select body from outbox where subject like 'klankbord.query.%'"
            )
        return [QueryMatched.from_json(row["body"]).data.url or "" for row in rows]

    assert sorted(await are_kept()) == ["a", "b"]

    async def only_bobs() -> bool:
        return await are_kept() == ["b"]

    await eventually(only_bobs)
