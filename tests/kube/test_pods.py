"""The pods of deploy/k8s/overlays/dev, started as they are rendered."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kube.asking import answers, confined, passes, read, totals, until
from kube.podman import FOLDER, ROOT, Podman
from kube.pods import Document, as_pod, claims, left_out, probes, workloads
from stage import submission

from klankbord_schemas.topology import SERVICES as TOPOLOGY
from klankbord_standalone.sender import Sender, make_secret

SERVICES = [service.name for service in TOPOLOGY]
SERVERS = ["nats", "postgres"]
NETWORK = "klankbord"
BIN = Path(sys.executable).parent
BATCH, BATCHES = 5, 40


def shown(*command: str) -> str:
    """What a command of `.venv` prints."""
    path = f"{BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Pods:
    """What runs, and the keys that it was given."""

    podman: Podman
    documents: list[Document]
    given: Path
    folder: Path
    forum_key: bytes

    def play(self, name: str) -> None:
        """Start the one pod of a workload."""
        pod = as_pod(workloads(self.documents)[name], self.documents, self.folder / "mounted")
        written = self.folder / f"{name}.yaml"
        written.write_text(yaml.safe_dump_all([*claims(pod, self.documents), pod]), "utf-8")
        self.podman("play", "kube", "--network", NETWORK, str(written))

    def containers(self, name: str) -> dict[str, str]:
        """What each container of a pod is called by podman, by its name in the manifest."""
        pod = workloads(self.documents)[name]["spec"]["template"]["spec"]
        return {container["name"]: f"{name}-{container['name']}" for container in pod["containers"]}

    def address(self, name: str) -> str:
        """The address of a pod."""
        infra = self.podman.inspect("pod", name)["InfraContainerID"]
        networks = self.podman.inspect("container", infra)["NetworkSettings"]["Networks"]
        return str(networks[NETWORK]["IPAddress"])

    async def asked(self, name: str, kind: str) -> bool:
        """Whether every probe of that kind passes now."""
        found = [probe for probe in probes(workloads(self.documents)[name]) if probe.kind == kind]
        assert found, f"{name} has no {kind}"
        containers, address = self.containers(name), self.address(name)
        return all([await passes(self.podman, containers[p.container], address, p) for p in found])

    async def ready(self, *names: str) -> None:
        """Wait as Kubernetes does: for what starts, and then for what is ready."""
        for name in names:
            for kind in ("startupProbe", "readinessProbe"):
                await until(partial(self.asked, name, kind), f"{name}: {kind}")

    def done(self, name: str) -> None:
        """Wait until every container of a job has ended, and well."""
        for container in self.containers(name).values():
            assert self.podman("wait", container).strip() == "0", self.podman.logs()

    async def totals(self) -> tuple[int, int]:
        """Posts counted, cases routed."""
        password = read(self.given / "grafana" / "reader.password")
        return await totals(self.address("postgres"), password)


@pytest.fixture(scope="module")
async def pods(podman: Podman, unchecked: list[str]) -> AsyncIterator[Pods]:
    folder = FOLDER / "pods"
    shutil.rmtree(folder, ignore_errors=True)
    given, credentials = folder / "given", folder / "credentials"
    folder.mkdir()
    address = "postgresql://postgres:5432/klankbord"
    words = (str(credentials), "--hand-out", str(given), "--postgres-url", address)
    shown("klankbord", "credentials", *words)
    (given / "source-secrets").mkdir()
    forum_key = make_secret(given / "source-secrets", "forum")
    secrets = shown("sh", "deploy/k8s/secrets.sh", str(credentials), str(given))
    manifests = shown("kubectl", "kustomize", "deploy/k8s/overlays/dev")
    documents: list[Document] = [
        document for text in (manifests, secrets) for document in yaml.safe_load_all(text)
    ]
    unchecked += [f"of the manifests: {line}" for line in left_out(documents)]
    podman("network", "create", NETWORK)
    pods = Pods(podman, documents, given, folder, forum_key)
    try:
        for name in SERVERS:
            pods.play(name)
        await pods.ready(*SERVERS)
        job = next(n for n, d in workloads(documents).items() if d["kind"] == "Job")
        pods.play(job)
        pods.done(job)
        rest = [name for name in workloads(documents) if name not in (*SERVERS, job)]
        for name in rest:
            pods.play(name)
        await pods.ready(*rest)
        yield pods
    except BaseException:
        print(podman.logs())
        raise
    finally:
        podman.clear()
        shutil.rmtree(folder)


async def test_every_probe_of_the_manifests_passes(pods: Pods) -> None:
    for name, workload in workloads(pods.documents).items():
        for probe in probes(workload):
            assert await pods.asked(name, probe.kind), f"{name}: {probe}"


@pytest.mark.parametrize("name", [*SERVICES, "exporter"])
def test_a_pod_is_confined_as_its_manifest_says(pods: Pods, name: str) -> None:
    for container in pods.containers(name).values():
        confined(pods.podman, container)


@pytest.mark.parametrize("name", [*SERVICES, *SERVERS, "exporter"])
def test_a_pod_has_the_memory_that_its_manifest_allows(pods: Pods, name: str) -> None:
    pod = workloads(pods.documents)[name]["spec"]["template"]["spec"]
    for container in pod["containers"]:
        allowed = container["resources"]["limits"]["memory"]
        units = {"Mi": 1024**2, "Gi": 1024**3}
        running = pods.podman.inspect("container", pods.containers(name)[container["name"]])
        assert running["HostConfig"]["Memory"] == int(allowed[:-2]) * units[allowed[-2:]]


async def test_a_signed_post_comes_out_routed_and_counted(pods: Pods) -> None:
    posts, cases = await pods.totals()
    async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
        forum = Sender(http, f"http://{pods.address('ingest')}:8080", "forum", pods.forum_key)
        post = submission(1, "The app crashes on the settings page: error 500.")
        assert await forum.send({"posts": [post]}) == {"received": 1, "duplicate": 0, "erased": 0}

    async def is_there() -> bool:
        return await pods.totals() == (posts + 1, cases + 1)

    await until(is_there, "the post, routed and counted")


async def test_a_forged_post_is_refused(pods: Pods) -> None:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
        door = f"http://{pods.address('ingest')}:8080/v1/sources/forum"
        answer = await http.post(door, json=submission(2, "Believe me."))
    assert answer.status_code == httpx.codes.UNAUTHORIZED


async def test_told_to_stop_under_load_each_service_ends_well_and_nothing_is_lost(
    pods: Pods,
) -> None:
    """SIGTERM, as the kubelet sends it, then the same container again."""
    posts, cases = await pods.totals()
    address = f"http://{pods.address('ingest')}:8080"

    async def talk() -> None:
        async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
            forum = Sender(http, address, "forum", pods.forum_key)
            for batch in range(BATCHES):
                first = 1000 + batch * BATCH
                said = [
                    submission(n, f"Error {n}: the app crashes.")
                    for n in range(first, first + BATCH)
                ]
                await forum.send({"posts": said})
                await asyncio.sleep(0.1)

    talking = asyncio.create_task(talk())
    ended: Mapping[str, Any] = {}
    for name in SERVICES:
        container = pods.containers(name)["klankbord"]
        await asyncio.to_thread(pods.podman, "stop", "--time", "45", container)
        ended = {**ended, name: pods.podman.inspect("container", container)["State"]["ExitCode"]}
        await asyncio.to_thread(pods.podman, "start", container)
    await talking
    assert ended == dict.fromkeys(SERVICES, 0)
    sent = BATCH * BATCHES

    async def all_there() -> bool:
        return await pods.totals() == (posts + sent, cases + sent)

    await until(all_there, f"{sent} posts, routed and counted once each")
    await pods.ready(*SERVICES)


async def test_prometheus_finds_what_the_dashboards_need(pods: Pods) -> None:
    for name in (*SERVICES, "exporter"):
        assert await answers(f"http://{pods.address(name)}:8080/metrics")
    async with httpx.AsyncClient(timeout=20, trust_env=False) as http:
        told = (await http.get(f"http://{pods.address('exporter')}:8080/metrics")).text
    assert 'klankbord_stream_messages{stream="POSTS"}' in told
    assert "klankbord_consumer_missing{" not in told
