"""A real Matrix homeserver for tests: Synapse out of `.tools/peers`, on the loopback.

`make .tools/peers/.ready` builds that environment from `requirements-peers.lock`.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from klankbord_standalone.child import free_port

PEERS = Path(__file__).parents[1] / ".tools" / "peers" / "bin" / "python"
WHY_NOT = "there is no .tools/peers here: make .tools/peers/.ready"
SERVER_NAME = "comm.test"
REGISTRATION_SECRET = "only-for-tests"
AS_TOKEN, HS_TOKEN = "as-0123456789abcdef", "hs-0123456789abcdef"
PATIENCE = 60.0
NO_LIMIT = {"per_second": 10_000, "burst_count": 10_000}


class RefusedError(Exception):
    """The homeserver did not do what it was asked."""


@dataclass
class Synapse:
    """One homeserver, which may be killed and started again."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process | None = None
    members: "dict[str, Member]" = field(default_factory=dict)
    """Those who were registered, by their names."""
    client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=30))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it; back when it answers."""
        with (self.folder / "output").open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                str(PEERS),
                "-m",
                "synapse.app.homeserver",
                "-c",
                str(self.folder / "homeserver.json"),
                cwd=self.folder,
                stdout=output,
                stderr=output,
            )
        async with asyncio.timeout(PATIENCE):
            while not await self._answers():
                assert self.process.returncode is None, (self.folder / "output").read_text()
                await asyncio.sleep(0.1)

    async def _answers(self) -> bool:
        try:
            return (await self.client.get(f"{self.url}/_matrix/client/versions")).is_success
        except httpx.TransportError:
            return False

    async def kill(self) -> None:
        """As a machine that loses its power does."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    def waiting(self) -> set[str]:
        """The events that it keeps on disk until the application service takes them.

        It moves on as soon as it has them in memory: what it has there alone when it is killed is
        never sent.
        """
        with closing(sqlite3.connect(f"file:{self.folder}/homeserver.db?mode=ro", uri=True)) as own:
            rows = own.execute("select event_ids from application_services_txns").fetchall()
        return {event for (ids,) in rows for event in json.loads(ids)}

    async def call(
        self, method: str, path: str, token: str = "", document: Any = None
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = {} if document is None and method != "GET" else document
        response = await self.client.request(
            method, f"{self.url}{path}", headers=headers, json=body
        )
        if response.is_error:
            raise RefusedError(f"{method} {path}: {response.status_code} {response.text}")
        answer: dict[str, Any] = response.json()
        return answer

    async def register(self, name: str) -> "Member":
        """A new account: https://element-hq.github.io/synapse/latest/admin_api/register_api.html."""
        path = "/_synapse/admin/v1/register"
        nonce = (await self.call("GET", path))["nonce"]
        signed = "\0".join((nonce, name, "password", "notadmin")).encode()
        mac = hmac.new(REGISTRATION_SECRET.encode(), signed, hashlib.sha1).hexdigest()
        account = {"nonce": nonce, "username": name, "password": "password", "mac": mac}
        made = await self.call("POST", path, document=account)
        return Member(self, made["user_id"], made["access_token"])


@dataclass(frozen=True)
class Member:
    """Someone who talks."""

    synapse: Synapse
    id: str
    token: str

    async def call(self, method: str, path: str, document: Any = None) -> dict[str, Any]:
        return await self.synapse.call(method, f"/_matrix/client/v3{path}", self.token, document)

    async def room(self, **options: Any) -> str:
        """A new room that anyone may join."""
        made = await self.call("POST", "/createRoom", {"preset": "public_chat", **options})
        return str(made["room_id"])

    async def join(self, room: str) -> None:
        await self.call("POST", f"/join/{quote(room)}")

    async def leave(self, room: str) -> None:
        await self.call("POST", f"/rooms/{quote(room)}/leave")

    async def send(self, room: str, content: Any, kind: str = "m.room.message") -> str:
        path = f"/rooms/{quote(room)}/send/{kind}/{uuid4().hex}"
        return str((await self.call("PUT", path, content))["event_id"])

    async def say(self, room: str, body: str, **more: Any) -> str:
        return await self.send(room, {"msgtype": "m.text", "body": body, **more})

    async def edit(self, room: str, event: str, body: str) -> str:
        new = {"msgtype": "m.text", "body": body}
        relation = {"rel_type": "m.replace", "event_id": event}
        return await self.say(room, f"* {body}", **{"m.new_content": new, "m.relates_to": relation})

    async def react(self, room: str, event: str, key: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": event, "key": key}
        return await self.send(room, {"m.relates_to": relation}, "m.reaction")

    async def redact(self, room: str, event: str) -> str:
        path = f"/rooms/{quote(room)}/redact/{quote(event)}/{uuid4().hex}"
        return str((await self.call("PUT", path, {"reason": "spam"}))["event_id"])


@asynccontextmanager
async def running(folder: Path, push_to: str) -> AsyncIterator[Synapse]:
    """A homeserver of its own that sends what is said in every room to an application service.

    Args:
        folder: where it keeps its files.
        push_to: the address of the application service.
    """
    synapse = Synapse(folder, free_port())
    service = {
        "id": "klankbord",
        "url": push_to,
        "as_token": AS_TOKEN,
        "hs_token": HS_TOKEN,
        "sender_localpart": "klankbord",
        "rate_limited": False,
        "namespaces": {
            "users": [],
            "aliases": [],
            "rooms": [{"exclusive": False, "regex": "!.*"}],
        },
    }
    listener = {
        "port": synapse.port,
        "bind_addresses": ["127.0.0.1"],
        "type": "http",
        "tls": False,
        "resources": [{"names": ["client"]}],
    }
    settings = {
        "server_name": SERVER_NAME,
        "pid_file": str(folder / "pid"),
        "listeners": [listener],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "log_config": str(folder / "log.json"),
        "registration_shared_secret": REGISTRATION_SECRET,
        "macaroon_secret_key": "only-for-tests",
        "form_secret": "only-for-tests",
        "bcrypt_rounds": 4,
        "report_stats": False,
        "trusted_key_servers": [],
        "app_service_config_files": [str(folder / "service.json")],
        **dict.fromkeys(("rc_message", "rc_registration", "rc_room_creation"), NO_LIMIT),
        "rc_joins": {"local": NO_LIMIT, "remote": NO_LIMIT},
        "rc_invites": {"per_room": NO_LIMIT, "per_user": NO_LIMIT, "per_issuer": NO_LIMIT},
    }
    log = {
        "version": 1,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(folder / "log")}},
        "root": {"level": "INFO", "handlers": ["file"]},
    }
    seed = base64.b64encode(b"only for tests: no real secret 32").decode()[:43]
    (folder / "signing.key").write_text(f"ed25519 a_test {seed}\n")
    # YAML holds JSON
    for name, document in (("homeserver", settings), ("service", service), ("log", log)):
        (folder / f"{name}.json").write_text(json.dumps(document))
    try:
        await synapse.start()
        yield synapse
    finally:
        await synapse.kill()
        await synapse.client.aclose()
