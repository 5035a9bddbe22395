"""A Telegram group with a bot: it is sent updates, or asks for them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, Platform, Post, PullPlatform, PushPlatform

from klankbord_ingest.kind import Request

CHAT = -1001234567890
TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


class Group(Platform):
    kind = "telegram"
    deletes = False  # Telegram tells bots of none

    def native_id(self, id_: str) -> str:
        return f"{CHAT}:{id_}"

    def message(self, post: Post) -> dict[str, Any]:
        message = {
            "message_id": int(post.id),
            "chat": {"id": CHAT, "type": "supergroup", "title": "Users"},
            "from": {"id": 42, "is_bot": False, "first_name": "Anna"},
            "date": int(post.at.timestamp()),
            "text": post.text,
        }
        if post.edited_at is not None:
            message["edit_date"] = int(post.edited_at.timestamp())
        return message


class Webhook(Group, PushPlatform):
    signs_body = False
    secrets: ClassVar[Mapping[str, str]] = {"signature": "a_secret-token-of-32-characters-"}

    def options(self, base: str) -> dict[str, Any]:
        return {"updates": "webhook"}

    def said(self, post: Post) -> Request:
        return self._request({"message": self.message(post)}, int(post.id))

    def edited(self, post: Post) -> Request:
        return self._request({"edited_message": self.message(post)}, 1_000_000 + int(post.id))

    def spoiled(self) -> Request:
        return self._request({"message": {"text": "Hello", "chat": {"type": "supergroup"}}}, 7)

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        given = (b"x-telegram-bot-api-secret-token", secrets["signature"].encode())
        return replace(request, headers=[*request.headers, given])

    def _request(self, update: dict[str, Any], number: int) -> Request:
        body = json.dumps({"update_id": number} | update).encode()
        return Request("POST", "", {}, [(b"content-type", b"application/json")], body)


class Updates(Group, PullPlatform):
    hears_history = False
    secrets: ClassVar[Mapping[str, str]] = {"token": TOKEN}

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[dict[str, Any]] = []

    def options(self, base: str) -> dict[str, Any]:
        return {"updates": "polling", "wait": "1s", "api": base}

    def say(self, id_: str, text: str) -> Post:
        post = super().say(id_, text)
        if self.is_spoiled:
            self._tell(message={"text": "Hello", "chat": {"type": "supergroup"}})
        self._tell(message=self.message(post))
        return post

    def edit(self, id_: str, text: str) -> Post:
        post = super().edit(id_, text)
        self._tell(edited_message=self.message(post))
        return post

    def _tell(self, **update: Any) -> None:
        number = self.updates[-1]["update_id"] + 1 if self.updates else 5000
        self.updates.append({"update_id": number} | update)

    def answer(self, asked: Asked) -> Answered:
        """What is below `offset` is confirmed, and gone; Telegram forgets none of the others."""
        assert asked.path == f"/bot{TOKEN}/getUpdates"
        offset = int(asked.query.get("offset", "0"))
        waiting = [one for one in self.updates if one["update_id"] >= offset]
        result = waiting[: int(asked.query["limit"])]
        return Answered(json.dumps({"ok": True, "result": result}).encode())


PLATFORMS = [Webhook, Updates]
