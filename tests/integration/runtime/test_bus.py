"""The connection to the bus: it comes back, whatever the server said meanwhile."""

import asyncio
from pathlib import Path

from klankbord_runtime import bus
from klankbord_runtime.settings import NatsSettings
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.nats_server import NatsServer


async def test_a_server_that_turned_us_away_for_a_while_lets_us_in_again(tmp_path: Path) -> None:
    known = Credentials.create(tmp_path / "known")
    strangers = Credentials.create(tmp_path / "strangers")
    nats = NatsServer(tmp_path / "nats", known.authorization())
    await nats.start()
    turned_away, lost, back = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def on_error(error: Exception) -> None:
        if "Authorization Violation" in str(error):
            turned_away.set()

    async def on_lost() -> None:
        lost.set()

    async def on_reconnect() -> None:
        back.set()

    settings = NatsSettings(url=nats.url, seed_file=known.seed_file("ingest"))
    broker = bus.make_broker("ingest", settings, on_error, on_lost, on_reconnect)
    await broker.connect()
    try:
        nats.authorization = strangers.authorization()
        await nats.restart()
        async with asyncio.timeout(20):
            await turned_away.wait()
        nats.authorization = known.authorization()
        await nats.restart()
        async with asyncio.timeout(20):
            await back.wait()
        assert lost.is_set()
    finally:
        await broker.stop()
        await nats.stop()
