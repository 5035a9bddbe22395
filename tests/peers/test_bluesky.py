"""The kind `bluesky` hears everything once: from a real server, and from real events replayed."""

import asyncio
import contextlib
import json
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import libipld
import pytest
from peers.atproto import Cutter, Peer, is_installed, peer
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.kind import (
    Cursor,
    DepartureSubmission,
    FetchError,
    InteractionSubmission,
    PostSubmission,
    Told,
    Web,
)
from klankbord_ingest.kinds.bluesky import Bluesky
from klankbord_ingest.outgoing import Allowed, Gate
from klankbord_ingest.web import Hosts

REAL = Path(__file__).parents[3] / "shared" / "real" / "payloads"
FRAMES = REAL / "bluesky" / "jetstream" / "internal" / "corpus" / "testdata" / "frames.bin.zst"
POST, LIKE = "app.bsky.feed.post", "app.bsky.feed.like"
LEAST_TIME = 10**15
"""A cursor of Jetstream 2 that is as large is a time."""


class Listening:
    """Listens as the runner does: keeps what it heard with its cursor, and comes again."""

    def __init__(self, url: str) -> None:
        given = {"kind": "bluesky", "name": "sky", "community": "acme", "appview": None}
        self._kind = Bluesky.model_validate(given | {"everything": True, "url": url})
        self._port = urlsplit(url).port
        self.cursor: Cursor = {}
        self.heard: list[Told] = []
        self.trouble: list[str] = []
        self.told: list[str] = []
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Listen with the cursor that was kept, as a process that was started anew."""
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def until(self, is_so: Callable[[], bool], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not is_so():
                assert self._task is not None
                assert not self._task.done(), self._task
                await asyncio.sleep(0.05)

    async def _listen(self) -> None:
        while True:
            allowed = Allowed.of([f"127.0.0.1:{self._port}"])
            web = Web(Fetcher(Gate(allowed)), Hosts())
            try:
                async for page in self._kind.stream(web, self.cursor):
                    self.heard += page.submissions
                    self.told += [error.code for error in page.refused]
                    if page.cursor is not None:
                        self.cursor = json.loads(json.dumps(page.cursor))
            except FetchError as error:
                self.trouble.append(error.code)
            await asyncio.sleep(0.1)

    @property
    def versions(self) -> list[tuple[str, str]]:
        """Of each that was heard: what was done, and to what."""
        return [_version(one) for one in self.heard]


def _version(one: Told) -> tuple[str, str]:
    if isinstance(one, PostSubmission):
        return one.operation, one.native_id
    if isinstance(one, InteractionSubmission):
        return one.kind, one.native_id or ""
    assert isinstance(one, DepartureSubmission)
    return "departure", one.attributed_to.id


@pytest.mark.skipif(not is_installed(), reason="npm ci --prefix tests/peers/pds")
async def test_a_real_server_is_heard_once_through_breaks_and_restarts(tmp_path: Path) -> None:
    async with peer(tmp_path) as server, Cutter(server.port) as cutter:
        listening = Listening(server.firehose.replace(str(server.port), str(cutter.port)))
        await listening.begin()
        await listening.until(lambda: listening.cursor != {})

        ada = await server.join("ada.test")
        first = await server.say(ada, POST, {"text": "De export is stuk", "langs": ["nl"]})
        expected = [("create", first)]
        await listening.until(lambda: listening.versions == expected)

        cutter.cut()
        reply = {"root": _ref(first), "parent": _ref(first)}
        second = await server.say(ada, POST, {"text": "Samma problem", "reply": reply})
        await server.change(ada, first, {"text": "De export is weer heel"})
        expected += [("create", second), ("update", first)]
        await listening.until(lambda: listening.versions == expected)

        await listening.stop()  # ours is down while the server goes on
        like = await server.say(ada, LIKE, {"subject": _ref(first)})
        await server.delete(ada, like)
        await server.delete(ada, second)
        expected += [("like", like), ("delete", second)]
        await listening.begin()
        await listening.until(lambda: listening.versions == expected)

        await server.kill()  # theirs is down while ours goes on
        await asyncio.sleep(0.5)
        await server.start()
        third = await server.say(ada, POST, {"text": "En nu?"})
        expected += [("create", third)]
        await listening.until(lambda: listening.versions == expected)

        await server.remove(ada)
        expected += [("departure", ada)]
        await listening.until(lambda: listening.versions == expected)
        await listening.stop()

        assert cutter.connections >= 3
        answer = listening.heard[1]
        assert isinstance(answer, PostSubmission)
        assert (answer.in_reply_to, answer.context, answer.text) == (first, first, "Samma problem")
        sequences = [one.sequence for one in listening.heard if isinstance(one, PostSubmission)]
        assert sequences == sorted(sequences)  # type: ignore[type-var]
        assert not listening.told


@pytest.mark.skipif(not is_installed(), reason="npm ci --prefix tests/peers/pds")
async def test_a_server_that_was_set_up_anew_is_heard_from_now_on(tmp_path: Path) -> None:
    async with peer(tmp_path) as server:
        listening = Listening(server.firehose)
        listening.cursor = {"url": server.firehose, "seq": 999_999}
        await listening.begin()
        await listening.until(lambda: listening.told != [])
        ada = await server.join("ada.test")
        # It is heard from when it connects again, and nobody can tell from outside when that is.
        uris = [await _said_later(server, ada) for _ in range(4)]
        await listening.until(lambda: ("create", uris[-1]) in listening.versions)
        await listening.stop()
        assert listening.told == ["missed"]


async def _said_later(server: Peer, did: str) -> str:
    await asyncio.sleep(0.2)
    return await server.say(did, POST, {"text": "Hallo"})


def _ref(uri: str) -> dict[str, str]:
    return {"uri": uri, "cid": "bafyreicav7mtsrigsxfhqdclmpjl7iragv74usb3e45csz4proo7hh7c5i"}


def relay_frames() -> list[bytes]:
    """150 frames of the public network, as a relay sent them."""
    unpacked = subprocess.run(["zstd", "-dc", FRAMES], check=True, capture_output=True).stdout
    frames = []
    while unpacked:
        (size,) = struct.unpack_from("<I", unpacked)
        frames.append(unpacked[4 : 4 + size])
        unpacked = unpacked[4 + size :]
    return frames


def as_json(value: Any) -> Any:
    """A record as JSON has it: https://atproto.com/specs/data-model."""
    match value:
        case dict():
            return {name: as_json(part) for name, part in value.items()}
        case list():
            return [as_json(part) for part in value]
        case bytes():
            return {"$link": libipld.encode_cid(value)}
    return value


def jetstream_events(frames: Sequence[bytes]) -> list[dict[str, Any]]:
    """The same events as Jetstream 1 tells them, each with a moment of its own."""
    events: list[dict[str, Any]] = []
    for frame in frames:
        header, body = libipld.decode_dag_cbor_multi(frame)
        kind = header["t"].removeprefix("#")
        if kind != "commit":
            events.append({"did": body["did"], "kind": kind, kind: body})
            continue
        blocks = libipld.decode_car(body["blocks"])[1]
        for op in body["ops"]:
            collection, _, rkey = op["path"].partition("/")
            commit = {"rev": body["rev"], "operation": op["action"]}
            commit |= {"collection": collection, "rkey": rkey}
            if op["cid"] is not None:
                commit["record"] = as_json(blocks[op["cid"]])
            events.append({"did": body["repo"], "kind": "commit", "commit": commit})
    now = int(datetime.now(UTC).timestamp()) * 1_000_000
    return [event | {"time_us": now + 10_000_000 * at} for at, event in enumerate(events)]


def versions_in(frames: Sequence[bytes]) -> set[tuple[str, str]]:
    """What is to be heard of these frames, found without the kind."""
    kinds = {LIKE: "like", "app.bsky.feed.repost": "share", "app.bsky.graph.follow": "follow"}
    found = set()
    for frame in frames:
        header, body = libipld.decode_dag_cbor_multi(frame)
        for op in body["ops"] if header["t"] == "#commit" else ():
            collection = op["path"].partition("/")[0]
            uri = f"at://{body['repo']}/{op['path']}"
            if collection == POST:
                found.add((op["action"], uri))
            elif collection in kinds and op["action"] == "create":
                subject = libipld.decode_car(body["blocks"])[1][op["cid"]]["subject"]
                if isinstance(subject, str) or f"/{POST}/" in subject["uri"]:
                    found.add((kinds[collection], uri))
    return found


@contextlib.asynccontextmanager
async def replaying(
    path: str, messages: Callable[[int | None], list[str | bytes]], break_after: int
) -> AsyncIterator[str]:
    """A server that says what comes after a cursor, and breaks the first connection halfway."""
    connections = 0

    async def say(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        assert connection.request is not None
        asked = urlsplit(connection.request.path)
        assert asked.path == path
        cursor = parse_qs(asked.query).get("cursor")
        for number, message in enumerate(messages(int(cursor[0]) if cursor else None)):
            if connections == 1 and number == break_after:
                connection.transport.abort()
                return
            await connection.send(message)
        await connection.wait_closed()

    spoken = [Subprotocol("xrpc.v1.json")] if "jetstream" in path else None
    async with serve(say, "127.0.0.1", 0, subprotocols=spoken) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}{path}"


def _firehose(frames: list[bytes]) -> Callable[[int | None], list[str | bytes]]:
    numbers = [libipld.decode_dag_cbor_multi(frame)[1]["seq"] for frame in frames]
    return lambda cursor: [
        frame for frame, seq in zip(frames, numbers, strict=True) if cursor is None or seq > cursor
    ]


def _jetstream_1(frames: list[bytes]) -> Callable[[int | None], list[str | bytes]]:
    events = jetstream_events(frames)
    return lambda cursor: [
        json.dumps(event) for event in events if cursor is None or event["time_us"] > cursor
    ]


def _jetstream_2(frames: list[bytes]) -> Callable[[int | None], list[str | bytes]]:
    messages = []
    for seq, event in enumerate(jetstream_events(frames)):
        kind = event["kind"]
        told = event["commit"] if kind == "commit" else {kind: event[kind]}
        name = f"network.bsky.jetstream.subscribeEvents#{kind}"
        payload = {"$type": name, "seq": seq, "did": event["did"], **told}
        payload["time"] = "2026-07-04T14:38:07.517000Z"
        messages.append(json.dumps({"$type": "message", "payload": payload}))
    # A cursor that is a time lies before them all: they are said only now.
    return lambda cursor: list(messages[cursor if cursor and cursor < LEAST_TIME else 0 :])


@pytest.mark.skipif(
    not FRAMES.exists() or shutil.which("zstd") is None,
    reason="../shared/real, or zstd, is not here",
)
async def test_real_events_are_the_same_by_every_wire_and_none_is_lost_in_a_break() -> None:
    frames = relay_frames()
    expected = versions_in(frames)
    assert len(expected) > 130
    wires = {
        "/xrpc/com.atproto.sync.subscribeRepos": _firehose(frames),
        "/subscribe": _jetstream_1(frames),
        "/xrpc/network.bsky.jetstream.subscribeEvents": _jetstream_2(frames),
    }
    heard: dict[str, list[Any]] = {}
    for path, messages in wires.items():
        async with replaying(path, messages, break_after=61) as url:
            listening = Listening(url)
            await listening.begin()
            await listening.until(lambda at=listening: set(at.versions) >= expected)  # type: ignore[misc]
            await listening.stop()
            assert set(listening.versions) == expected
            assert "malformed" not in listening.told
            assert len(listening.trouble) >= 1
            dated = {
                version: one.model_dump(exclude={"published"})
                for version, one in zip(listening.versions, listening.heard, strict=True)
            }
            heard[path] = sorted(dated.items())
            print(f"{path}: {len(listening.heard)} heard, {len(dated)} of them once")
    first, *others = heard.values()
    assert all(one == first for one in others)
