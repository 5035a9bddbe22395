"""An instance of Mastodon: its timelines, its stream, its webhooks."""

import asyncio
import hmac
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar

from conformance.platform import (
    Answered,
    Asked,
    Platform,
    Post,
    PullPlatform,
    PushPlatform,
    StreamPlatform,
)

from klankbord_ingest.kind import Request

HOST = "https://social.example"
ACCOUNT = {
    "id": "7",
    "acct": "ada",
    "username": "ada",
    "display_name": "Ada",
    "bot": False,
    "url": f"{HOST}/@ada",
    "uri": f"{HOST}/users/ada",
}


class Instance(Platform):
    kind = "mastodon"
    secrets: ClassVar[Mapping[str, str]] = {
        "token": "a-token-of-an-application",
        "signature": "a-secret-of-a-webhook",
    }

    def options(self, base: str) -> dict[str, Any]:
        return {"url": base, "domain": "social.example", "webhook": True}

    def native_id(self, id_: str) -> str:
        return f"{HOST}/users/ada/statuses/{id_}"

    def status(self, post: Post) -> dict[str, Any]:
        """https://docs.joinmastodon.org/entities/Status/."""
        return {
            "id": post.id,
            "uri": self.native_id(post.id),
            "url": f"{HOST}/@ada/{post.id}",
            "created_at": post.at.isoformat(),
            "edited_at": post.edited_at and post.edited_at.isoformat(),
            "visibility": "public",
            "content": f"<p>{post.text}</p>",
            "account": ACCOUNT,
            "in_reply_to_id": None,
            "reblog": None,
        }

    def answered(self, path: str, query: Mapping[str, str]) -> Any:
        """What its interface answers."""
        if path == "/api/v2/instance":
            return {"domain": "social.example", "configuration": {"urls": {}}}
        assert path == "/api/v1/timelines/public"
        assert query["local"] == "true"
        standing = [post for post in self.posts.values() if not post.is_deleted]
        limit = int(query["limit"])
        if "min_id" in query:
            later = [post for post in standing if int(post.id) > int(query["min_id"])]
            page = later[:limit][::-1]
        else:
            before = int(query.get("max_id", 10**18))
            page = [post for post in standing if int(post.id) < before][::-1][:limit]
        return [self.status(post) for post in page]


class Timeline(Instance, PullPlatform):
    edits = False
    deletes = False

    def answer(self, asked: Asked) -> Answered:
        assert asked.headers["authorization"] == "Bearer a-token-of-an-application"
        told = self.answered(asked.path, asked.query)
        if self.is_spoiled and told:
            told.append({"id": "1", "visibility": "public"})
        return Answered(json.dumps(told).encode())


class Webhook(Instance, PushPlatform):
    deletes = False

    def said(self, post: Post) -> Request:
        return self._request("status.created", self.status(post))

    def edited(self, post: Post) -> Request:
        return self._request("status.updated", self.status(post))

    def spoiled(self) -> Request:
        return self._request("status.created", {"visibility": "public"})

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        digest = hmac.new(secrets["signature"].encode(), request.body, sha256).hexdigest()
        header = (b"x-hub-signature", f"sha256={digest}".encode())
        return replace(request, headers=[*request.headers, header])

    def _request(self, event: str, about: Any) -> Request:
        body = json.dumps({"event": event, "created_at": "2026-11-22T10:00:00Z", "object": about})
        return Request("POST", "", {}, [(b"content-type", b"application/json")], body.encode())


class Streaming(Instance, StreamPlatform):
    remembers = False

    def __init__(self) -> None:
        super().__init__()
        self._listening: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str, None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        await self.break_off()

    async def tell(self, post: Post) -> None:
        if post.is_deleted:
            await self._send("delete", post.id)
        else:
            name = "status.update" if post.edited_at else "update"
            await self._send(name, json.dumps(self.status(post)))

    async def spoil(self) -> None:
        await self._send("update", '{"id": 5}')
        await self._send("update", "{half")

    async def break_off(self) -> None:
        for writer in self._listening:
            writer.transport.abort()
        self._listening.clear()

    @property
    def is_listened_to(self) -> bool:
        """Whether somebody is connected since connections were broken last."""
        return bool(self._listening)

    async def _send(self, event: str, data: str) -> None:
        for writer in self._listening:
            writer.write(f"event: {event}\ndata: {data}\n\n:thump\n".encode())
            await writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path, _, query = head.split(" ")[1].partition("?")
        assert "authorization: bearer a-token" in head.lower()
        if path.startswith("/api/v1/streaming/"):
            assert path == "/api/v1/streaming/public/local"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n:)\n")
            self._listening.add(writer)
            return
        given = dict(pair.split("=") for pair in query.split("&")) if query else {}
        body = json.dumps(self.answered(path, given)).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()


PLATFORMS = [Timeline, Webhook, Streaming]
