"""What a service that `klankbord` starts is told."""

from pathlib import Path

import pytest

from klankbord_schemas.topology import SERVICES
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.home import Home
from klankbord_standalone.servers import Installation
from klankbord_standalone.standalone import environment


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
def test_it_believes_whom_the_command_believes_and_hears_nothing_else_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """On Kubernetes `klankbord import` starts services beside servers that speak TLS."""
    trust = {
        "SSL_CERT_FILE": "/nats-ca/ca.crt",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/postgres-ca/ca.crt",
    }
    for name, value in {**trust, "KLANKBORD_POSTGRES_URL": "the administrator's"}.items():
        monkeypatch.setenv(name, value)
    credentials = Credentials.create(tmp_path / "credentials")
    installation = Installation("tls://nats:4222", "postgresql://postgres/klankbord", credentials)
    told = environment(Home.at(tmp_path, None), installation, service)
    assert trust.items() <= told.items()
    assert "the administrator's" not in told.values()


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
def test_ingest_alone_is_told_whom_it_may_ask_and_what_sources_sign_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """The pages of sources have the operator set these, and then start `klankbord up`."""
    said = {
        "KLANKBORD_OUTGOING__ALLOW": '["forum.internal.example:443"]',
        "KLANKBORD_PUBLIC_URL": "https://listen.example.org",
        "KLANKBORD_SECRET_FORUM": "whsec_c2VjcmV0",
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    credentials = Credentials.create(tmp_path / "credentials")
    installation = Installation("nats://nats:4222", "postgresql://postgres/klankbord", credentials)
    told = environment(Home.at(tmp_path, None), installation, service)
    assert {name for name in said if name in told} == (set(said) if service == "ingest" else set())
