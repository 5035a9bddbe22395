"""A GitHub, with a repository in which people comment, and one in which they discuss."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar

from conformance.platform import Answered, Asked, Platform, Post, PullPlatform, PushPlatform

from klankbord_ingest.kind import Request

REPOSITORY = 55


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Hub(Platform):
    """What both ways share: how a comment is written down."""

    kind = "github"
    secrets: ClassVar[Mapping[str, str]] = {
        "signature": "a secret of 24 letters..",
        "token": "github_pat_of_a_reader",
    }

    def options(self, base: str) -> dict[str, Any]:
        return {"url": base, "repositories": ["acme/tool"]}

    def native_id(self, id_: str) -> str:
        return f"issue_comment/{id_}"

    def document(self, post: Post) -> dict[str, Any]:
        return {
            "id": int(post.id),
            "issue_url": "https://api.github.com/repos/acme/tool/issues/1",
            "html_url": f"https://github.com/acme/tool/issues/1#issuecomment-{post.id}",
            "body": post.text,
            "user": {"login": "anna", "id": 7, "type": "User"},
            "author_association": "NONE",
            "created_at": stamp(post.at),
            "updated_at": stamp(post.edited_at or post.at),
        }


class HubThatTells(Hub, PushPlatform):
    def said(self, post: Post) -> Request:
        return self._request("created", self.document(post))

    def edited(self, post: Post) -> Request:
        return self._request("edited", self.document(post))

    def deleted(self, post: Post) -> Request:
        return self._request("deleted", self.document(post))

    def spoiled(self) -> Request:
        return self._request("created", {"id": 3})

    def signed(self, request: Request, secrets: Mapping[str, str], at: datetime) -> Request:
        digest = hmac.digest(secrets["signature"].encode(), request.body, "sha256").hex()
        signature = (b"x-hub-signature-256", f"sha256={digest}".encode())
        return replace(request, headers=[*request.headers, signature])

    def _request(self, action: str, comment: dict[str, Any]) -> Request:
        document = {
            "action": action,
            "comment": comment,
            "issue": {"number": 1},
            "repository": {"id": REPOSITORY, "full_name": "acme/tool"},
        }
        headers = [
            (b"content-type", b"application/json"),
            (b"x-github-event", b"issue_comment"),
            (b"x-github-delivery", b"72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ]
        return Request("POST", "", {}, headers, json.dumps(document).encode())


class HubThatIsAsked(Hub, PullPlatform):
    deletes = False

    def answer(self, asked: Asked) -> Answered:
        assert asked.headers["authorization"] == f"Bearer {self.secrets['token']}"
        if asked.path == "/api/v3/repos/acme/tool":
            about = {"id": REPOSITORY, "has_issues": True, "has_discussions": False}
            return Answered(json.dumps(about).encode())
        if asked.path != "/api/v3/repos/acme/tool/issues/comments":
            return Answered(b"[]")
        return self._listed(asked)

    def _listed(self, asked: Asked) -> Answered:
        is_desc = asked.query["direction"] == "desc"
        since = asked.query.get("since", "")
        found = [self.document(post) for post in self.posts.values() if not post.is_deleted]
        found = [comment for comment in found if comment["updated_at"] >= since]
        found.sort(key=lambda comment: str(comment["updated_at"]), reverse=is_desc)
        size, page = int(asked.query["per_page"]), int(asked.query["page"])
        shown = found[size * (page - 1) : size * page]
        if self.is_spoiled:
            shown.append({"id": 3})
        body = json.dumps(shown).encode()
        etag = f'W/"{sha256(body).hexdigest()}"'
        if asked.headers.get("if-none-match") == etag:
            return Answered(status=304)
        return Answered(body, headers={"Content-Type": "application/json", "ETag": etag})


class HubOfDiscussions(Hub, PullPlatform):
    """Asked with GraphQL, whose questions are posted."""

    deletes = False
    follows = False

    def native_id(self, id_: str) -> str:
        return f"{REPOSITORY}#{id_}"

    def answer(self, asked: Asked) -> Answered:
        if asked.path == "/api/v3/repos/acme/tool":
            about = {"id": REPOSITORY, "has_issues": False, "has_discussions": True}
            return Answered(json.dumps(about).encode())
        if asked.path != "/api/graphql":
            return Answered(b"[]")
        given = json.loads(asked.body)["variables"]
        nodes = [self.node(post) for post in self.posts.values() if not post.is_deleted]
        nodes.sort(key=lambda node: str(node["updatedAt"]), reverse=True)
        if self.is_spoiled:
            nodes.insert(0, {"number": 1, "updatedAt": "2026-01-01T00:00:00Z"})
        start = int(given["after"] or 0)
        end = start + given["first"]
        info = {"hasNextPage": end < len(nodes), "endCursor": str(end)}
        listed = {"pageInfo": info, "nodes": nodes[start:end]}
        document = {"data": {"repository": {"discussions": listed}}}
        return Answered(json.dumps(document).encode())

    def node(self, post: Post) -> dict[str, Any]:
        return {
            "number": int(post.id),
            "title": "How?",
            "body": post.text,
            "createdAt": stamp(post.at),
            "updatedAt": stamp(post.edited_at or post.at),
            "lastEditedAt": post.edited_at and stamp(post.edited_at),
            "author": {"__typename": "User", "login": "anna", "databaseId": 7},
            "comments": {"nodes": []},
        }


PLATFORMS = [HubThatTells, HubThatIsAsked, HubOfDiscussions]
