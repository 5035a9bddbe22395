"""Questions to running containers: the kubelet's probes, compose's health checks, the numbers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import httpx
from kube.podman import Podman, PodmanError
from kube.pods import Probe

PATIENCE = 120.0
PAUSE = 0.5
WHAT_IT_MAY = """
import json, os, pathlib
lines = pathlib.Path("/proc/1/status").read_text().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
try:
    pathlib.Path("/opt/klankbord/x").touch()
    wrote = "it could"
except OSError as error:
    wrote = str(error)
print(json.dumps([os.getuid(), status["CapEff"], status["NoNewPrivs"], wrote]))
"""


async def until(true: Callable[[], Awaitable[bool]], what: str, patience: float = PATIENCE) -> None:
    """Wait until it is so; says what never was."""
    try:
        async with asyncio.timeout(patience):
            while not await true():
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {patience:.0f} s") from None


async def answers(url: str) -> bool:
    """Whether it answers with success."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        try:
            return (await client.get(url)).is_success
        except httpx.TransportError:
            return False


async def passes(podman: Podman, container: str, address: str, probe: Probe) -> bool:
    """What the kubelet would find: a probe, asked once.

    Args:
        podman: where the container runs.
        container: its name there.
        address: of its pod.
        probe: what is asked.
    """
    if "httpGet" in probe.question:
        asked = probe.question["httpGet"]
        return await answers(f"http://{address}:{asked['port']}{asked['path']}")
    if "tcpSocket" in probe.question:
        try:
            _, writer = await asyncio.open_connection(address, probe.question["tcpSocket"]["port"])
        except OSError:
            return False
        writer.close()
        return True
    try:
        podman("exec", container, *probe.question["exec"]["command"])
    except PodmanError:
        return False
    return True


async def totals(host: str, reader_password: str) -> tuple[int, int]:
    """How many posts are counted, and how many cases routed: what the published views say."""
    connection = await asyncpg.connect(
        host=host, user="klankbord_reader", password=reader_password, database="klankbord"
    )
    try:
        posts = await connection.fetchval("select sum(posts) from metrics.published_total")
        cases = await connection.fetchval("select count(*) from routing.published_case")
    finally:
        await connection.close()
    return int(posts or 0), int(cases)


def confined(podman: Podman, container: str) -> None:
    """Assert that a container's process is no user of weight and can write nothing of its own."""
    seen = podman("exec", container, "python", "-c", WHAT_IT_MAY)
    user, capabilities, no_new_privileges, wrote = json.loads(seen)
    assert user != 0
    assert int(capabilities, 16) == 0
    assert no_new_privileges == "1"
    assert "Read-only file system" in str(wrote)


def read(file: Path) -> str:
    """A secret's text."""
    return file.read_text("ascii").strip()
