"""deploy/k8s: what is checked of every overlay, and what stands in two places is the same."""

import os
import re
import shutil
import stat
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests import Manifests
from scripts.manifests import (
    ALERTS,
    K8S,
    OTHERS,
    RELEASES,
    RULES,
    Manifest,
    components_of,
    problems,
    prometheus_rule,
    render,
    render_with,
)

from klankbord_schemas.topology import SERVICES
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.handout import hand_out, shares
from klankbord_standalone.home import CONFIGS

ROOT = Path(__file__).parents[3]
NAMES = [service.name for service in SERVICES]
DEV = Manifests(render(K8S / "overlays" / "dev"))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]


def changed(manifests: list[Manifest], kind: str) -> tuple[list[Manifest], Any]:
    """A copy, and the first object of that kind in it, to change."""
    copied = Manifests(manifests).copy()
    return copied.all, copied.of_kind(kind)[0]


@pytest.fixture(scope="module")
def scaled() -> list[Manifest]:
    return [m for m in render_with("keda") if m["kind"] in ("ScaledObject", "Service")]


def test_what_is_well_has_no_problem(scaled: list[Manifest]) -> None:
    assert list(problems(scaled, OTHERS["keda"])) == []


@pytest.mark.parametrize("release_says", ["clusterIp", "seletor"])
def test_a_misspelt_field_is_a_problem(scaled: list[Manifest], release_says: str) -> None:
    manifests, service = changed(scaled, "Service")
    service["spec"][release_says] = "x"
    (problem,) = problems(manifests, OTHERS["keda"])
    assert release_says in problem


def test_a_misspelt_kind_is_a_problem(scaled: list[Manifest]) -> None:
    manifests, service = changed(scaled, "Service")
    service["kind"] = "Servce"
    (problem,) = problems(manifests, OTHERS["keda"])
    assert "has no v1 Servce" in problem


def test_another_projects_kind_that_is_misspelt_is_a_problem(scaled: list[Manifest]) -> None:
    manifests, scaler = changed(scaled, "ScaledObject")
    scaler["kind"] = "ScaledObjct"
    unknown, counted = problems(manifests, OTHERS["keda"])
    assert "has no keda.sh/v1alpha1 ScaledObjct" in unknown
    assert "{'ScaledObject': 3}, and should be {'ScaledObject': 4}" in counted


@pytest.mark.parametrize("left_out", ["account", "stream", "consumer", "lagThreshold"])
def test_a_trigger_that_lacks_something_is_a_problem(scaled: list[Manifest], left_out: str) -> None:
    manifests, scaler = changed(scaled, "ScaledObject")
    del scaler["spec"]["triggers"][-1]["metadata"][left_out]
    assert len(list(problems(manifests, OTHERS["keda"]))) == 1


def test_a_triggers_misspelt_setting_is_a_problem(scaled: list[Manifest]) -> None:
    """KEDA would pass over it and take its default."""
    manifests, scaler = changed(scaled, "ScaledObject")
    scaler["spec"]["triggers"][-1]["metadata"]["lagTreshold"] = "5000"
    assert len(list(problems(manifests, OTHERS["keda"]))) == 1


def test_the_alerts_are_those_of_prometheus() -> None:
    assert RULES.read_text("utf-8") == prometheus_rule(ALERTS.read_text("utf-8")), (
        "run `python -m scripts.manifests --rules`"
    )
    rule = yaml.safe_load(RULES.read_text("utf-8"))
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text("utf-8"))


def test_the_examples_are_those_of_the_services() -> None:
    assert {file.name for file in (K8S / "base" / "config").iterdir()} == set(CONFIGS)
    for file, package in CONFIGS.items():
        shipped = ROOT / "services" / package.removeprefix("klankbord_") / "src" / package / file
        assert (K8S / "base" / "config" / file).read_bytes() == shipped.read_bytes()


@pytest.mark.parametrize("server", ["nats", "postgres"])
def test_the_servers_are_those_of_compose(server: str) -> None:
    assert DEV.main(server)["image"] == COMPOSE[server]["image"]
    cluster = Manifests(render(K8S / "overlays" / "production")).main("nats")["image"]
    assert server == "postgres" or cluster == COMPOSE[server]["image"]


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_told_what_compose_tells_it(name: str) -> None:
    told = COMPOSE[name]["environment"]
    # a variable without a value is only passed on; here a component sets it
    assert DEV.environment(name) == {key: value for key, value in told.items() if value is not None}


def test_what_is_tried_out_has_one_of_each_and_needs_nothing_installed() -> None:
    assert {m["apiVersion"] for m in DEV.all} <= {
        "v1",
        "apps/v1",
        "batch/v1",
        "policy/v1",
        "networking.k8s.io/v1",
    }
    assert all(DEV.spec(name).get("replicas", 1) <= 1 for name in DEV.workloads)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    credentials = Credentials.create(tmp_path / "creds")
    given = tmp_path / "given"
    hand_out(shares(credentials, "postgresql://postgres:5432/klankbord"), given)
    yield credentials.folder, given
    shutil.rmtree(tmp_path)


def secrets(*words: Path | str) -> subprocess.CompletedProcess[str]:
    path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    command = [str(K8S / "secrets.sh"), *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )


def test_a_secret_is_made_for_every_volume_that_must_be_there(folders: tuple[Path, Path]) -> None:
    done = secrets(*folders)
    assert done.returncode == 0, done.stderr
    namespace, *made = yaml.safe_load_all(done.stdout)
    labels = DEV.one("Namespace", "klankbord")["metadata"]["labels"]
    assert namespace["metadata"]["name"] == "klankbord"
    assert namespace["metadata"]["labels"].items() <= labels.items()
    assert list(problems(made, {})) == []
    keys = {m["metadata"]["name"]: set(m["data"]) for m in made}
    assert {m["metadata"]["namespace"] for m in made} == {"klankbord"}
    for name in DEV.workloads:
        for volume in DEV.pod(name)["volumes"]:
            if "secret" in volume and not volume["secret"].get("optional"):
                wanted = {item["key"] for item in volume["secret"].get("items", [])}
                assert wanted <= keys[volume["secret"]["secretName"]]
    assert keys["ingest"] == {"nats.nk", "postgres.url", "pseudonym.key", "operator.token"}


def test_it_says_how_it_is_called_when_the_folders_are_others(tmp_path: Path) -> None:
    for words in ((), (tmp_path, tmp_path)):
        done = secrets(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "klankbord credentials" in done.stderr


def test_secrets_are_not_shown_on_a_terminal(folders: tuple[Path, Path]) -> None:
    ours, theirs = os.openpty()
    words = [str(K8S / "secrets.sh"), *map(str, folders)]
    try:
        done = subprocess.run(
            words, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False, timeout=30
        )
    finally:
        os.close(theirs)
    with os.fdopen(ours, "rb") as terminal, suppress(OSError):  # that nobody has it open any more
        assert terminal.read() == b""
    assert done.returncode == 2
    assert "kubectl apply" in done.stderr


def test_the_script_can_be_run() -> None:
    assert (K8S / "secrets.sh").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("name", NAMES)
def test_without_keda_a_service_scales_by_its_processor_time(name: str) -> None:
    scaler = Manifests(render_with("hpa")).one("HorizontalPodAutoscaler", name)["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 4)
    (metric,) = scaler["metrics"]
    target = {"type": "AverageValue", "averageValue": "700m"}  # of the one core that it can use
    assert metric["resource"] == {"name": "cpu", "target": target}


def test_no_overlay_takes_two_of_what_excludes_each_other() -> None:
    for overlay in (K8S / "overlays").iterdir():
        taken = set(components_of(overlay))
        for alternatives in (
            {"keda", "hpa"},
            {"gateway", "ingress"},
            {"nats-cluster", "nats-single"},
        ):
            assert len(taken & alternatives) <= 1


def test_the_operator_of_postgres_hands_its_administrator_to_those_who_provision() -> None:
    manifests = Manifests(render_with("postgres-operator"))
    for name in manifests.workloads:
        secrets = {v["name"]: v["secret"] for v in manifests.pod(name)["volumes"] if "secret" in v}
        if name in ("operator", "prepare"):
            admin = secrets["postgres-admin"]
            assert admin["secretName"] == "postgres-app"
            assert admin["items"] == [{"key": "uri", "path": "admin.url"}]
        # what CloudNativePG signs with is beside the authority, and nobody gets it
        assert secrets.get("postgres-ca", {}).get("items") in (
            None if name == "exporter" else [{"key": "ca.crt", "path": "ca.crt"}],
        )


def test_spans_leave_by_an_arrow_of_their_own() -> None:
    manifests = Manifests(render_with("tracing"))
    for name in NAMES:
        address = manifests.environment(name)["KLANKBORD_TELEMETRY__OTLP_ENDPOINT"]
        assert address == "http://otel-collector.monitoring.svc:4318"
        assert "monitoring/opentelemetry-collector:4318" in manifests.egress(name)
    assert "monitoring/opentelemetry-collector:4318" not in manifests.egress("prepare")


def test_a_subscriber_reaches_nats_by_its_label_alone() -> None:
    policy = Manifests(render_with("subscribers")).one("NetworkPolicy", "nats-from-subscribers")
    (rule,) = policy["spec"]["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"] == {"matchLabels": {"klankbord.org/subscriber": "true"}}
    assert rule["ports"] == [{"port": 4222, "protocol": "TCP"}]


TOLD = (ROOT / "docs" / "deploy.md").read_text("utf-8")


def test_the_page_tells_of_every_overlay_and_component() -> None:
    for kind in ("overlays", "components"):
        for folder in (K8S / kind).iterdir():
            assert f"`{folder.name}`" in TOLD


@pytest.mark.parametrize("name", [*NAMES, "nats"])
def test_the_page_says_what_a_pod_is_given(name: str) -> None:
    given = Manifests(render(K8S / "overlays" / "production")).main(name)["resources"]
    row = " | ".join(
        f"{given['requests'][what]} · {given['limits'][what]}" for what in ("cpu", "memory")
    )
    called = "nats (cluster)" if name == "nats" else name
    assert f"| {called} | {row} |" in TOLD


def test_the_page_names_the_job_and_the_releases_as_they_are() -> None:
    (job,) = DEV.of_kind("Job")
    assert set(re.findall(r"prepare-\d+-\d+-\d+", TOLD)) == {job["metadata"]["name"]}
    assert f"Kubernetes {RELEASES[0]} and {RELEASES[1]}" in TOLD
