"""The NATS cluster of the production overlay: its own configuration and arguments, on loopback.

Three real nats-servers are started from the rendered ConfigMap and StatefulSet. An address of its
own for each stands for a pod's, a certificate by openssl for cert-manager's; nothing else changes.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import httpx
import nats
import pytest
from keda import Trigger, lag
from nats.aio.client import Client
from scripts.manifests import K8S, Manifest, render
from trust.nodes import certify

from klankbord_runtime import bus
from klankbord_runtime.provision import check
from klankbord_runtime.settings import NatsSettings
from klankbord_schemas.topology import STREAMS, inbox_prefix
from klankbord_standalone.child import Child, free_port
from klankbord_standalone.nats_server import find_nats_server
from klankbord_standalone.servers import Installation

PRODUCTION = render(K8S / "overlays" / "production")
ADDRESSES = [f"127.77.0.{number}" for number in (1, 2, 3)]
PATIENCE = 90.0

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


def rendered(kind: str, name: str) -> Manifest:
    (found,) = (
        manifest
        for manifest in PRODUCTION
        if manifest["kind"] == kind and manifest["metadata"]["name"].startswith(name)
    )
    return found


STATEFUL_SET = rendered("StatefulSet", "nats")["spec"]
CONTAINER = STATEFUL_SET["template"]["spec"]["containers"][0]
CONFIG: str = rendered("ConfigMap", "nats-")["data"]["nats.conf"]
CERTIFICATE = rendered("Certificate", "nats-tls")["spec"]


def make_certificates(folder: Path) -> None:
    """What cert-manager makes: an authority, and a certificate for the names of `nats-tls`."""

    names = [f"DNS:{name}" for name in CERTIFICATE["dnsNames"]]
    names += [f"IP:{address}" for address in ADDRESSES]
    usage, *extended = CERTIFICATE["usages"]
    assert usage == "digital signature"
    extended = [word.replace(" auth", "Auth") for word in extended]
    certify(
        folder,
        f"subjectAltName={','.join(names)}\nkeyUsage=digitalSignature\n"
        f"extendedKeyUsage={','.join(extended)}\n",
    )


class Cluster:
    """The StatefulSet's pods, as processes."""

    def __init__(self, folder: Path, installation: Installation) -> None:
        self.folder = folder
        self.installation = installation
        self.ports = {inside: free_port() for inside in (4222, 6222, 8222)}
        self.servers: dict[str, Child] = {}
        make_certificates(folder / "tls")
        (folder / "auth.conf").write_text(installation.credentials.authorization())

    @property
    def ca_file(self) -> Path:
        return self.folder / "tls" / "ca.crt"

    @property
    def url(self) -> str:
        return ",".join(f"tls://{address}:{self.ports[4222]}" for address in ADDRESSES)

    def monitor(self, number: int) -> str:
        return f"{ADDRESSES[number]}:{self.ports[8222]}"

    def written(self, number: int) -> list[str]:
        """Write one server's folder; gives its command line."""
        place = self.folder / f"nats-{number}"
        (place / "auth").mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / "auth.conf", place / "auth" / "auth.conf")
        config = here(CONFIG, self.ports, ADDRESSES[number], place)
        (place / "nats.conf").write_text(config)
        named = [word.replace("$(POD_NAME)", f"nats-{number}") for word in CONTAINER["args"]]
        return [str(find_nats_server()), *(self._argument(word, place) for word in named)]

    def _argument(self, word: str, place: Path) -> str:
        for number, address in enumerate(ADDRESSES):
            pod = f"nats-{number}.nats-servers.$(POD_NAMESPACE).svc"
            for port, free in self.ports.items():
                word = word.replace(f"{pod}:{port}", f"{address}:{free}")
        return word.replace("/etc/nats/nats.conf", str(place / "nats.conf"))

    async def start(self, number: int) -> None:
        self.servers[f"nats-{number}"] = await Child.start(
            f"nats-{number}",
            self.written(number),
            log=self.folder / f"nats-{number}.log",
            dies_by=SIGTERM,
        )

    async def kill(self, name: str) -> None:
        await self.servers.pop(name).end(SIGKILL, patience=10)

    async def stop(self) -> None:
        for name in list(self.servers):
            await self.kill(name)

    async def healthy(self, probe: str) -> None:
        """Wait until the rendered probe of that name succeeds on every server."""
        path = CONTAINER[probe]["httpGet"]["path"]
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http, asyncio.timeout(PATIENCE):
            for number in range(len(ADDRESSES)):
                while not await _answers(http, f"http://{self.monitor(number)}{path}"):
                    await asyncio.sleep(0.2)

    @asynccontextmanager
    async def client(self, user: str) -> AsyncIterator[Client]:
        """A connection as the runtime makes it, from the settings of a pod."""
        seed = self.installation.seed_file(user)
        settings = NatsSettings(url=self.url, seed_file=seed, ca_file=self.ca_file)
        broker = bus.make_broker(user, settings, _ignore_error, _ignore, _ignore)
        await broker.connect()
        try:
            yield broker.config.broker_config.connection_state.connection
        finally:
            await broker.stop()

    async def provision(self) -> str:
        """Run the Job's container `provision`, with the rendered arguments and variables."""
        pod = rendered("Job", "prepare")["spec"]["template"]["spec"]
        (container,) = (c for c in pod["initContainers"] if c["name"] == "provision")
        admin_url = self.folder / "admin.url"
        admin_url.write_text(self.installation.admin_url)
        told = {v["name"]: v["value"] for v in container["env"]}
        assert told.pop("PGSSLMODE") == "verify-full"  # the test's PostgreSQL speaks no TLS
        instead = {
            "tls://nats:4222": self.url.partition(",")[0],
            "/credentials": str(self.installation.credentials.folder),
            "/postgres/admin.url": str(admin_url),
            "/nats-ca/ca.crt": str(self.ca_file),
        }
        environment = {name: instead.get(value, value) for name, value in told.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "klankbord_standalone",
            *container["args"],
            env={**environment, "PATH": os.environ["PATH"]},
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, said.decode()
        return said.decode()


def here(config: str, ports: Mapping[int, int], address: str, place: Path) -> str:
    """The rendered configuration, with this machine's addresses, ports and folders."""
    changes = {f'"0.0.0.0:{inside}"': f'"{address}:{free}"' for inside, free in ports.items()}
    changes |= {
        f"nats-{number}.nats-servers:6222": f"{other}:{ports[6222]}"
        for number, other in enumerate(ADDRESSES)
    }
    changes |= {
        "/etc/nats/tls": str(place.parent / "tls"),
        '"/data"': json.dumps(str(place / "data")),
        "/tmp/nats.pid": str(place / "nats.pid"),
    }
    for inside, outside in changes.items():
        assert inside in config, f"the configuration no longer says {inside}"
        config = config.replace(inside, outside)
    return config


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


async def _ignore_error(_error: Exception) -> None: ...


async def _ignore() -> None: ...


async def eventually(action: Callable[[], Any]) -> Any:
    """Try until it works: an election takes some seconds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await action()
            except (nats.errors.Error, nats.js.errors.Error, OSError):
                await asyncio.sleep(0.3)


def test_nats_server_takes_the_configuration(tmp_path: Path) -> None:
    """`nats-server -t`, with every path and address as it is in the pod but for the folders."""
    make_certificates(tmp_path / "tls")
    place = tmp_path / "nats-0"
    (place / "auth").mkdir(parents=True)
    (place / "auth" / "auth.conf").write_text("accounts: { KLANKBORD: { jetstream: enabled } }\n")
    (place / "nats.conf").write_text(here(CONFIG, {p: p for p in (4222, 6222, 8222)}, "x", place))
    done = subprocess.run(
        [str(find_nats_server()), "-t", "-c", str(place / "nats.conf")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_certificate_has_every_name_that_a_server_is_called_by() -> None:
    names = set(CERTIFICATE["dnsNames"])
    assert {"nats", "*.nats-servers", "*.nats-servers.klankbord.svc"} <= names
    assert CERTIFICATE["secretName"] == "nats-tls"
    assert CERTIFICATE["usages"] == ["digital signature", "server auth", "client auth"]


def test_the_disk_holds_what_the_streams_may_keep() -> None:
    (volume,) = STATEFUL_SET["volumeClaimTemplates"]
    disk = int(volume["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 1024**3
    limit = int(CONFIG.partition("max_file_store: ")[2].partition("GB")[0]) * 1024**3
    assert sum(stream.max_bytes for stream in STREAMS) <= limit < disk


async def test_three_servers_keep_three_copies_and_go_on_with_two(
    tmp_path: Path, installation: Installation
) -> None:
    cluster = Cluster(tmp_path, installation)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(cluster.stop)
        for number in range(len(ADDRESSES)):
            await cluster.start(number)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            await cluster.healthy(probe)
        assert "created stream POSTS" in await cluster.provision()
        client = await stack.enter_async_context(cluster.client("provision"))
        assert await check(client, replicas=len(ADDRESSES)) == []
        jetstream = client.jetstream(timeout=10)
        info = await jetstream.stream_info("POSTS")
        assert info.config.num_replicas == len(ADDRESSES)
        subject = "klankbord.post.received.v1.acme.forum"
        for number in range(20):
            await jetstream.publish(subject, str(number).encode())

        # KEDA finds the consumer's leader, whichever server it asks
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            for number in range(len(ADDRESSES)):
                endpoint = cluster.monitor(number)
                trigger = Trigger(endpoint, "KLANKBORD", "POSTS", "routing-posts", 5000)
                assert await lag(http, trigger) == 20

        assert info.cluster is not None
        assert info.cluster.leader is not None
        await cluster.kill(info.cluster.leader)
        await eventually(lambda: jetstream.publish(subject, b"on two of three"))
        state = (await eventually(lambda: jetstream.stream_info("POSTS"))).state
        assert state.messages == 21
        await cluster.start(int(info.cluster.leader.removeprefix("nats-")))
        await cluster.healthy("startupProbe")  # it has caught up: the next one may be replaced

        await _refused(cluster)


async def _refused(cluster: Cluster) -> None:
    """Who does not believe the authority does not connect, by TLS or without asking for it."""
    for scheme in ("tls", "nats"):
        with pytest.raises((nats.errors.Error, OSError)):
            await nats.connect(
                f"{scheme}://{ADDRESSES[0]}:{cluster.ports[4222]}",
                nkeys_seed=str(cluster.installation.seed_file("routing")),
                inbox_prefix=inbox_prefix("routing"),
                allow_reconnect=False,
                connect_timeout=5,
                error_cb=_ignore_error,
            )
