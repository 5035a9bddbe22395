"""A Zulip organisation: its event queue."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, Post, StreamPlatform
from conformance.server import serving

CHANNEL = 5


class Organisation(StreamPlatform):
    kind = "zulip"
    secrets: ClassVar[Mapping[str, str]] = {"token": "gjA04ZYcqXKalvYMA8OeXSfzUOLrtbZv"}

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.is_broken = False
        self._happened = asyncio.Event()

    def options(self, base: str) -> dict[str, Any]:
        return {"site": base, "bot": "klankbord-bot@chat.example.org"}

    def native_id(self, id_: str) -> str:
        return id_

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str, None]:
        async with serving(self._answer) as server:
            yield server.base

    async def _answer(self, asked: Asked) -> Answered:
        path = asked.path.removeprefix("/api/v1/")
        if path == "streams":
            self.is_broken = False  # whoever comes back begins with it
            return _json({"streams": [{"stream_id": CHANNEL, "invite_only": False}]})
        if path == "register":
            newest = max(map(int, self.posts), default=-1)
            return _json({"queue_id": "q1", "last_event_id": -1, "max_message_id": newest})
        if path == "events":
            return await self._poll(int(asked.query["last_event_id"]))
        if path == "messages":
            later = [one for one in self.posts.values() if int(one.id) > int(asked.query["anchor"])]
            messages = [self._message(one) for one in later if not one.is_deleted]
            return _json({"messages": messages, "found_newest": True})
        return _json({"message": self._message(self.posts[path.removeprefix("messages/")])})

    async def _poll(self, last: int) -> Answered:
        """Events after the last one, once there are some."""
        while not self.is_broken:
            self._happened.clear()
            if later := [event for event in self.events if event["id"] > last]:
                return _json({"events": later})
            await self._happened.wait()
        return Answered(status=503)

    async def tell(self, post: Post) -> None:
        if post.is_deleted:
            event = {"type": "delete_message", "message_type": "stream", "stream_id": CHANNEL}
            self._tell(event | {"message_ids": [int(post.id)]})
        elif post.edited_at is not None:
            event = {"type": "update_message", "stream_id": CHANNEL, "content": post.text}
            self._tell(event | {"message_id": int(post.id), "message_ids": [int(post.id)]})
        else:
            self._tell({"type": "message", "message": self._message(post)})

    async def spoil(self) -> None:
        self._tell({"type": "message", "message": {"type": "stream", "stream_id": CHANNEL}})

    async def break_off(self) -> None:
        self.is_broken = True
        self._happened.set()

    def _tell(self, event: dict[str, Any]) -> None:
        self.events.append({"id": len(self.events)} | event)
        self._happened.set()

    @staticmethod
    def _message(post: Post) -> dict[str, Any]:
        message = {
            "id": int(post.id),
            "type": "stream",
            "stream_id": CHANNEL,
            "subject": "Hello",
            "content": f"<p>{post.text}</p>",
            "timestamp": int(post.at.timestamp()),
            "sender_id": 42,
            "sender_full_name": "Anna",
            "sender_email": "anna@chat.example.org",
        }
        if post.edited_at is not None:
            message["last_edit_timestamp"] = int(post.edited_at.timestamp())
        return message


def _json(document: Any) -> Answered:
    return Answered(json.dumps(document).encode())


PLATFORMS = [Organisation]
