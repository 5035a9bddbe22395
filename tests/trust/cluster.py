"""A NATS cluster of three real servers, each stream kept by all of them, whose nodes are killed.

What a PodDisruptionBudget sees to on Kubernetes is done here by hand: after a fault the next one
waits until every stream is whole again. Two faults are worse than a budget allows: a majority that
is away for a while, and all nodes killed at once.
"""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from figures import Row
from nats.errors import Error as NatsError
from stage import Staged
from trust.chaos import Plan, play
from trust.crowd import Size
from trust.faults import DOWN, STALLED, Faults
from trust.nodes import NODES, Node, believed, ca_file, nodes, url
from trust.part import Say

from klankbord_runtime.permissions import PROVISION
from klankbord_runtime.provision import Change
from klankbord_schemas.topology import STREAMS
from klankbord_standalone.servers import Installation, Servers

NO_MAJORITY = 6.0
"""Seconds in which one node of three is left, and JetStream takes nothing."""
WHOLE_WITHIN = 60.0


@dataclass(frozen=True)
class Believing(Installation):
    """An installation whose services are told whom to believe."""

    ca_file: Path

    def environment(self, service: str) -> dict[str, str]:
        return super().environment(service) | {"KLANKBORD_NATS__CA_FILE": str(self.ca_file)}


class Cluster(Servers):
    """Three nodes and a PostgreSQL; `nats` is the first node."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet; `folder` holds everything."""
        super().__init__(folder)
        self._tls = folder / "tls"
        self._meanwhile = ExitStack()
        self.nodes = nodes(folder, self.credentials)
        self.nats = self.nodes[0]

    @property
    def installation(self) -> Installation:
        here = super().installation
        return Believing(url(self.nodes), here.admin_url, here.credentials, ca_file(self._tls))

    async def start(self) -> list[Change]:
        self._meanwhile.enter_context(believed(self._tls))
        try:
            for node in self.nodes[1:]:
                await node.start()
        except BaseException:
            await self.stop()
            raise
        return await super().start()

    async def provision(self) -> list[Change]:
        return await self.installation.provision(NODES)

    async def stop(self) -> None:
        for node in self.nodes[1:]:
            await node.stop()
        await super().stop()
        self._meanwhile.close()


class ClusterFaults(Faults):
    """What is done to a cluster."""

    def __init__(self, scene: Staged, plan: Mapping[str, int], seed: int, say: Say) -> None:
        super().__init__(scene, plan, seed, say)
        assert isinstance(scene.servers, Cluster)
        self._cluster = scene.servers
        self._turn = 0

    def acts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return super().acts() | {
            "leader_kills": self._kill_leader,
            "node_kills": self._kill_each,
            "leader_stalled": self._stall_leader,
            "majority_lost": self._lose_majority,
            "blackouts": self._kill_all,
        }

    async def _kill_leader(self) -> None:
        """Kill the node that leads a stream: POSTS more often than each of the others."""
        stream = self._chance.choice(["POSTS", self._chance.choice(STREAMS).name])
        await self._kill(await self._leader(stream))

    async def _kill_each(self) -> None:
        """Kill one node after the other: the last one takes over from the first."""
        node = self._cluster.nodes[self._turn % NODES]
        self._turn += 1
        await self._kill(node)

    async def _kill(self, *killed: Node, away: float = DOWN) -> None:
        await asyncio.gather(*(node.kill() for node in killed))
        await asyncio.sleep(away)
        await asyncio.gather(*(node.start() for node in killed))
        await self._whole()

    async def _stall_leader(self) -> None:
        """The leader of POSTS is there and does nothing, longer than an election takes."""
        process = psutil.Process((await self._leader("POSTS")).pid)
        process.suspend()
        try:
            await asyncio.sleep(STALLED)
        finally:
            process.resume()
        await self._whole()

    async def _lose_majority(self) -> None:
        await self._kill(*self._chance.sample(self._cluster.nodes, 2), away=NO_MAJORITY)

    async def _kill_all(self) -> None:
        await self._kill(*self._cluster.nodes)

    async def _leader(self, stream: str) -> Node:
        async with asyncio.timeout(WHOLE_WITHIN):
            while True:
                state = await self._state(stream)
                for node in self._cluster.nodes:
                    if state is not None and node.node == state.leader:
                        return node
                await asyncio.sleep(0.2)

    async def _whole(self) -> None:
        """Wait until each node says it is well, and each stream has a leader whom all follow."""
        problem = ""
        try:
            async with (
                asyncio.timeout(WHOLE_WITHIN),
                httpx.AsyncClient(timeout=5, trust_env=False) as http,
            ):
                for node in self._cluster.nodes:
                    while problem := await _unwell(http, node):
                        await asyncio.sleep(0.2)
                for stream in STREAMS:
                    while not (state := await self._state(stream.name)) or state.behind:
                        problem = f"{stream.name}: {state or 'nobody answers'}"
                        await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"not whole after {WHOLE_WITHIN:.0f} s: {problem}") from None

    async def _state(self, stream: str) -> "State | None":
        """Who leads a stream, and who does not follow; None while nobody can say."""
        try:
            async with self._scene.everything.installation.client(PROVISION) as client:
                answer = await client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=2)
        except (NatsError, OSError):
            return None
        told = json.loads(answer.data).get("cluster", {})
        if not told.get("leader"):
            return None
        followers = told.get("replicas", [])
        behind = tuple(one["name"] for one in followers if not one.get("current"))
        return State(told["leader"], behind if len(followers) == NODES - 1 else ("who is missing",))


async def _unwell(http: httpx.AsyncClient, node: Node) -> str:
    """What a node says is not well with it: its streams, or that it knows no leader."""
    try:
        answer = await http.get(f"{node.monitor_url}/healthz")
    except httpx.TransportError as error:
        return f"{node.node}: {type(error).__name__}"
    return "" if answer.is_success else f"{node.node}: {answer.text}"


class State(NamedTuple):
    """Who leads a stream, and which nodes do not follow yet."""

    leader: str
    behind: tuple[str, ...]


SHORT = Plan(
    Size(posts=1_500, hasty=2),
    {
        "leader_kills": 2,
        "node_kills": NODES,
        "leader_stalled": 1,
        "majority_lost": 1,
        "blackouts": 1,
        "worker_kills": 4,
        "rolling_restarts": 2,
        "postgres_kills": 1,
    },
    replicas=2,
    lasts=45,
    servers=Cluster,
    nodes=NODES,
    acting=ClusterFaults,
)
# written down once more: a plan that becomes smaller must not make the goals smaller
GOALS = {
    "leader_kills": 2,
    "node_kills": 3,
    "leader_stalled": 1,
    "majority_lost": 1,
    "blackouts": 1,
}
OWES = ("cluster_lost", "cluster_doubled", "cluster_dead_letters_unexplained")


async def run(seed: int, say: Say) -> list[Row]:
    """The short chaos on a cluster, in a minute and a half."""
    if shutil.which("openssl") is None:
        return [Row(name, None, "", skipped="needs openssl") for name in OWES]
    outcome = await play(SHORT, seed, say)
    found = outcome.audit
    return [
        Row("cluster_lost", found.lost, "effects", "== 0", note="; ".join(found.findings[:3])),
        Row("cluster_doubled", found.doubled + found.strange, "effects", "== 0"),
        Row("cluster_dead_letters_unexplained", found.dead_unexplained, "events", "== 0"),
        Row("cluster_recovery_s", outcome.recovery_s, "s", "<= 30"),
        Row("cluster_posts", outcome.posts, "posts", ">= 1,500"),
        *(
            Row(f"cluster_{name}", outcome.faults.get(name, 0), "times", f">= {goal}")
            for name, goal in GOALS.items()
        ),
    ]
