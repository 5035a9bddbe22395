"""The servers of a NATS cluster, on the loopback address.

They speak TLS as the cluster in `deploy/k8s` does: to clients with a certificate of their own, to
one another with one on either side. openssl makes what cert-manager makes there.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from klankbord_standalone.child import LOOPBACK, free_port
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.nats_server import NatsServer

NODES = 3
CERTIFIED = f"subjectAltName=IP:{LOOPBACK}\nextendedKeyUsage=serverAuth,clientAuth\n"
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
        self._tls = folder.parent / "tls"
        self._route = routes[number]
        self._routes = routes

    @property
    def url(self) -> str:
        return f"tls://{LOOPBACK}:{self.port}"

    def configuration(self) -> str:
        shipped, named = SERVER_NAME.subn(f"server_name: {self.node}", super().configuration())
        assert named == 1
        tls = {"cert_file": str(self._tls / "tls.crt"), "key_file": str(self._tls / "tls.key")}
        cluster = {
            "name": "klankbord",
            "listen": f"{LOOPBACK}:{self._route}",
            "routes": [f"nats://{LOOPBACK}:{port}" for port in self._routes],
            "tls": {**tls, "ca_file": str(ca_file(self._tls)), "verify": True},
        }
        return f"{shipped}\ntls: {json.dumps(tls)}\ncluster: {json.dumps(cluster)}\n"


def nodes(folder: Path, credentials: Credentials) -> list[Node]:
    """Three that know one another, each with a folder of its own; none is started yet."""
    certify(folder / "tls")
    routes = [free_port() for _ in range(NODES)]
    authorization = credentials.authorization()
    return [Node(n, folder / f"node-{n}", authorization, routes) for n in range(NODES)]


def ca_file(tls: Path) -> Path:
    """Whom their clients believe."""
    return tls / "ca.crt"


@contextmanager
def believed(tls: Path) -> Iterator[None]:
    """Let what this process connects with believe them, as a container of `deploy/k8s` does."""
    with mock.patch.dict(os.environ, {"SSL_CERT_FILE": str(ca_file(tls))}):
        yield


def certify(folder: Path, extensions: str = CERTIFIED) -> None:
    """An authority, and a certificate by it, as a rule for the loopback address.

    Args:
        folder: is made, and holds `tls.crt`, `tls.key` and `ca.crt` afterwards.
        extensions: of the certificate, as openssl reads them.
    """

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    folder.mkdir()
    (folder / "extensions").write_text(extensions)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=klankbord")
    openssl("req", *new, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=nats")
    signing = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions"]
    openssl("x509", "-req", "-in", "tls.csr", "-out", "tls.crt", *signing)


def url(servers: Iterable[NatsServer]) -> str:
    """Where all of them are, as services are told."""
    return ",".join(server.url for server in servers)
