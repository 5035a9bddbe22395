"""docker-compose.yml: little can be reached, nothing can be read that is another's, no secret."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from klankbord_schemas.topology import SERVICES as TOPOLOGY
from klankbord_standalone.home import CONFIGS

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {n: c for n, c in CONTAINERS.items() if c["image"].startswith("klankbord/")}
SERVICES = [service.name for service in TOPOLOGY]
STAYING = [name for name, container in CONTAINERS.items() if container["restart"] != "no"]
JOBS = [name for name in CONTAINERS if name not in STAYING]
SERVERS = ["nats", "postgres"]
WATCHING = ["exporter", "prometheus", "grafana"]
TRACING = ["otel-collector", "jaeger"]
DONE = {"condition": "service_completed_successfully"}


def volumes(container: str) -> Iterator[tuple[str, str, bool]]:
    """Source, target, and whether it can only be read."""
    for volume in CONTAINERS[container].get("volumes", ()):
        if isinstance(volume, str):
            source, target, *options = volume.split(":")
            yield source, target, options == ["ro"]
        else:
            yield volume["source"], volume["target"], volume["read_only"]


def test_every_service_of_the_topology_is_there() -> None:
    assert set(STAYING) == {*SERVICES, *SERVERS, *WATCHING, *TRACING}


def test_the_core_is_small_and_traces_come_when_asked_for() -> None:
    core = [name for name in STAYING if "profiles" not in CONTAINERS[name]]
    assert len(core) <= 10
    for name in TRACING:
        assert CONTAINERS[name]["profiles"] == ["traces"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_can_do_little(name: str) -> None:
    container = CONTAINERS[name]
    assert container["user"] in ("10001:10001", "65534:65534", "472", "postgres")
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert "cap_add" not in container
    assert "privileged" not in container
    assert container["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_an_image_is_pinned_and_ours_is_never_pulled(name: str) -> None:
    image, _, tag = CONTAINERS[name]["image"].partition(":")
    if name in OURS:
        version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
        assert tag == version
        assert CONTAINERS[name]["pull_policy"] in ("build", "never")
    else:
        assert re.match(r"v?\d+\.\d+", tag), f"{image} has no full version"


def test_each_image_is_built_once_and_for_the_service_that_it_is_named_after() -> None:
    built = [
        (container["image"].partition(":")[0], container["build"]["args"]["SERVICE"])
        for container in OURS.values()
        if container["pull_policy"] == "build"
    ]
    wanted = [*SERVICES, "standalone"]
    assert sorted(built) == sorted((f"klankbord/{service}", service) for service in wanted)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_port_is_published_on_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in CONTAINERS[name].get("ports", ()))
    assert CONTAINERS[name].get("network_mode") != "host"


def test_only_who_has_a_port_and_the_operator_reach_anything_outside() -> None:
    """A port cannot be published from a network that leads nowhere."""
    assert COMPOSE["networks"]["default"] == {"internal": True}
    outside = [name for name, container in CONTAINERS.items() if "networks" in container]
    assert outside == ["nats", "ingest", "grafana", "jaeger", "klankbord"]
    assert [name for name in CONTAINERS if "ports" in CONTAINERS[name]] == outside[:-1]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_its_own_keys_and_nobody_elses(service: str) -> None:
    for container in (service, f"{service}-migrate"):
        sources = {source for source, target, _ in volumes(container) if source != "./klankbord"}
        assert sources - {"secrets"} == {service}
    readers = {name for name in CONTAINERS for source, *_ in volumes(name) if source == service}
    assert readers == {"credentials", service, f"{service}-migrate"}


def test_all_the_keys_are_the_operators_and_webhook_secrets_are_ingests_too() -> None:
    def readers(volume: str) -> set[str]:
        return {name for name in CONTAINERS for source, *_ in volumes(name) if source == volume}

    assert readers("credentials") == {"credentials", "provision", "klankbord"}
    assert readers("secrets") == {"ingest", "klankbord"}


@pytest.mark.parametrize("name", STAYING)
def test_what_runs_on_cannot_write_what_it_is_told_by(name: str) -> None:
    writable = {target for _, target, read_only in volumes(name) if not read_only}
    assert writable <= {"/data", "/var/lib/postgresql", "/prometheus", "/var/lib/grafana"}


def test_who_watches_is_given_no_key_but_that_of_the_role_that_only_reads() -> None:
    keys = {"credentials", "secrets", *SERVERS, *SERVICES}
    for name in (*WATCHING, *TRACING):
        assert keys.isdisjoint(source for source, *_ in volumes(name))
    readers = {name for name in CONTAINERS for source, *_ in volumes(name) if source == "grafana"}
    assert readers == {"credentials", "grafana"}


def test_grafanas_administrator_has_a_password_of_this_installation() -> None:
    file = CONTAINERS["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"]
    assert file == "/credentials/admin.password"
    assert "GF_AUTH_ANONYMOUS_ENABLED" not in CONTAINERS["grafana"]["environment"]


def test_grafana_asks_nobody_outside() -> None:
    told = CONTAINERS["grafana"]["environment"]
    for question in (
        "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
        "GF_NEWS_NEWS_FEED_ENABLED",
    ):
        assert told[question] == "false"


def test_traces_go_where_the_person_who_asks_for_them_says() -> None:
    """A variable without a value is taken from the shell or .env; unset there, it stays unset."""
    for name in SERVICES:
        told = CONTAINERS[name]["environment"]
        assert told["KLANKBORD_TELEMETRY__OTLP_ENDPOINT"] is None


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_secret_stands_in_the_file(name: str) -> None:
    environment = CONTAINERS[name].get("environment", {})
    for variable, value in environment.items():
        if value is None:
            continue
        if re.search("PASSWORD|SEED|KEY|TOKEN|PGPASSFILE|URL_FILE", variable):
            assert value.startswith("/credentials/"), variable
        assert (
            "://" not in value
            or ":" not in value.partition("@")[0].partition("://")[2]
            or ("@" not in value)
        ), f"{variable} holds a password"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_after_its_migration_and_that_after_provisioning(service: str) -> None:
    assert CONTAINERS[service]["depends_on"] == {f"{service}-migrate": DONE}
    assert CONTAINERS[f"{service}-migrate"]["depends_on"] == {"provision": DONE}
    assert CONTAINERS[service]["restart"] == "unless-stopped"
    assert "healthcheck" not in CONTAINERS[service]  # the image's


@pytest.mark.parametrize("name", [*WATCHING, *TRACING])
def test_who_watches_comes_back_and_is_watched(name: str) -> None:
    """The exporter by its image's check; the collector's image has nothing to ask it with."""
    assert CONTAINERS[name]["restart"] == "unless-stopped"
    if name not in ("exporter", "otel-collector"):
        assert CONTAINERS[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", JOBS)
def test_a_job_runs_once(name: str) -> None:
    assert CONTAINERS[name]["restart"] == "no"
    assert CONTAINERS[name]["healthcheck"] == {"disable": True}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_starts_with_its_credentials_and_is_watched(name: str) -> None:
    assert CONTAINERS[name]["depends_on"] == {"credentials": DONE}
    assert CONTAINERS[name]["healthcheck"]["test"][0] == "CMD"
    assert CONTAINERS["provision"]["depends_on"][name] == {"condition": "service_healthy"}


def test_every_volume_is_declared_and_every_file_of_ours_is_there() -> None:
    sources = {source for name in CONTAINERS for source, *_ in volumes(name)}
    own = {source for source in sources if source.startswith("./")} - {"./klankbord"}
    assert sources - own - {"./klankbord"} == set(COMPOSE["volumes"])
    assert [source for source in own if not (ROOT / source).exists()] == []


def test_a_missing_folder_of_configuration_is_an_error() -> None:
    for name in SERVICES:
        bind = [v for v in CONTAINERS[name]["volumes"] if not isinstance(v, str)]
        assert [v["bind"] for v in bind] == [{"create_host_path": False}]


def test_the_documentation_names_where_each_configuration_file_comes_from() -> None:
    told = (ROOT / "docs" / "containers.md").read_text("utf-8")
    for file, package in CONFIGS.items():
        source = f"services/{package.removeprefix('klankbord_')}/src/{package}/{file}"
        assert source in told
        assert (ROOT / source).is_file()
