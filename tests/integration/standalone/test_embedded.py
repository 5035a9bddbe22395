"""The embedded servers stay there, let newcomers in, and are missed when they are away."""

import asyncio
import os
import stat
from pathlib import Path
from signal import SIGKILL

import asyncpg
import pytest
from nats.errors import Error as NatsError
from world import eventually

from klankbord_standalone import admission
from klankbord_standalone.child import ServerFailedError
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.home import Home
from klankbord_standalone.nats_server import NatsServer
from klankbord_standalone.servers import Installation
from klankbord_standalone.standalone import embedded
from klankbord_standalone.status import ANSWER_PATIENCE, read_status
from klankbord_standalone.subscribers import invite, wanted


async def serve(installation: Installation) -> bool:
    try:
        await installation.provision()
    except (OSError, NatsError, asyncpg.PostgresError):
        return False
    return True


async def test_a_newcomer_is_let_in_and_what_is_killed_comes_back(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home.at(place / "data", place / "config")
    home.prepare()
    async with embedded(home) as servers:
        guest = wanted("product", ("klankbord.feedback.routed.v1.*.product",))
        invitation = await invite(servers.installation, guest, place / "product.nk")
        copy = Path(invitation.seed_file)
        assert copy.read_bytes() == servers.installation.seed_file(guest.user).read_bytes()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600

        killed = {servers.nats.pid, servers.postgres.pid}
        for pid in killed:
            os.kill(pid, SIGKILL)
        await eventually(lambda: killed.isdisjoint({servers.nats.pid, servers.postgres.pid}))
        await eventually(lambda: serve(servers.installation), seconds=60)
        for name in ("nats-server", "PostgreSQL"):
            assert f"{name} ended by itself" in caplog.text

        # whoever stops one on purpose is not contradicted
        await servers.nats.kill()
        await asyncio.sleep(2)
        assert not servers.nats.running
        begun = asyncio.get_running_loop().time()
        status = await read_status(servers.installation, None)
        assert asyncio.get_running_loop().time() - begun < 2 * ANSWER_PATIENCE
        assert status.waiting is None
        (problem,) = status.problems
        assert problem.startswith(f"NATS: does not answer at {servers.nats.url}")


async def test_a_server_of_your_own_is_told_which_file_to_include(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "PATIENCE", 1.0)
    credentials = Credentials.create(place / "credentials")
    server = NatsServer(place / "nats", credentials.authorization())
    await server.start()
    try:
        there = Installation(server.url, "", credentials)
        guest = wanted("product", ("klankbord.feedback.routed.v1.*.product",))
        with pytest.raises(ServerFailedError, match=r"include .*/credentials/auth\.conf") as failed:
            await invite(there, guest, None)
        assert len(str(failed.value).splitlines()) == 1
        told = (credentials.folder / "auth.conf").read_text(encoding="utf-8")
        assert credentials.public_key(guest.user) in told
    finally:
        await server.stop()
