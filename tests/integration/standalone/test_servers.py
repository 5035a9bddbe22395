"""Both servers: starting, failing, ending, and that none outlives us."""

import asyncio
import signal
import sys
from pathlib import Path

import psutil
import pytest
from world import eventually

from klankbord_schemas.topology import CONSUMERS, SERVICES, STREAMS
from klankbord_standalone.child import ServerFailedError
from klankbord_standalone.nats_server import NatsServer
from klankbord_standalone.postgres_server import PostgresServer
from klankbord_standalone.servers import Servers


def gone(pid: int) -> bool:
    """Whether the process has ended; it may still wait to be noticed by its parent."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# --- both: starting, failing, ending -----------------------------------------------------------


async def test_a_taken_port_is_named(servers: Servers, place: Path) -> None:
    taken = servers.nats.port
    with pytest.raises(ServerFailedError, match=f"127.0.0.1:{taken}, because another program does"):
        await NatsServer(place / "nats", "", port=taken).start()
    with pytest.raises(ServerFailedError, match=f"127.0.0.1:{taken}, because another program does"):
        await PostgresServer(place / "postgres", "secret", port=taken).start()


async def test_a_server_that_does_not_start_says_why(place: Path) -> None:
    with pytest.raises(ServerFailedError, match=r"nats-server did not start;.*\n.*auth.conf"):
        await NatsServer(place / "nats", "authorization { users: [").start()


async def test_a_folder_is_used_by_one_at_a_time(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klankbord_standalone.child.LOCK_PATIENCE", 0.2)
    second = NatsServer(servers.nats.folder, servers.credentials.authorization())
    written = (servers.nats.folder / "nats.conf").read_text()
    with pytest.raises(ServerFailedError, match="in use by another running klankbord"):
        await second.start()
    assert (servers.nats.folder / "nats.conf").read_text() == written


KILLED_WITH_ITS_CHILDREN = """
import asyncio, sys
from pathlib import Path
from klankbord_standalone.servers import Servers

async def main():
    servers = Servers(Path(sys.argv[1]))
    made = await servers.start()
    print(len(made), servers.nats.pid, servers.postgres.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_nothing_outlives_a_killed_parent_and_the_next_start_continues(place: Path) -> None:
    async def run() -> tuple[int, list[int], asyncio.subprocess.Process]:
        parent = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            KILLED_WITH_ITS_CHILDREN,
            str(place / "data"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert parent.stdout is not None
        made, *pids = map(int, (await asyncio.wait_for(parent.stdout.readline(), 60)).split())
        return made, pids, parent

    made, pids, parent = await run()
    # a role and a schema each, the role of the reader, the schema of the audit log
    assert made == 2 * len(SERVICES) + 2 + len(STREAMS) + len(CONSUMERS)
    parent.kill()
    await parent.wait()
    again, more_pids, parent = await run()
    assert again == 0
    assert all(gone(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await eventually(lambda: all(gone(pid) for pid in more_pids))


async def test_stopping_leaves_no_process(place: Path) -> None:
    async with Servers(place / "data") as running:
        family = [
            process.pid
            for server in (running.nats, running.postgres)
            for process in (psutil.Process(server.pid), *psutil.Process(server.pid).children())
        ]
        assert len(family) > 4
    assert all(gone(pid) for pid in family)
    await running.stop()
