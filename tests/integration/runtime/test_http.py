"""Whoever sends the head of a request without end, or never ends it, is left alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from world import Migrated, settings

from klankbord_runtime import request_head
from klankbord_runtime.request_head import MAX_HEAD_BYTES
from klankbord_runtime.service import Service
from klankbord_standalone.servers import Installation

ONE_READ = 256 * 1024
"""What asyncio reads of a socket at once."""


@pytest.fixture
async def port(installation: Installation, migrated: Migrated) -> AsyncIterator[int]:
    await migrated("ingest")
    service = Service("ingest", settings(installation, "ingest"))
    async with service.running():
        yield service.port


@pytest.mark.parametrize("unit", [b"x", b"x: y\r\n"], ids=["one header", "many headers"])
async def test_a_head_without_end_is_refused_before_it_fills_the_memory(
    port: int, unit: bytes
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\na: ")
    sent = 0
    block = unit * (16 * 1024 // len(unit))
    with suppress(ConnectionError):
        while sent < 100 * 1024**2:
            writer.write(block)
            await writer.drain()
            sent += len(block)
    # what the kernel holds on either side is sent, too
    assert sent < MAX_HEAD_BYTES + 2 * ONE_READ + 16 * 1024**2
    writer.close()


async def test_a_head_that_never_ends_costs_its_sender_the_connection(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_head, "HEAD_SECONDS", 0.2)
    silent, _ = await asyncio.open_connection("127.0.0.1", port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /livez HTTP/1.1\r\n")
    async with asyncio.timeout(20):
        assert await reader.read() == b""
        assert await silent.read() == b""


async def test_a_connection_goes_on_after_large_bodies_and_pauses(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_head, "HEAD_SECONDS", 0.2)
    address = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=address, limits=httpx.Limits(max_connections=1)) as http:
        for _ in range(3):
            assert (await http.post("/livez", content=b"x" * 300_000)).status_code == 405
            assert (await http.get("/livez")).text == "ok"
            await asyncio.sleep(0.3)
