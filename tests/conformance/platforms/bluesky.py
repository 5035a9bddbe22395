"""Servers of the AT Protocol: Jetstream of both kinds, and a firehose."""

import json
from abc import abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import libipld
from conformance.platform import Post, StreamPlatform
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
COLLECTION = "app.bsky.feed.post"
LETTERS = "234567abcdefghijklmnopqrstuvwxyz"
LEAST_TIME = 10**15
"""A cursor of Jetstream 2 that is as large is a time."""
CID = bytes.fromhex("01711220") + bytes(32)


class Network(StreamPlatform):
    """Keeps every event, and tells whoever comes what follows their cursor."""

    kind = "bluesky"
    path: ClassVar[str]
    subprotocol: ClassVar[str | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.begun = int(datetime.now(UTC).timestamp()) * 1_000_000
        self.log: list[str | bytes] = []
        self._connections: set[ServerConnection] = set()

    def options(self, base: str) -> dict[str, Any]:
        return {"url": f"{base}{self.path}", "everything": True, "appview": None}

    def native_id(self, id_: str) -> str:
        return f"at://{DID}/{COLLECTION}/{id_}"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str, None]:
        spoken = [Subprotocol(self.subprotocol)] if self.subprotocol else None
        async with serve(self._serve, "127.0.0.1", 0, subprotocols=spoken) as server:
            yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"

    async def tell(self, post: Post) -> None:
        operation = "update" if post.edited_at else "create"
        await self._add(self.frame(len(self.log), post, "delete" if post.is_deleted else operation))

    async def spoil(self) -> None:
        await self._add(self.frame(len(self.log), Post("x", "", datetime.now(UTC)), "create", {}))
        await self._add(b"\xff" if self.subprotocol is None else "{half")

    async def break_off(self) -> None:
        for connection in self._connections:
            connection.transport.abort()
        self._connections.clear()

    @abstractmethod
    def frame(
        self, number: int, post: Post, operation: str, record: dict[str, Any] | None = None
    ) -> str | bytes:
        """The event of that number."""

    def first_after(self, cursor: int) -> int:
        """The number of the first event that is told to who comes with that cursor."""
        return cursor + 1

    def commit(
        self, number: int, post: Post, operation: str, record: dict[str, Any] | None
    ) -> dict[str, Any]:
        told = {"operation": operation, "collection": COLLECTION, "rkey": post.id}
        told["rev"] = revision(self.begun + number)
        written = {"$type": COLLECTION, "text": post.text, "createdAt": "1999-01-01T00:00:00Z"}
        return told if operation == "delete" else told | {"record": record or written}

    async def _add(self, frame: str | bytes) -> None:
        self.log.append(frame)
        for connection in self._connections:
            await connection.send(frame)

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        asked = urlsplit(connection.request.path)
        assert asked.path == self.path
        cursor = parse_qs(asked.query).get("cursor")
        for frame in self.log[self.first_after(int(cursor[0])) :] if cursor else ():
            await connection.send(frame)
        self._connections.add(connection)
        await connection.wait_closed()


class Jetstream1(Network):
    path = "/subscribe"

    def first_after(self, cursor: int) -> int:
        return max(cursor - self.begun, -1) + 1

    def frame(
        self, number: int, post: Post, operation: str, record: dict[str, Any] | None = None
    ) -> str | bytes:
        commit = self.commit(number, post, operation, {"text": 5} if record == {} else record)
        event = {"did": DID, "time_us": self.begun + number, "kind": "commit", "commit": commit}
        return json.dumps(event)


class Jetstream2(Network):
    path = "/xrpc/network.bsky.jetstream.subscribeEvents"
    subprotocol = "xrpc.v1.json"

    def first_after(self, cursor: int) -> int:
        return cursor if cursor < LEAST_TIME else 0

    def frame(
        self, number: int, post: Post, operation: str, record: dict[str, Any] | None = None
    ) -> str | bytes:
        commit = self.commit(number, post, operation, {"text": 5} if record == {} else record)
        payload = {"$type": "network.bsky.jetstream.subscribeEvents#commit", "seq": number}
        payload |= {"did": DID, "time": datetime.now(UTC).isoformat(), **commit}
        return json.dumps({"$type": "message", "payload": payload})


class Firehose(Network):
    path = "/xrpc/com.atproto.sync.subscribeRepos"

    def frame(
        self, number: int, post: Post, operation: str, record: dict[str, Any] | None = None
    ) -> str | bytes:
        commit = self.commit(number, post, operation, record)
        has_record = "record" in commit and record != {}
        op = {"action": operation, "path": f"{COLLECTION}/{post.id}"}
        body = {
            "seq": number,
            "repo": DID,
            "rev": commit["rev"],
            "time": datetime.now(UTC).isoformat(),
            "ops": [op | {"cid": CID if has_record else None}],
            "blocks": car(commit["record"]) if has_record else b"",
        }
        header = libipld.encode_dag_cbor({"op": 1, "t": "#commit"})
        return header + libipld.encode_dag_cbor(body)


def revision(number: int) -> str:
    """A number as the AT Protocol writes revisions: https://atproto.com/specs/tid."""
    return "".join(LETTERS[(number << 10) >> 5 * place & 31] for place in range(12, -1, -1))


def car(record: dict[str, Any]) -> bytes:
    """A CAR file of one block: https://ipld.io/specs/transport/car/carv1/."""
    block = CID + libipld.encode_dag_cbor(record)
    header = libipld.encode_dag_cbor({"version": 1, "roots": [CID]})
    return varint(len(header)) + header + varint(len(block)) + block


def varint(number: int) -> bytes:
    """LEB128, without a sign."""
    low, rest = number & 127, number >> 7
    return bytes([low]) if not rest else bytes([low | 128]) + varint(rest)


PLATFORMS = [Jetstream1, Jetstream2, Firehose]
