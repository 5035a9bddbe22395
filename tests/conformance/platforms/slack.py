"""A Slack workspace: its Events API, and its Web API."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, Platform, Post, PullPlatform, PushPlatform

from klankbord_ingest.kind import Request

CHANNEL = "C024BE91L"
SECRETS = {"signature": "8f742231b10e8888abcd99yyyzzz85a5", "token": "xoxb-1234-5678-abcdef"}


class Workspace(Platform):
    kind = "slack"
    secrets: ClassVar[Mapping[str, str]] = SECRETS

    def options(self, base: str) -> dict[str, Any]:
        return {"team": "T024BE7LD", "channels": {CHANNEL: "general"}, "api": f"{base}/api"}

    def native_id(self, id_: str) -> str:
        return f"{CHANNEL}:{self.ts(self.posts[id_])}"

    def ts(self, post: Post) -> str:
        return f"{int(post.at.timestamp())}.{int(post.id):06d}"

    def message(self, post: Post) -> dict[str, Any]:
        message = {"type": "message", "user": "U1", "text": post.text, "ts": self.ts(post)}
        if post.edited_at is None:
            return message
        edited_at = f"{int(post.edited_at.timestamp())}.000000"
        return message | {"edited": {"user": "U1", "ts": edited_at}}


class Events(Workspace, PushPlatform):
    signs_time = True

    def said(self, post: Post) -> Request:
        return self._request(self.message(post), f"Ev{post.id}")

    def edited(self, post: Post) -> Request:
        before = self.message(replace(post, text="Hello", edited_at=None))
        event = {"subtype": "message_changed", "hidden": True, "ts": f"{self.ts(post)[:-1]}9"}
        event |= {"message": self.message(post), "previous_message": before}
        return self._request(event, f"Ev{post.id}e")

    def deleted(self, post: Post) -> Request:
        event = {
            "subtype": "message_deleted",
            "deleted_ts": self.ts(post),
            "previous_message": self.message(post),
        }
        return self._request(event, f"Ev{post.id}d")

    def spoiled(self) -> Request:
        return self._request({"user": "U1", "text": "Hello", "ts": "yesterday"}, "Ev0")

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        stamp = str(int(at.timestamp())).encode()
        signed = b"v0:%s:%s" % (stamp, request.body)
        digest = hmac.digest(secrets["signature"].encode(), signed, "sha256").hex()
        given = [
            (b"x-slack-request-timestamp", stamp),
            (b"x-slack-signature", f"v0={digest}".encode()),
        ]
        return replace(request, headers=[*request.headers, *given])

    def _request(self, event: dict[str, Any], event_id: str) -> Request:
        document = {
            "type": "event_callback",
            "team_id": "T024BE7LD",
            "event_id": event_id,
            "event_time": 1763805600,
            "event": {"type": "message", "channel": CHANNEL, "channel_type": "channel"} | event,
        }
        headers = [(b"content-type", b"application/json")]
        return Request("POST", "", {}, headers, json.dumps(document).encode())


class History(Workspace, PullPlatform):
    deletes = False  # a history does not show what is gone

    def answer(self, asked: Asked) -> Answered:
        assert asked.headers["authorization"] == f"Bearer {SECRETS['token']}"
        if asked.path == "/api/users.info":
            user = {"id": asked.query["user"], "name": "anna", "profile": {"real_name": "Anna"}}
            return _json({"ok": True, "user": user})
        assert asked.path == "/api/conversations.history"
        since, limit = asked.query.get("oldest", ""), int(asked.query["limit"])
        messages = [self.message(post) for post in self.posts.values()]
        if self.is_spoiled:
            messages.append({"type": "message", "user": "U1", "text": "Hello", "ts": "yesterday"})
        later = [message for message in messages if message["ts"] > since][::-1]
        start = int(asked.query.get("cursor", "0"))
        following = str(start + limit) if start + limit < len(later) else ""
        return _json(
            {
                "ok": True,
                "messages": later[start : start + limit],
                "has_more": bool(following),
                "response_metadata": {"next_cursor": following},
            }
        )


def _json(document: Any) -> Answered:
    return Answered(json.dumps(document).encode())


PLATFORMS = [Events, History]
