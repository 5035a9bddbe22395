"""A Discord server: its gateway, and its REST interface."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, Platform, Post, PullPlatform, StreamPlatform
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

GUILD, CHANNEL = "244567637332328449", "244567637332328450"
TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"
FIRST_MOMENT = 1_420_070_400_000


class Server(Platform):
    kind = "discord"
    secrets: ClassVar[Mapping[str, str]] = {"token": TOKEN}

    def options(self, base: str) -> dict[str, Any]:
        return {"guild": GUILD, "api": f"{base}/api/v10"}

    def native_id(self, id_: str) -> str:
        milliseconds = int(self.posts[id_].at.timestamp() * 1000) - FIRST_MOMENT
        return str((milliseconds << 22) + int(id_))

    def message(self, post: Post) -> dict[str, Any]:
        edited = post.edited_at and post.edited_at.isoformat()
        return {
            "id": self.native_id(post.id),
            "channel_id": CHANNEL,
            "author": {"id": "114941315417899012", "username": "anna"},
            "content": post.text,
            "timestamp": post.at.isoformat(),
            "edited_timestamp": edited,
            "type": 0,
        }

    def asked(self, path: str, query: Mapping[str, str]) -> Any:
        """What REST answers."""
        there = [post for post in self.posts.values() if not post.is_deleted]
        if path == f"/api/v10/guilds/{GUILD}/channels":
            last = self.native_id(there[-1].id) if there else None
            return [{"id": CHANNEL, "type": 0, "name": "general", "last_message_id": last}]
        if path == f"/api/v10/guilds/{GUILD}/threads/active":
            return {"threads": []}
        if path == f"/api/v10/channels/{CHANNEL}/threads/archived/public":
            return {"threads": [], "has_more": False}
        assert path == f"/api/v10/channels/{CHANNEL}/messages"
        limit, after = int(query["limit"]), int(query.get("after", "0"))
        messages = [self.message(post) for post in there]
        later = [message for message in messages if int(message["id"]) > after]
        page = later[:limit] if "after" in query else later[-limit:]
        return page[::-1]


class Rest(Server, PullPlatform):
    edits = False  # messages are asked for once; edits and deletes are the gateway's to tell
    deletes = False

    def answer(self, asked: Asked) -> Answered:
        assert asked.headers["authorization"] == f"Bot {TOKEN}"
        document = self.asked(asked.path, asked.query)
        if self.is_spoiled and asked.path.endswith("/messages"):
            document = [{"id": "yesterday", "channel_id": CHANNEL, "type": 0}, *document]
        return Answered(json.dumps(document).encode())


class Gateway(Server, StreamPlatform):
    def __init__(self) -> None:
        super().__init__()
        self.frames: list[dict[str, Any]] = []
        self.sockets: set[ServerConnection] = set()
        self.base = ""
        self.session = ""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str, None]:
        async with serve(self._speak, "127.0.0.1", 0, process_request=self._rest) as server:
            self.base = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield f"http://{self.base}"

    async def _rest(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if not path.startswith("/api/"):
            return None
        url = f"ws://{self.base}"
        document = {"url": url} if path.endswith("/gateway/bot") else self.asked(path, {})
        response = connection.respond(200, json.dumps(document))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    async def _speak(self, socket: ServerConnection) -> None:
        await socket.send(json.dumps({"op": 10, "d": {"heartbeat_interval": 41250}}))
        with suppress(ConnectionClosed):
            async for raw in socket:
                await self._hear(socket, json.loads(raw))
        self.sockets.discard(socket)
        if socket.close_code in {1000, 1001}:
            self.session = ""  # whoever leaves for good is not told what came after

    async def _hear(self, socket: ServerConnection, frame: Any) -> None:
        match frame["op"]:
            case 1:
                await socket.send('{"op": 11}')
            case 2:
                self.session = f"s-{len(self.frames)}"
                ready = {"session_id": self.session, "resume_gateway_url": f"ws://{self.base}"}
                self._note("READY", ready)
                await socket.send(json.dumps(self.frames[-1]))
                self.sockets.add(socket)
            case 6 if frame["d"]["session_id"] != self.session:
                await socket.send('{"op": 9, "d": false}')
            case 6:
                assert frame["d"]["token"] == TOKEN
                for missed in self.frames[frame["d"]["seq"] :]:
                    await socket.send(json.dumps(missed))
                await socket.send(json.dumps(self._note("RESUMED", {})))
                self.sockets.add(socket)

    def _note(self, event: str, data: Any) -> dict[str, Any]:
        self.frames.append({"op": 0, "t": event, "s": len(self.frames) + 1, "d": data})
        return self.frames[-1]

    async def tell(self, post: Post) -> None:
        message = self.message(post) | {"guild_id": GUILD}
        if post.is_deleted:
            named = {name: message[name] for name in ("id", "channel_id", "guild_id")}
            await self._dispatch("MESSAGE_DELETE", named)
        else:
            await self._dispatch("MESSAGE_UPDATE" if post.edited_at else "MESSAGE_CREATE", message)

    async def spoil(self) -> None:
        await self._dispatch("MESSAGE_CREATE", {"guild_id": GUILD, "channel_id": CHANNEL})

    async def _dispatch(self, event: str, data: Any) -> None:
        frame = json.dumps(self._note(event, data))
        for socket in list(self.sockets):
            with suppress(ConnectionClosed):
                await socket.send(frame)

    async def break_off(self) -> None:
        for socket in self.sockets:
            socket.transport.abort()
        self.sockets.clear()


PLATFORMS = [Gateway, Rest]
