"""Bluesky's own server and its directory of identities, started from npm's packages.

`npm ci --prefix tests/peers/pds` installs them. The server listens on every address of the machine
for as long as a test runs.
"""

import asyncio
import contextlib
import shutil
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent / "pds"
READY_SECONDS = 60.0


def is_installed() -> bool:
    """Whether Node.js and the packages are here."""
    return shutil.which("node") is not None and (HERE / "node_modules" / "@atproto").exists()


class Peer:
    """One server of the AT Protocol, and accounts on it."""

    def __init__(self, folder: Path) -> None:
        self.port, self._directory_port = _free_port(), _free_port()
        self._folder = folder
        self._server: Process | None = None
        self._directory: Process | None = None
        self._tokens: dict[str, str] = {}

    @property
    def firehose(self) -> str:
        return f"ws://127.0.0.1:{self.port}/xrpc/com.atproto.sync.subscribeRepos"

    async def start(self) -> None:
        if self._directory is None:
            self._directory = await _node("directory.cjs", str(self._directory_port))
        ports = str(self.port), str(self._directory_port)
        self._server = await _node("server.cjs", str(self._folder), *ports)

    async def kill(self) -> None:
        assert self._server is not None
        self._server.kill()
        await self._server.wait()
        self._server = None

    async def stop(self) -> None:
        for process in (self._server, self._directory):
            if process is not None:
                process.kill()
                await process.wait()

    async def join(self, handle: str) -> str:
        """Make an account, and tell its DID."""
        given = {"handle": handle, "email": f"{handle}@mail.example", "password": "a password"}
        answer = await self._call("com.atproto.server.createAccount", given)
        self._tokens[answer["did"]] = answer["accessJwt"]
        return str(answer["did"])

    async def say(self, did: str, collection: str, record: dict[str, Any]) -> str:
        """Write a record, and tell its address."""
        dated = {"$type": collection, "createdAt": "1999-01-01T00:00:00Z"} | record
        given = {"repo": did, "collection": collection, "record": dated}
        return str((await self._call("com.atproto.repo.createRecord", given, did))["uri"])

    async def change(self, did: str, uri: str, record: dict[str, Any]) -> None:
        """Put another record in its place."""
        collection, rkey = uri.split("/")[3:]
        dated = {"$type": collection, "createdAt": "1999-01-01T00:00:00Z"} | record
        given = {"repo": did, "collection": collection, "rkey": rkey, "record": dated}
        await self._call("com.atproto.repo.putRecord", given, did)

    async def delete(self, did: str, uri: str) -> None:
        """Take a record back."""
        collection, rkey = uri.split("/")[3:]
        given = {"repo": did, "collection": collection, "rkey": rkey}
        await self._call("com.atproto.repo.deleteRecord", given, did)

    async def remove(self, did: str) -> None:
        """Delete an account, as the administrator of the server."""
        auth = ("admin", "a password of a test")
        await self._call("com.atproto.admin.deleteAccount", {"did": did}, auth=auth)

    async def _call(
        self,
        method: str,
        given: dict[str, Any],
        did: str | None = None,
        auth: tuple[str | bytes, str | bytes] | None = None,
    ) -> dict[str, Any]:
        headers = {} if did is None else {"Authorization": f"Bearer {self._tokens[did]}"}
        address = f"http://127.0.0.1:{self.port}/xrpc/{method}"
        async with httpx.AsyncClient(trust_env=False, timeout=30, auth=auth) as client:
            answer = await client.post(address, json=given, headers=headers)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json() if answer.content else {}
        return told


class Cutter:
    """Passes connections on to a port of this machine, and can cut them all."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.connections = 0

    async def __aenter__(self) -> "Cutter":
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection in the middle, without a word."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def peer(folder: Path) -> AsyncIterator[Peer]:
    """A server that runs for the time of a test."""
    running = Peer(folder)
    try:
        await running.start()
        yield running
    finally:
        await running.stop()


async def _node(script: str, *arguments: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        "node", script, *arguments, cwd=HERE, stdout=PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(READY_SECONDS):
        while b"ready" not in (line := await process.stdout.readline()):
            assert line, f"{script} ended before it was ready"
    return process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
