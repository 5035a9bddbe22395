"""`make kube`: the images, the manifests' own pods and docker-compose.yml, on podman."""

import shutil
from collections.abc import Iterator

import pytest
from kube.podman import Podman

NEVER = (
    "an API server: rollouts, Services as addresses, NetworkPolicies, scaling, preStop",
    "the kubelet: each probe is asked by the tests, nobody acts on its answer",
    "the images of Python, NATS, PostgreSQL and Prometheus: others stood in (tests/kube/images.py)",
    "Grafana, the OpenTelemetry collector, Jaeger: docker-compose.yml is only read for them",
    "compose's own waiting for health: the tests ask each check, and then start what waits for it",
    "Docker's engine and BuildKit, and processors other than this one",
)
UNCHECKED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """podman, with nothing running in its storage before and after."""
    assert shutil.which("podman"), "podman is not installed: run `make kube` as root"
    podman = Podman()
    podman.clear()
    yield podman
    podman.clear()


def pytest_configure(config: pytest.Config) -> None:
    """The place where tests note what they left out."""
    config.stash[UNCHECKED] = []


@pytest.fixture(scope="session")
def unchecked(request: pytest.FixtureRequest) -> list[str]:
    """What a test could not try here; it is printed at the end."""
    return request.config.stash[UNCHECKED]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was not tried, whatever the tests found."""
    terminalreporter.section("not checked here")
    for line in (*NEVER, *config.stash[UNCHECKED]):
        terminalreporter.write_line(f"- {line}")
