"""What `production` tells its pods about PostgreSQL's TLS, against a real one that speaks it."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from ssl import SSLCertVerificationError

import asyncpg
import pytest
from manifests import Manifests
from scripts.manifests import K8S, render

from klankbord_runtime.provision import provision_database
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.postgres_server import PostgresServer, unprivileged_account

DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
PRODUCTION = Manifests(render(K8S / "overlays" / "production"))
AUTHORITY = "/postgres-ca/ca.crt"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not DEBIAN or not shutil.which("openssl"),
        reason="needs Debian's PostgreSQL, which speaks TLS: make setup-system",
    ),
]


@pytest.fixture
async def database(place: Path) -> AsyncIterator[tuple[Credentials, str]]:
    """A PostgreSQL with a certificate for `localhost`, provisioned; and its URI without a role."""
    keys = place / "tls"
    keys.mkdir()
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    for name in ("server", "other"):
        files = ["-keyout", f"{name}.key", "-out", f"{name}.crt"]
        names = ["-addext", "subjectAltName=DNS:localhost"]
        subprocess.run([*new, *files, *names], cwd=keys, check=True, capture_output=True)
    if os.geteuid() == 0:
        account = unprivileged_account()
        os.chown(keys / "server.key", account.uid, account.gid)
    credentials = Credentials.create(place / "credentials")
    server = PostgresServer(
        place / "postgres",
        credentials.password("postgres"),
        settings={
            "ssl": "on",
            "ssl_cert_file": str(keys / "server.crt"),
            "ssl_key_file": str(keys / "server.key"),
        },
        binaries=DEBIAN[-1],
    )
    await server.start()
    try:
        await provision_database(server.url, credentials.database_passwords())
        yield credentials, f"postgresql://localhost:{server.port}/postgres"
    finally:
        await server.stop()
        server.erase()


async def test_a_pod_believes_its_authority_and_no_other(
    database: tuple[Credentials, str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials, address = database
    told = PRODUCTION.environment("routing")
    url = credentials.database_url(address, "routing")

    async def spoken(url: str, authority: str) -> bool:
        """Connect with the pod's variables; whether that is by TLS."""
        monkeypatch.setenv("PGSSLMODE", told["PGSSLMODE"])
        instead = str(place / "tls" / authority)
        monkeypatch.setenv("PGSSLROOTCERT", told["PGSSLROOTCERT"].replace(AUTHORITY, instead))
        connection = await asyncpg.connect(url)
        try:
            query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
            return bool(await connection.fetchval(query))
        finally:
            await connection.close()

    assert await spoken(url, "server.crt")
    with pytest.raises(SSLCertVerificationError, match="self-signed"):
        await spoken(url, "other.crt")
    with pytest.raises(SSLCertVerificationError, match=r"not valid for '127\.0\.0\.1'"):
        await spoken(url.replace("localhost", "127.0.0.1"), "server.crt")
