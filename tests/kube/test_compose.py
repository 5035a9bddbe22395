"""docker-compose.yml, brought up by podman-compose as it stands but for its ports.

Grafana, the collector and Jaeger are not started: nothing can stand in for them here.
"""

import base64
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kube.asking import confined, until
from kube.podman import FOLDER, ROOT, Podman, PodmanError
from stage import CONFIG, submission

from klankbord_ingest.signature import SECRET_PREFIX
from klankbord_schemas.topology import SERVICES as TOPOLOGY
from klankbord_standalone.child import free_port
from klankbord_standalone.home import Home
from klankbord_standalone.sender import NotHeardError, Sender

SERVICES = [service.name for service in TOPOLOGY]
STARTED = [*SERVICES, "nats", "postgres", "exporter", "prometheus"]
# no folder that podman makes writable by itself in a read-only container, as Docker makes none
PODMAN_COMPOSE = (
    str(Path(sys.executable).parent / "podman-compose"),
    "--in-pod=false",
    "--podman-run-args=--read-only-tmpfs=false",
    "--profile=operator",
)
COUNTED = "select sum(posts) from metrics.published_total"
ROUTED = "select count(*) from routing.published_case"


class Composed:
    """The project of docker-compose.yml, in a folder with a copy of what it mounts."""

    def __init__(self, podman: Podman, folder: Path) -> None:
        self.podman = podman
        self.folder = folder
        self.door = free_port()
        shutil.copytree(
            ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("node_modules")
        )
        Home.at(folder / "home", folder / "klankbord").prepare()
        (folder / "klankbord" / "klankbord.yaml").write_text(json.dumps(CONFIG), "utf-8")
        text = (ROOT / "docker-compose.yml").read_text("utf-8")
        for port, here in {"8080": self.door, "4222": free_port()}.items():
            published = f'"127.0.0.1:{port}:{port}"'
            assert text.count(published) == 1
            text = text.replace(published, f'"127.0.0.1:{here}:{port}"')
        (folder / "docker-compose.yml").write_text(text, "utf-8")
        self.services: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        """Run `podman-compose …`; gives what it printed."""
        done = subprocess.run(
            [*PODMAN_COMPOSE, *words],
            cwd=self.folder,
            env=self.podman.environment,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=600,
        )
        assert done.returncode == 0, f"{words}: {done.stderr}{done.stdout}"
        return done.stdout

    def container(self, name: str) -> str:
        """What podman calls the container of that service."""
        label = f"label=com.docker.compose.service={name}"
        return self.podman("ps", "--all", "--filter", label, "--format", "{{.Names}}").strip()

    def start(self, name: str) -> None:
        """Start one container of the file, and nothing that it depends on."""
        self("up", "--detach", "--no-build", "--no-deps", name)

    async def is_healthy(self, name: str) -> bool:
        """What the container's own health check says, asked once."""
        try:
            self.podman("healthcheck", "run", self.container(name))
        except PodmanError:
            return False
        return True

    async def up(self) -> None:
        """Start everything in the order of `depends_on`, each when its conditions hold."""
        wanted = {
            name: container.get("depends_on", {}) for name, container in self.services.items()
        }
        for name in TopologicalSorter(wanted).static_order():
            if name not in STARTED and self.services[name]["restart"] != "no":
                continue
            if name == "klankbord":
                continue
            for other, condition in wanted[name].items():
                if condition["condition"] == "service_healthy":
                    await until(partial(self.is_healthy, other), f"{other} is healthy")
            self.start(name)
            if self.services[name]["restart"] == "no":
                assert self.podman("wait", self.container(name)).strip() == "0", name

    def sql(self, query: str) -> int:
        """What a query on PostgreSQL gives: one number."""
        words = (
            "psql",
            "--host=/var/run/postgresql",
            "--username=postgres",
            "--dbname=klankbord",
            "--tuples-only",
            "--no-align",
        )
        told = self.podman("exec", self.container("postgres"), *words, f"--command={query}")
        return int(told.strip() or 0)

    def asks_prometheus(self, path: str) -> Any:
        """What Prometheus answers, asked from inside its container."""
        program = f"from urllib.request import urlopen; print(urlopen('http://127.0.0.1:9090{path}').read().decode())"
        return json.loads(
            self.podman("exec", self.container("prometheus"), "python", "-c", program)
        )["data"]


@pytest.fixture(scope="module")
async def composed(podman: Podman) -> AsyncIterator[Composed]:
    folder = FOLDER / "klankbord"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    composed = Composed(podman, folder)
    try:
        await composed.up()
        yield composed
    except BaseException:
        print(podman.logs())
        raise
    finally:
        podman.clear()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def forum_key(composed: Composed) -> bytes:
    """A webhook's secret, put in its place as docs/containers.md says."""
    key = secrets.token_bytes(32)
    text = SECRET_PREFIX + base64.b64encode(key).decode()
    words = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "tee", "klankbord", "/secrets/forum")
    composed(*words, stdin=f"{text}\n")
    return key


@pytest.mark.parametrize("name", STARTED)
async def test_each_container_becomes_healthy(composed: Composed, name: str) -> None:
    await until(partial(composed.is_healthy, name), f"{name} is healthy")


@pytest.mark.parametrize("name", STARTED)
def test_a_container_is_confined_as_the_file_says(composed: Composed, name: str) -> None:
    confined(composed.podman, composed.container(name))


async def test_a_signed_post_comes_out_routed_and_counted(
    composed: Composed, forum_key: bytes
) -> None:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
        forum = Sender(http, f"http://127.0.0.1:{composed.door}", "forum", forum_key)
        post = submission(1, "The app crashes on the settings page: error 500.")

        async def is_taken() -> bool:
            """A new secret is read within ten seconds."""
            try:
                receipt = await forum.send({"posts": [post]})
            except NotHeardError:
                return False
            return receipt == {"received": 1, "duplicate": 0, "erased": 0}

        await until(is_taken, "the post is taken")

    async def is_there() -> bool:
        return (composed.sql(COUNTED), composed.sql(ROUTED)) == (1, 1)

    await until(is_there, "the post, routed and counted")
    assert "Acme" in composed("run", "--rm", "--no-deps", "-T", "klankbord", "report")


def test_the_jobs_may_run_again_and_change_nothing(composed: Composed) -> None:
    composed("run", "--rm", "--no-deps", "-T", "credentials")
    assert "0 changes" in composed("run", "--rm", "--no-deps", "-T", "provision")


async def test_prometheus_hears_everyone_and_has_its_rules(composed: Composed) -> None:
    async def all_up() -> bool:
        targets = composed.asks_prometheus("/api/v1/targets")["activeTargets"]
        up = {t["labels"]["job"] for t in targets if t["health"] == "up"}
        return up == {f"klankbord-{name}" for name in (*SERVICES, "exporter")}

    await until(all_up, "every job is up")
    assert composed.asks_prometheus("/api/v1/rules")["groups"]


def test_told_to_stop_each_service_ends_well(composed: Composed) -> None:
    for name in SERVICES:
        composed.podman("stop", "--time", "45", composed.container(name))
        ended = composed.podman.inspect("container", composed.container(name))
        assert ended["State"]["ExitCode"] == 0, name
