"""Matrix with a real homeserver: what members say in Synapse, pushed by it or asked for, is heard
once, whoever is away meanwhile.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import synapse as homeserver
from synapse import AS_TOKEN, HS_TOKEN, PEERS, WHY_NOT, Member, Synapse
from world import Migrated, eventually, settings

from klankbord_ingest.app import create
from klankbord_ingest.kinds import matrix
from klankbord_ingest.settings import OutgoingSettings, Settings
from klankbord_runtime.service import Service
from klankbord_runtime.settings import HttpSettings
from klankbord_schemas import InteractionReceived, PostReceived
from klankbord_standalone.child import free_port
from klankbord_standalone.servers import Installation

pytestmark = [pytest.mark.system, pytest.mark.skipif(not PEERS.exists(), reason=WHY_NOT)]

COMMUNITIES = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl]}
sources:
"""
ENTRY = """
  - {{name: {way}, community: demo, kind: matrix, rooms: ["{room}"], listen: {way},
      homeserver: "{url}", bots: ["@bot:comm.test"]}}
"""
OPERATOR_TOKEN = "a token of at least 32 characters that the operator has"
FIRST_WORDS = "How do I export my data?"


@dataclass
class Way:
    """What stands between the homeserver and ingest, and may fail."""

    port: int = 0
    to: int | None = None
    """Ingest's port; none while there is no ingest that listens."""
    fails: int = 0
    """How many of the next transactions are answered 500, after ingest has them or before."""
    after: bool = False
    sent: list[tuple[str, int]] = field(default_factory=list)
    """Every transaction's path and what was answered."""
    taken: set[str] = field(default_factory=set)
    """The messages of those that were answered 200: the homeserver forgets them."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                fields = (line.partition(":") for line in lines[1:] if line)
                headers = {name.lower(): value.strip() for name, _, value in fields}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = lines[0].split(" ")
                status, answer = await self.answer(method, path, headers, body)
                if "/transactions/" in path:
                    self.sent.append((path, status))
                    if status == HTTPStatus.OK and self.to is not None:
                        self.taken |= messages_in(body)
                writer.write(
                    f"HTTP/1.1 {status} So\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(answer)}\r\n\r\n".encode()
                    + answer
                )
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the homeserver went away, as a test may want
        finally:
            writer.close()

    async def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        if self.to is None:
            return 200, b"{}"  # between two tests nobody listens, and nothing is to wait
        if self.fails and not self.after and "/transactions/" in path:
            self.fails -= 1
            return 500, b"{}"
        url = f"http://127.0.0.1:{self.to}/v1/sources/push{path}"
        try:
            async with httpx.AsyncClient(timeout=20) as client:
                response = await client.request(method, url, headers=headers, content=body)
        except httpx.TransportError:
            return 502, b"{}"
        if self.fails and "/transactions/" in path:
            self.fails -= 1
            return 500, b"{}"
        assert response.headers["content-length"] == str(len(response.content))
        return response.status_code, response.content


def messages_in(body: bytes) -> set[str]:
    """The ids of the messages in a transaction."""
    events = json.loads(body)["events"]
    return {event["event_id"] for event in events if event["type"] == "m.room.message"}


@dataclass
class Here:
    """An ingest that listens to a room, and can be ended and begun again."""

    way: Way
    own: Settings
    room: str
    homeserver: str
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    service: Service | None = None

    async def begin(self, *ways: str) -> None:
        """Listen in these ways: `push` and `sync` are the names of the sources as well."""
        entries = [ENTRY.format(way=way, room=self.room, url=self.homeserver) for way in ways]
        file = self.own.config_file("klankbord.yaml")
        assert file is not None
        file.write_text(COMMUNITIES + "".join(entries))
        self.service = create(self.own)
        await self.stack.enter_async_context(self.service.running())
        self.way.to = self.own.http.port
        if "sync" in ways:
            await eventually(self._is_asking, seconds=60)  # the pause doubles with each failure

    async def _is_asking(self) -> bool:
        health = await self.health("sync")
        return health is not None and bool(health["healthy"])

    async def end(self) -> None:
        """The port stays known, so that the homeserver finds nobody there."""
        await self.stack.aclose()

    async def events(self) -> list[dict[str, Any]]:
        assert self.service is not None
        async with self.service.database.connection() as connection:
            rows = await connection.fetch("select body from outbox order by batch, position")
        return [json.loads(bytes(row["body"])) for row in rows]

    async def posts(self, native_id: str | None = None) -> list[PostReceived]:
        kind = PostReceived.type_name()
        found = [one for one in await self.events() if one["type"] == kind]
        posts = [PostReceived.from_json(json.dumps(one).encode()) for one in found]
        return [one for one in posts if native_id in (None, one.data.native_id)]

    async def interactions(self) -> list[InteractionReceived]:
        kind = InteractionReceived.type_name()
        found = [one for one in await self.events() if one["type"] == kind]
        return [InteractionReceived.from_json(json.dumps(one).encode()) for one in found]

    async def health(self, source: str) -> Any:
        assert self.service is not None
        async with self.service.database.connection() as connection:
            return await connection.fetchrow(
                "select * from published_source_health where source = $1", source
            )

    async def has_ended(self, way: str) -> bool:
        """Whether nothing is left to be asked in that way."""
        assert self.service is not None
        async with self.service.database.connection() as connection:
            due = await connection.fetchval(
                "select exists (select from listening where way = $1 and next_try is not null)", way
            )
        return not due

    async def heard(self, *native_ids: str) -> None:
        """Wait until all of these were heard."""

        async def are_all() -> bool:
            known = {one.data.native_id for one in await self.posts()}
            known |= {one.data.native_id or "" for one in await self.interactions()}
            return known >= set(native_ids)

        await eventually(are_all, 25)


@pytest_asyncio.fixture(scope="session")
async def way() -> AsyncIterator[Way]:
    way = Way()
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    yield way
    server.close()


@pytest_asyncio.fixture(scope="session")
async def synapse(way: Way, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Synapse]:
    """One homeserver for all tests of this file."""
    folder = tmp_path_factory.mktemp("synapse")
    async with homeserver.running(folder, f"http://127.0.0.1:{way.port}") as running:
        yield running


@pytest.fixture
async def members(synapse: Synapse) -> dict[str, Member]:
    names = ("ann", "bob", "bot", "ear")
    if synapse.members:
        return synapse.members
    synapse.members.update({name: await synapse.register(name) for name in names})
    return synapse.members


@pytest.fixture
async def room(members: dict[str, Member], way: Way) -> str:
    """A room with two members and a bot; nobody listens to it yet."""
    way.to, way.fails, way.after = None, 0, False
    way.taken.clear()
    room = await members["ann"].room()
    for name in ("bob", "bot"):
        await members[name].join(room)
    return room


@pytest.fixture
async def here(
    installation: Installation,
    migrated: Migrated,
    tmp_path: Path,
    synapse: Synapse,
    members: dict[str, Member],
    room: str,
    way: Way,
) -> AsyncIterator[Here]:
    await migrated("ingest")
    (tmp_path / "pseudonym.key").write_bytes(bytes(range(32)))
    (tmp_path / "operator.token").write_text(OPERATOR_TOKEN + "\n")
    (tmp_path / "push").write_text(f"another-token-of-today\n{HS_TOKEN}\n")
    (tmp_path / "push.token").write_text(AS_TOKEN)
    (tmp_path / "sync.token").write_text(members["ear"].token)
    own = settings(
        installation,
        "ingest",
        Settings,
        http=HttpSettings(port=free_port()),
        outgoing=OutgoingSettings(allow=(f"127.0.0.1:{synapse.port}",)),
        config_dir=tmp_path,
        secrets_dir=tmp_path,
        pseudonym_key_file=tmp_path / "pseudonym.key",
        operator_token_file=tmp_path / "operator.token",
    )
    here = Here(way, own, room, synapse.url)
    yield here
    way.to = None
    await here.end()


async def test_what_is_said_in_a_room_is_heard_once_by_push_and_by_sync(
    here: Here, members: dict[str, Member], room: str, way: Way, synapse: Synapse
) -> None:
    ann, bob, bot = (members[name] for name in ("ann", "bob", "bot"))
    await here.begin("push", "sync")
    first = await ann.say(room, FIRST_WORDS)
    await ann.edit(room, first, "How do I export all my data?")
    # homeservers take it, clients do not show it
    forged = await bob.edit(room, first, "I hate this product")
    spam = await bob.say(room, "Cheap watches")
    await ann.redact(room, spam)
    thread = {"rel_type": "m.thread", "event_id": first, "is_falling_back": True}
    reply = await bob.say(
        room,
        "Settings, Export",
        **{"m.relates_to": thread | {"m.in_reply_to": {"event_id": first}}},
    )
    like = await ann.react(room, reply, "👍")
    note = await bot.say(room, "Release 2.0 is out")
    await bob.leave(room)
    last = await ann.say(room, "Thank you!")
    await here.heard(last, note, like)
    assert {status for _, status in way.sent} == {200}
    await the_homeserver_reaches(here, synapse)

    versions = [(one.data.operation, one.data.content) for one in await here.posts(first)]
    assert sorted(versions) == [
        ("create", FIRST_WORDS),
        ("update", "How do I export all my data?"),
    ]
    assert not await here.posts(forged)
    assert [one.data.operation for one in await here.posts(spam)] == ["create", "delete"]
    [answer] = await here.posts(reply)
    assert (answer.data.context, answer.data.in_reply_to) == (first, first)
    [noted] = await here.posts(note)
    assert noted.data.is_automated
    assert len(await here.posts(last)) == 1
    interactions = [(one.data.kind, one.data.content) for one in await here.interactions()]
    assert Counter(interactions)[("like", "👍")] == 1
    assert Counter(interactions)[("leave", None)] == 1
    assert {one.data.platform for one in await here.posts()} == {"matrix"}


async def the_homeserver_reaches(here: Here, synapse: Synapse) -> None:
    ping = await synapse.call("POST", "/_matrix/client/v1/appservice/klankbord/ping", AS_TOKEN, {})
    assert ping["duration_ms"] >= 0
    url = f"http://127.0.0.1:{here.own.http.port}/v1/sources/push/_matrix/app/v1"
    right = {"Authorization": f"Bearer {HS_TOKEN}"}
    async with httpx.AsyncClient() as client:
        denied = await client.get(f"{url}/users/%40nobody%3Acomm.test", headers=right)
        assert (denied.status_code, denied.content) == (404, b"{}")
        wrong = {"Authorization": f"Bearer {AS_TOKEN}"}
        stranger = await client.put(f"{url}/transactions/1", headers=wrong, json={"events": []})
        assert stranger.status_code == 401
        nobody = await client.put(f"{url}/transactions/1", json={"events": []})
        assert nobody.status_code == 401


async def test_what_is_answered_500_once_is_sent_again_once(
    here: Here, members: dict[str, Member], room: str, way: Way
) -> None:
    """Before ingest has it, and after: then ingest hears the same transaction twice."""
    await here.begin("push")
    for after in (False, True):
        already = len(way.sent)
        way.fails, way.after = 1, after
        first = await members["ann"].say(room, "one")
        second = await members["ann"].say(room, "two")

        def is_sent_again(already: int = already) -> bool:
            paths = Counter(path for path, _ in way.sent[already:])
            return max(paths.values(), default=0) > 1

        await eventually(is_sent_again)
        await here.heard(first, second)
        [failed] = [path for path, status in way.sent[already:] if status == 500]
        answers = [status for path, status in way.sent[already:] if path == failed]
        assert answers == [500, 200]
        assert len(await here.posts(first)) == len(await here.posts(second)) == 1


@pytest.mark.parametrize("listening", ["push", "sync"])
async def test_nothing_is_lost_or_doubled_when_either_side_goes_away(
    here: Here,
    members: dict[str, Member],
    room: str,
    synapse: Synapse,
    monkeypatch: pytest.MonkeyPatch,
    listening: str,
) -> None:
    # so that a few messages are more than one answer of /sync holds, and the rest two pages
    monkeypatch.setattr(matrix, "ROOM_EVENTS", 5)
    monkeypatch.setattr(matrix, "PAGE_EVENTS", 5)
    ann = members["ann"]
    await here.begin(listening)
    said = [await ann.say(room, f"before {number}") for number in range(2)]
    await here.heard(*said)
    await here.end()
    away = await asyncio.gather(*(ann.say(room, f"away {number}") for number in range(12)))
    if listening == "push":
        await eventually(lambda: synapse.waiting() >= set(away))
    await synapse.kill()
    await synapse.start()
    await here.begin(listening)
    said += [*away, await ann.say(room, "back")]
    await here.heard(*said)
    if listening == "sync":  # and while it is asked
        await synapse.kill()
        await synapse.start()
        said.append(await ann.say(room, "after"))
        await here.heard(*said)
    heard = Counter(one.data.native_id for one in await here.posts())
    assert heard == Counter(said)


async def test_history_is_brought_in_with_the_token_of_the_application_service(
    here: Here, members: dict[str, Member], room: str, synapse: Synapse
) -> None:
    ann = members["ann"]
    first, second = await ann.say(room, "one"), await ann.say(room, "two")
    await ann.edit(room, first, "One")
    await synapse.call("POST", f"/_matrix/client/v3/join/{room}", AS_TOKEN, {})
    await here.begin("push")
    operator = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    door = f"http://127.0.0.1:{here.own.http.port}/v1/operator/sources/push/backfill"
    async with httpx.AsyncClient() as client:
        for _ in range(2):  # the second time all of it is known
            asked = await client.post(door, headers=operator, json={})
            assert asked.is_success, asked.text
            await here.heard(first, second)
            await eventually(lambda: here.has_ended("backfill"))
    assert [one.data.operation for one in await here.posts(second)] == ["create"]
    assert {one.data.operation for one in await here.posts(first)} == {"create", "update"}
    assert len(await here.posts()) == 3


@pytest.mark.trial
async def test_nothing_is_lost_or_doubled_while_both_sides_come_and_go(
    here: Here, members: dict[str, Member], room: str, synapse: Synapse, way: Way
) -> None:
    """Both ways at once, and four rounds of it: the homeserver is killed while members talk."""
    ways = ("push", "sync")
    said: list[str] = []

    async def talk(name: str) -> None:
        """Say something all the time, and again what the homeserver did not confirm."""
        for number in range(150):
            while True:
                try:
                    said.append(await members[name].say(room, f"{name} {number}"))
                    break
                except (httpx.TransportError, homeserver.RefusedError):
                    await asyncio.sleep(0.2)
            await asyncio.sleep(0.1)

    await here.begin(*ways)
    async with asyncio.TaskGroup() as talking:
        for name in ("ann", "bob"):
            talking.create_task(talk(name))
        for _ in range(4):
            await asyncio.sleep(2)
            await synapse.kill()
            await synapse.start()
            await here.end()
            await asyncio.sleep(1)
            await here.begin(*ways)
    await here.heard(*said)
    heard = Counter(one.data.native_id for one in await here.posts())
    assert not set(said) - set(heard)
    assert not way.taken - set(heard)
    assert set(heard.values()) == {1}
