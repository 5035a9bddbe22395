"""The servers of a NATS cluster, on the loopback address."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from klankbord_standalone.child import LOOPBACK, free_port
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.nats_server import NatsServer

NODES = 3
SERVER_NAME = re.compile(r"^server_name: .*$", re.MULTILINE)


class Node(NatsServer):
    """One server of a cluster: configured as it ships, with a name of its own and its routes."""

    def __init__(self, number: int, folder: Path, authorization: str, routes: list[int]) -> None:
        """Nothing is started yet.

        Args:
            number: which it is, from 0.
            folder: its own.
            authorization: who may do what.
            routes: the ports at which the nodes reach one another, in their order.
        """
        super().__init__(folder, authorization, port=free_port(), monitor_port=free_port())
        self.node = f"node-{number}"
        self._route = routes[number]
        self._routes = routes

    def configuration(self) -> str:
        shipped, named = SERVER_NAME.subn(f"server_name: {self.node}", super().configuration())
        assert named == 1
        cluster = {
            "name": "klankbord",
            "listen": f"{LOOPBACK}:{self._route}",
            "routes": [f"nats://{LOOPBACK}:{port}" for port in self._routes],
        }
        return f"{shipped}\ncluster: {json.dumps(cluster)}\n"


def nodes(folder: Path, credentials: Credentials) -> list[Node]:
    """Three that know one another, each with a folder of its own; none is started yet."""
    routes = [free_port() for _ in range(NODES)]
    authorization = credentials.authorization()
    return [Node(n, folder / f"node-{n}", authorization, routes) for n in range(NODES)]


def url(servers: Iterable[NatsServer]) -> str:
    """Where all of them are, as services are told."""
    return ",".join(server.url for server in servers)
