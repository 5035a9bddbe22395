"""A Matrix homeserver with one room: it pushes, or is asked with a long poll."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from conformance.platform import Platform, Post, PushPlatform, StreamPlatform

from klankbord_ingest.kind import Request

ROOM = "!room:comm.test"
HS_TOKEN, TOKEN = "hs-0123456789abcdef", "token-of-a-member"
SPOILED = {"event_id": "$bad", "type": "m.room.message", "content": "no content", "room_id": ROOM}


def event(post: Post, **more: Any) -> dict[str, Any]:
    at = post.edited_at or post.at
    common = {"room_id": ROOM, "sender": "@ann:comm.test", "type": "m.room.message"}
    stamp = {"origin_server_ts": int(at.timestamp() * 1000)}
    return {"event_id": f"${post.id}", **common, **stamp, "content": words(post), **more}


def words(post: Post) -> dict[str, Any]:
    return {"msgtype": "m.text", "body": post.text}


def edit_of(post: Post) -> dict[str, Any]:
    relation = {"rel_type": "m.replace", "event_id": f"${post.id}"}
    content = {**words(post), "m.new_content": words(post), "m.relates_to": relation}
    return event(post, event_id=f"${post.id}-edit", content=content)


def redaction_of(post: Post) -> dict[str, Any]:
    content = {"redacts": f"${post.id}"}
    return event(post, event_id=f"${post.id}-gone", type="m.room.redaction", content=content)


class _Homeserver(Platform):
    kind = "matrix"

    def native_id(self, id_: str) -> str:
        return f"${id_}"


class PushingHomeserver(_Homeserver, PushPlatform):
    signs_body = False  # it shows the hs_token
    secrets: ClassVar[Mapping[str, str]] = {"signature": HS_TOKEN}

    def options(self, base: str) -> dict[str, Any]:
        return {"rooms": [ROOM]}

    def said(self, post: Post) -> Request:
        return self._transaction(event(post))

    def edited(self, post: Post) -> Request:
        return self._transaction(edit_of(post))

    def deleted(self, post: Post) -> Request:
        return self._transaction(redaction_of(post))

    def spoiled(self) -> Request:
        return self._transaction(SPOILED)

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        token = (b"authorization", f"Bearer {secrets['signature']}".encode())
        return replace(request, headers=[*request.headers, token])

    def _transaction(self, *events: Any) -> Request:
        body = json.dumps({"events": events}).encode()
        path = f"/_matrix/app/v1/transactions/{len(self.posts)}"
        return Request("PUT", path, {}, [(b"content-type", b"application/json")], body)


class AskedHomeserver(_Homeserver, StreamPlatform):
    secrets: ClassVar[Mapping[str, str]] = {"token": TOKEN}

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.changed = asyncio.Condition()
        self.polls: set[asyncio.StreamWriter] = set()
        """Those who wait for something to be said."""

    def options(self, base: str) -> dict[str, Any]:
        return {"rooms": [ROOM], "listen": "sync", "homeserver": base}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str, None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            yield f"http://127.0.0.1:{port}"

    async def tell(self, post: Post) -> None:
        if post.is_deleted:
            await self._append(redaction_of(post))
        elif post.edited_at:
            await self._append(edit_of(post))
        else:
            await self._append(event(post))

    async def spoil(self) -> None:
        await self._append(SPOILED)

    async def break_off(self) -> None:
        while not self.polls:
            await asyncio.sleep(0.01)
        for writer in self.polls:
            writer.close()

    async def _append(self, said: Any) -> None:
        async with self.changed:
            self.events.append(said)
            self.changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = urlsplit(head.split(" ")[1])
            assert f"Bearer {TOKEN}" in head
            query = {name: values[0] for name, values in parse_qs(target.query).items()}
            if target.path.endswith("/joined_rooms"):
                answer: Any = {"joined_rooms": [ROOM]}
            else:
                answer = await self._synced(query, writer)
            body = json.dumps(answer).encode()
            lines = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
            writer.write(f"HTTP/1.1 200 OK\r\n{lines}\r\nConnection: close\r\n\r\n".encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # whoever asked is gone
        finally:
            writer.close()

    async def _synced(self, query: dict[str, str], writer: asyncio.StreamWriter) -> Any:
        """The events since a token, which is how many there were; waits for some, if it may."""
        since = int(query.get("since", "0"))
        if query.get("timeout", "0") != "0":
            self.polls.add(writer)
            async with self.changed:
                await self.changed.wait_for(lambda: len(self.events) > since or writer.is_closing())
            self.polls.discard(writer)
        new = [
            {name: value for name, value in one.items() if name != "room_id"}
            for one in self.events[since:]
        ]
        joined = {ROOM: {"timeline": {"events": new, "limited": False}}} if new else {}
        return {"next_batch": str(len(self.events)), "rooms": {"join": joined}}


PLATFORMS = [PushingHomeserver, AskedHomeserver]
