"""The order of a rollout, with the rendered pods' own programs, arguments and variables.

The containers of the dev overlay run as processes here, on a real NATS and PostgreSQL; what is put
in their place is addresses, ports, and the folders that Secrets and ConfigMaps are mounted as.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path
from signal import SIGTERM
from typing import Any

import asyncpg
import httpx
import pytest
from manifests import Manifests
from scripts.manifests import K8S, render

from klankbord_standalone.child import free_port
from klankbord_standalone.handout import hand_out, shares
from klankbord_standalone.servers import Installation

DEV = Manifests(render(K8S / "overlays" / "dev"))
CONFIG = K8S / "base" / "config"
SERVICE = "routing"
PATIENCE = 60.0


class Cluster:
    """Starts containers of the manifests as processes."""

    def __init__(self, folder: Path, installation: Installation) -> None:
        self.given = folder / "given"
        self.installation = installation
        self.port = free_port()
        hand_out(shares(installation.credentials, installation.admin_url), self.given)
        (self.given / "postgres" / "admin.url").write_text(installation.admin_url)

    async def start(self, pod: str, container: str) -> Process:
        """Start one container of a pod."""
        (found,) = (c for c in DEV.containers(pod) if c["name"] == container)
        secrets = {
            volume["name"]: volume["secret"]["secretName"]
            for volume in DEV.pod(pod)["volumes"]
            if "secret" in volume
        }
        folders = {
            mount["mountPath"]: self._folder(secrets.get(mount["name"]))
            for mount in found["volumeMounts"]
        }
        environment = {v["name"]: self._told(v["value"], folders) for v in found.get("env", [])}
        image = found["image"].partition(":")[0].removeprefix("klankbord/")
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"klankbord_{image}",
            *found["args"],
            env={
                **environment,
                "PATH": os.environ["PATH"],
                "KLANKBORD_HTTP__PORT": str(self.port),
            },
            cwd=self.given,
            stdout=PIPE,
            stderr=STDOUT,
        )

    async def run(self, pod: str, container: str) -> str:
        """Run one to its end; gives what it says."""
        process = await self.start(pod, container)
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, said.decode()
        return said.decode()

    def _folder(self, secret: str | None) -> Path:
        if secret == "credentials":
            return self.installation.credentials.folder
        return CONFIG if secret is None else self.given / secret

    def _told(self, value: str, folders: dict[str, Path]) -> str:
        for inside, folder in folders.items():
            if value == inside or value.startswith(f"{inside}/"):
                return value.replace(inside, str(folder), 1)
        return value.replace("nats://nats:4222", self.installation.nats_url)


@pytest.fixture
def cluster(tmp_path: Path, installation: Installation) -> Cluster:
    return Cluster(tmp_path, installation)


async def test_a_new_build_waits_for_its_job_and_the_old_one_runs_on_the_new_schema(
    cluster: Cluster, installation: Installation
) -> None:
    waiting = await cluster.start(SERVICE, "wait")
    try:
        assert waiting.stdout is not None
        assert b"the database lacks" in await asyncio.wait_for(waiting.stdout.readline(), PATIENCE)
        await cluster.run("prepare", "provision")
        assert waiting.returncode is None
        assert "applied" in await cluster.run("prepare", f"migrate-{SERVICE}")
        said, _ = await asyncio.wait_for(waiting.communicate(), PATIENCE)
        assert waiting.returncode == 0, said.decode()
    finally:
        if waiting.returncode is None:
            waiting.kill()

    # the next release was here: this build is what one rolls back to
    await _migrated_by_a_later_build(installation)
    assert await cluster.run(SERVICE, "wait") == ""
    process = await cluster.start(SERVICE, "klankbord")
    try:
        assert await _ready(cluster.port) == {"ready": True, "problems": []}
        process.send_signal(SIGTERM)
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, said.decode()
    finally:
        if process.returncode is None:
            process.kill()


async def _migrated_by_a_later_build(installation: Installation) -> None:
    connection = await asyncpg.connect(installation.postgres_url(SERVICE))
    try:
        await connection.execute("create table of_tomorrow (id bigint primary key)")
        await connection.execute("alter table post add column of_tomorrow text")
        await connection.execute(
            "insert into migration (package, name, checksum) values ($1, $2, $3)",
            f"klankbord_{SERVICE}",
            "9999_of_tomorrow",
            "0" * 64,
        )
    finally:
        await connection.close()


async def _ready(port: int) -> Any:
    said: Any = None
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        for _ in range(int(PATIENCE / 0.2)):
            try:
                said = (await http.get(f"http://127.0.0.1:{port}/readyz")).json()
            except httpx.TransportError as error:
                said = repr(error)
            else:
                if said["ready"]:
                    break
            await asyncio.sleep(0.2)
    return said
