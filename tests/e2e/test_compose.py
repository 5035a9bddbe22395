"""docker-compose.yml, followed to the letter without containers.

What compose would do is done here by hand: in the order of `depends_on`, each container's program
is started with exactly the environment and the command of the file. A folder stands for each
container's root, with links to the folders that stand for its volumes. NATS and PostgreSQL are real
ones; their addresses, and what their images do, are all that is put in their place. Prometheus and
Grafana are not started: what they are given is looked at.
"""

import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from graphlib import TopologicalSorter
from pathlib import Path
from signal import SIGTERM
from typing import Any

import asyncpg
import httpx
import pytest
import yaml
from stage import CONFIG, submission

from klankbord_schemas.topology import SERVICES as TOPOLOGY
from klankbord_standalone.child import Child, free_port
from klankbord_standalone.home import Home
from klankbord_standalone.nats_server import find_nats_server
from klankbord_standalone.postgres_server import PostgresServer
from klankbord_standalone.sender import Sender, make_secret

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES = [service.name for service in TOPOLOGY]
STAYING = [*SERVICES, "exporter"]
PATIENCE = 60.0


class Composed:
    """The containers of the file, as processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.containers: dict[str, dict[str, Any]] = COMPOSE["services"]
        self.ports = {name: free_port() for name in (*STAYING, "nats", "monitor", "postgres")}
        self._addresses = {
            "nats:4222": f"127.0.0.1:{self.ports['nats']}",
            "nats:8222": f"127.0.0.1:{self.ports['monitor']}",
            "postgres:5432": f"127.0.0.1:{self.ports['postgres']}",
        }
        self._stack = AsyncExitStack()
        for volume in (*COMPOSE["volumes"], "./klankbord"):
            self.volume(volume).mkdir(parents=True)
        Home.at(folder / "home", self.volume("./klankbord")).prepare()
        self.forum_key = make_secret(self.volume("secrets"), "forum")
        (self.volume("./klankbord") / "klankbord.yaml").write_text(json.dumps(CONFIG), "utf-8")

    def volume(self, source: str) -> Path:
        """The folder that stands for a volume."""
        return self.folder / "volumes" / source.removeprefix("./")

    def root(self, name: str) -> Path:
        """The folder that stands for the container's root: it has what is mounted, and no more."""
        root = self.folder / "containers" / name
        for volume in self.containers[name].get("volumes", ()):
            source, target = (
                volume.split(":")[:2]
                if isinstance(volume, str)
                else (volume["source"], volume["target"])
            )
            ours = source.startswith("./deploy/")
            place = ROOT / source if ours else self.volume(source)
            seen = root / target.removeprefix("/")
            if not seen.is_symlink():
                seen.parent.mkdir(parents=True, exist_ok=True)
                seen.symlink_to(place)
        return root

    def told(self, name: str, text: str) -> str:
        """A word of the file as it holds here: other paths, other addresses."""
        for address, here in self._addresses.items():
            text = text.replace(address, here)
        option, equals, value = text.rpartition("=") if text.startswith("--") else ("", "", text)
        return f"{option}{equals}{self.root(name)}{value}" if value.startswith("/") else text

    def environment(self, name: str) -> dict[str, str]:
        """The container's variables, and those of the image."""
        own: Mapping[str, str] = self.containers[name].get("environment", {})
        image = {"PATH": str(Path(sys.executable).parent)}
        port = {"KLANKBORD_HTTP__PORT": str(self.ports[name])} if name in SERVICES else {}
        given = {name: value for name, value in own.items() if value is not None}
        return (
            image | port | {variable: self.told(name, value) for variable, value in given.items()}
        )

    def command(self, name: str, *words: str) -> list[str]:
        """What the container's entrypoint runs; the image's own command is `run`."""
        image = self.containers[name]["image"].partition(":")[0].removeprefix("klankbord/")
        given = words or self.containers[name].get("command", ["run"])
        given = [f"--port={self.ports[name]}" if word == "--port=8080" else word for word in given]
        module = f"klankbord_{image}"
        return [sys.executable, "-m", module, *(self.told(name, word) for word in given)]

    async def up(self) -> None:
        """Start everything that has no profile, each after what it depends on."""
        wanted = {n: c.get("depends_on", {}) for n, c in self.containers.items()}
        for name in TopologicalSorter(wanted).static_order():
            if "profiles" in self.containers[name] or name in ("prometheus", "grafana"):
                continue
            if name == "nats":
                await self._nats()
            elif name == "postgres":
                await self._postgres()
            elif name in STAYING:
                await self._child(name, self.command(name))
            else:
                await self.run(name)

    async def run(self, name: str, *words: str) -> str:
        """Run a job to its end; gives what it prints."""
        process = await asyncio.create_subprocess_exec(
            *self.command(name, *words),
            env=self.environment(name),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, f"{name}: {err.decode()}{out.decode()}"
        return out.decode()

    async def down(self) -> None:
        await self._stack.aclose()

    async def _child(self, name: str, command: list[str]) -> None:
        child = await Child.start(
            name,
            command,
            log=self.folder / f"{name}.log",
            dies_by=SIGTERM,
            environment=self.environment(name),
            folder=self.folder,
        )
        self._stack.push_async_callback(child.end, SIGTERM, patience=30)

    async def _nats(self) -> None:
        """deploy/nats/nats.conf, with other ports and another place for the data."""
        root = self.root("nats")
        config = (root / "etc/nats/nats.conf").read_text("utf-8")
        for inside, here in {
            '"0.0.0.0:4222"': f'"127.0.0.1:{self.ports["nats"]}"',
            '"0.0.0.0:8222"': f'"127.0.0.1:{self.ports["monitor"]}"',
            '"/data"': json.dumps(str(root / "data")),
        }.items():
            assert config.count(inside) == 1
            config = config.replace(inside, here)
        adapted = root / "etc/nats/adapted.conf"
        adapted.write_text(config, "utf-8")
        await self._child("nats", [str(find_nats_server()), "--config", str(adapted)])
        await answers(f"http://127.0.0.1:{self.ports['monitor']}/healthz")

    async def _postgres(self) -> None:
        """What the image's entrypoint does with its variables: a password, and a database."""
        told = self.environment("postgres")
        password = Path(told["POSTGRES_PASSWORD_FILE"]).read_text("ascii").strip()
        server = PostgresServer(self.folder / "postgres", password, port=self.ports["postgres"])
        await server.start()
        self._stack.push_async_callback(server.stop)
        connection = await asyncpg.connect(server.url)
        try:
            await connection.execute(f"create database {told['POSTGRES_DB']}")
        finally:
            await connection.close()


async def answers(url: str) -> None:
    """Wait until it answers 200."""
    said = "nothing"
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        for _ in range(int(PATIENCE / 0.1)):
            try:
                answer = await client.get(url)
            except httpx.TransportError as error:
                said = type(error).__name__
            else:
                if answer.status_code == httpx.codes.OK:
                    return
                said = answer.text
            await asyncio.sleep(0.1)
    pytest.fail(f"{url} is not ready: {said}")


@pytest.fixture(scope="module")
async def composed() -> AsyncIterator[Composed]:
    folder = Path(tempfile.mkdtemp(prefix="klankbord-compose-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
    composed = Composed(folder)
    try:
        await composed.up()
        yield composed
    finally:
        await composed.down()
        PostgresServer(folder / "postgres", "").erase()
        shutil.rmtree(folder)


async def test_every_service_is_ready(composed: Composed) -> None:
    for name in STAYING:
        await answers(f"http://127.0.0.1:{composed.ports[name]}/readyz")


async def test_a_post_goes_from_the_door_to_whom_it_is_for(composed: Composed) -> None:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
        door = f"http://127.0.0.1:{composed.ports['ingest']}"
        sender = Sender(http, door, "forum", composed.forum_key)
        post = submission(1, "The app crashes on the settings page: error 500.")
        assert await sender.send({"posts": [post]}) == {"received": 1, "duplicate": 0, "erased": 0}
    told = ""
    for _ in range(int(PATIENCE)):
        subject = "klankbord.feedback.routed.v1.>"
        told = await composed.run("klankbord", "tail", subject, "--no-follow", "--json")
        if told:
            break
    assert json.loads(told)["type"] == "org.klankbord.feedback.routed.v1"


async def test_the_jobs_may_run_again_and_change_nothing(composed: Composed) -> None:
    """`docker compose up` runs every job that has ended once more."""

    def given() -> dict[str, bytes]:
        volumes = composed.folder / "volumes"
        names = ("credentials", "nats", "postgres", *SERVICES)
        return {
            str(file): file.read_bytes() for name in names for file in (volumes / name).iterdir()
        }

    before = given()
    await composed.run("credentials")
    assert given() == before
    assert "0 changes" in await composed.run("provision")
    for name in SERVICES:
        assert await composed.run(f"{name}-migrate") == ""


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_comes_into_the_database_as_itself_and_reads_no_other(
    composed: Composed, name: str
) -> None:
    url = Path(composed.environment(name)["KLANKBORD_POSTGRES__URL_FILE"]).read_text("ascii")
    connection = await asyncpg.connect(url)
    try:
        assert await connection.fetchval("select current_user") == f"klankbord_{name}"
        other = next(other for other in SERVICES if other != name)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"select * from {other}.outbox")
    finally:
        await connection.close()


async def test_what_a_container_is_told_it_can_read(composed: Composed) -> None:
    """A variable that names a file names one that the container has."""
    for name in composed.containers:
        for variable, value in composed.environment(name).items():
            if variable.endswith("_FILE") or variable == "PGPASSFILE":
                assert Path(value).is_file(), f"{name}: {variable}"


async def test_the_operators_command_reports(composed: Composed) -> None:
    assert "Acme" in await composed.run("klankbord", "report")
    assert "no dead letters" in await composed.run("klankbord", "dlq", "list")


async def test_the_exporter_tells_what_nats_keeps(composed: Composed) -> None:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
        told = (await http.get(f"http://127.0.0.1:{composed.ports['exporter']}/metrics")).text
    assert "\nklankbord_nats_up 1.0\n" in told
    assert 'klankbord_stream_messages{stream="POSTS"}' in told


def test_grafana_is_given_what_its_provisioning_reads(composed: Composed) -> None:
    """A file that deploy/grafana/provisioning names is one that the container has."""
    root = composed.root("grafana")
    named = [
        place
        for file in (root / "etc/grafana/provisioning").rglob("*.y*ml")
        for place in re.findall(r"(?:\$__file\{|path: )(/[^}\s]+)", file.read_text("utf-8"))
    ]
    assert named
    assert [place for place in named if not (root / place.removeprefix("/")).exists()] == []


def test_prometheus_asks_those_that_run(composed: Composed) -> None:
    config = composed.root("prometheus") / "etc/prometheus/prometheus.yml"
    jobs = yaml.safe_load(config.read_text("utf-8"))["scrape_configs"]
    asked = {name for job in jobs for found in job["dns_sd_configs"] for name in found["names"]}
    assert asked == set(STAYING)
