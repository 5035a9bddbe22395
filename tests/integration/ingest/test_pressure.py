"""A slow database makes senders wait, and come back; it does not fill the memory."""

import asyncio
from collections import Counter
from pathlib import Path

import asyncpg
import httpx
import pytest
from integration.ingest.test_door import POST, Door, settings_of
from world import Migrated, eventually

from klankbord_ingest.app import create
from klankbord_ingest.intake import REQUEST_BYTES, FullError, Intake
from klankbord_runtime import db
from klankbord_standalone.servers import Installation
from klankbord_standalone.status import gauge

ROOM = 4 * 1024**2
BODIES = 40
SIZE = 500_000
HELD = "klankbord_ingest_waiting_bytes"


def large(number: int) -> dict[str, object]:
    words = "x" * 90_000
    return {"posts": [POST | {"nativeId": f"{number}-{n}", "content": words} for n in range(5)]}


async def test_a_stalled_database_slows_the_senders_and_fills_no_memory(
    installation: Installation,
    migrated: Migrated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(db, "CONNECT_TIMEOUT", 1.0)
    monkeypatch.setattr(db, "COMMAND_TIMEOUT", 1.0)
    await migrated("ingest")
    own = settings_of(installation, tmp_path).model_copy(update={"max_waiting_bytes": ROOM})
    service = create(own)
    address = f"http://127.0.0.1:{own.http.port}"
    async with service.running(), httpx.AsyncClient(base_url=address, timeout=30) as http:
        door = Door(service, http)
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, int(gauge((await http.get("/metrics")).text, HELD)))
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(watch())
        stalling = await asyncpg.connect(installation.admin_url)
        try:
            async with stalling.transaction():
                await stalling.execute("lock table ingest.delivery in access exclusive mode")
                answers = await asyncio.gather(*(door.send(large(n)) for n in range(BODIES)))
        finally:
            await stalling.close()
            watching.cancel()
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) == {429, 503}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        assert BODIES * SIZE > 4 * ROOM  # what would be held without a limit
        assert SIZE < most <= ROOM

        async def taken(number: int) -> int:
            while (answer := await door.send(large(number))).status_code == 429:
                await asyncio.sleep(0.2)
            return int(answer.json()["received"])

        received = await asyncio.gather(*(taken(n) for n in range(BODIES)))
        assert received == [5] * BODIES

        async def nothing_is_held() -> bool:
            return gauge((await http.get("/metrics")).text, HELD) == 0

        await eventually(nothing_is_held)


def test_what_is_declared_takes_no_room_until_it_comes() -> None:
    intake = Intake(1_000_000)
    with intake.place() as one, intake.place() as other:
        one.expect(900_000)
        other.expect(900_000)
        assert intake.held == 2 * REQUEST_BYTES
        one.take(900_000)
        with pytest.raises(FullError):
            other.expect(900_000)
    assert intake.held == 0


def test_requests_without_a_body_are_bounded_too() -> None:
    intake = Intake(10 * REQUEST_BYTES)
    places = [intake.place() for _ in range(11)]
    for place in places[:10]:
        place.__enter__()
    with pytest.raises(FullError):
        places[10].__enter__()
    assert intake.held == 10 * REQUEST_BYTES
