"""The production overlay: what each workload must have, and that its absence would be seen.

A rule is a function that asserts something of one workload. With it stand the removals that it must
notice: each is done to a copy of what is rendered, and the rule must fail on it.
"""

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from manifests import Manifests, takes
from scripts.manifests import K8S, render

from klankbord_runtime.permissions import ACCOUNT
from klankbord_runtime.service import DRAIN_TIMEOUT
from klankbord_runtime.settings import PostgresSettings
from klankbord_schemas import topology
from klankbord_standalone.home import CONFIGS

ROOT = Path(__file__).parents[3]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
PRODUCTION = Manifests(render(K8S / "overlays" / "production"))

SERVICES = [service.name for service in topology.SERVICES]
JOB = f"prepare-{VERSION.replace('.', '-')}"
SERVED = [*SERVICES, "exporter"]
OURS = [*SERVED, "operator", "prepare"]
EVERY = [*OURS, "nats"]
SECURITY = "pod-security.kubernetes.io"
# where something stands in an object
UNAVAILABLE = ("strategy", "rollingUpdate", "maxUnavailable")
ZONES = ("topologySpreadConstraints", 0)
ENDPOINT = ("spec", "podMetricsEndpoints", 0)
FIRST_BLOCK = ("spec", "egress", 0, "to", 0, "ipBlock")
PODS = ("metadata", "labels")

DOOR_CLOSES = 10.0
OUTBOX_LEAVES = 5.0
"""What a drain takes at most after the consumers' own (`Service._drain`)."""

Step: TypeAlias = str | int
Change: TypeAlias = Callable[[Manifests, str], None]
Check: TypeAlias = Callable[[Manifests, str], None]


@dataclass(frozen=True)
class Rule:
    check: Check
    workloads: Iterable[str]
    removals: dict[str, Change]


RULES: list[Rule] = []


def rule(workloads: Iterable[str], **removals: Change) -> Callable[[Check], Check]:
    """Declare what holds for these workloads, and what would break it, by name."""

    def declare(check: Check) -> Check:
        RULES.append(Rule(check, workloads, removals))
        return check

    return declare


# -- removals ------------------------------------------------------------------------------------


def without(*path: Step) -> Change:
    """Take something away from the pod: `without("securityContext", "runAsNonRoot")`."""

    def change(manifests: Manifests, name: str) -> None:
        _delete(manifests.pod(name), path)

    return change


def each_without(*path: Step) -> Change:
    """Take something away from the pod's last container."""

    def change(manifests: Manifests, name: str) -> None:
        _delete(manifests.containers(name)[-1], path)

    return change


def first_without(*path: Step) -> Change:
    """Take something away from the pod's first container, such as one that only waits."""

    def change(manifests: Manifests, name: str) -> None:
        _delete(manifests.containers(name)[0], path)

    return change


def with_(value: Any, *path: Step) -> Change:
    """Put something else into the pod's last container."""

    def change(manifests: Manifests, name: str) -> None:
        inner, last = _at(manifests.containers(name)[-1], path)
        inner[last] = value

    return change


def first_with(value: Any, *path: Step) -> Change:
    """Put something else into the pod's first container."""

    def change(manifests: Manifests, name: str) -> None:
        inner, last = _at(manifests.containers(name)[0], path)
        inner[last] = value

    return change


def pod_with(value: Any, *path: Step) -> Change:
    """Put something else into the pod."""

    def change(manifests: Manifests, name: str) -> None:
        inner, last = _at(manifests.pod(name), path)
        inner[last] = value

    return change


def spec_without(*path: Step) -> Change:
    """Take something away from the workload's spec."""

    def change(manifests: Manifests, name: str) -> None:
        _delete(manifests.workloads[name]["spec"], path)

    return change


def spec_with(value: Any, *path: Step) -> Change:
    """Put something else into the workload's spec."""

    def change(manifests: Manifests, name: str) -> None:
        inner, last = _at(manifests.workloads[name]["spec"], path)
        inner[last] = value

    return change


def object_gone(kind: str, called: str = "{}") -> Change:
    """Leave out an object; `{}` stands for the workload's name."""

    def change(manifests: Manifests, name: str) -> None:
        manifests.remove(kind, called.format(name))

    return change


def object_with(value: Any, kind: str, called: str, *path: Step) -> Change:
    """Put something else into another object."""

    def change(manifests: Manifests, name: str) -> None:
        inner, last = _at(manifests.one(kind, called.format(name)), path)
        inner[last] = value

    return change


def variable_from_secret(manifests: Manifests, name: str) -> None:
    reference = {"secretKeyRef": {"name": name, "key": "postgres.url"}}
    manifests.containers(name)[-1].setdefault("env", []).append(
        {"name": "KLANKBORD_POSTGRES__URL", "valueFrom": reference}
    )


def password_in_a_variable(manifests: Manifests, name: str) -> None:
    url = "postgresql://klankbord_ingest:secret@postgres/klankbord"
    manifests.containers(name)[-1].setdefault("env", []).append({"name": "URL", "value": url})


def secret_added(called: str) -> Change:
    def change(manifests: Manifests, name: str) -> None:
        manifests.pod(name)["volumes"].append({"name": "x", "secret": {"secretName": called}})

    return change


def secret_with(field: str, value: Any) -> Change:
    def change(manifests: Manifests, name: str) -> None:
        secret = {"secretName": "x", "defaultMode": 0o440, field: value}
        manifests.pod(name)["volumes"].append({"name": "x", "secret": secret})

    return change


def secret_without(field: str) -> Change:
    def change(manifests: Manifests, name: str) -> None:
        for volume in manifests.pod(name)["volumes"]:
            volume.get("secret", {}).pop(field, None)

    return change


def a_mount_writable(manifests: Manifests, name: str) -> None:
    pod = manifests.pod(name)
    pod["volumes"].append({"name": "x", "configMap": {"name": "x"}})
    manifests.containers(name)[-1]["volumeMounts"].append({"name": "x", "mountPath": "/x"})


def scratch_unbounded(manifests: Manifests, name: str) -> None:
    manifests.pod(name)["volumes"].append({"name": "x", "emptyDir": {}})


def volume_gone(called: str) -> Change:
    def change(manifests: Manifests, name: str) -> None:
        pod = manifests.pod(name)
        pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] != called]

    return change


def host_path(manifests: Manifests, name: str) -> None:
    manifests.pod(name)["volumes"].append({"name": "x", "hostPath": {"path": "/"}})


def trigger_gone(manifests: Manifests, name: str) -> None:
    manifests.one("ScaledObject", name)["spec"]["triggers"].pop()


def trigger_misspelt(manifests: Manifests, name: str) -> None:
    manifests.one("ScaledObject", name)["spec"]["triggers"][-1]["metadata"]["consumer"] += "s"


def label_gone(label: str) -> Change:
    def change(manifests: Manifests, name: str) -> None:
        del manifests.workloads[name]["spec"]["template"]["metadata"]["labels"][label]

    return change


def variables_gone(*variables: str) -> Change:
    """Take variables away from every container of the pod."""

    def change(manifests: Manifests, name: str) -> None:
        for container in manifests.containers(name):
            container["env"] = [v for v in container["env"] if v["name"] not in variables]

    return change


def policy_opened(manifests: Manifests, name: str) -> None:
    manifests.all.append(
        {
            "kind": "NetworkPolicy",
            "metadata": {"name": "open"},
            "spec": {
                "podSelector": {},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{}],
                "egress": [{}],
            },
        }
    )


def configured(old: str, new: str) -> Change:
    """Change nats.conf."""

    def change(manifests: Manifests, name: str) -> None:
        data = nats_config(manifests)
        assert old in data["nats.conf"]
        data["nats.conf"] = data["nats.conf"].replace(old, new)

    return change


def nats_config(manifests: Manifests) -> dict[str, str]:
    """The ConfigMap that NATS's pods mount."""
    (config,) = (v["configMap"] for v in manifests.pod("nats")["volumes"] if "configMap" in v)
    data: dict[str, str] = manifests.one("ConfigMap", config["name"])["data"]
    return data


def migration_gone(manifests: Manifests, name: str) -> None:
    pod = manifests.pod("prepare")
    pod["containers"] = [c for c in pod["containers"] if c["name"] != f"migrate-{name}"]


def _at(inside: Any, path: tuple[Step, ...]) -> tuple[Any, Any]:
    """The last step of a path, and what it leads out of."""
    for step in path[:-1]:
        inside = inside[step]
    return inside, path[-1]


def _delete(inside: Any, path: tuple[Step, ...]) -> None:
    inner, last = _at(inside, path)
    del inner[last]


# -- the rules -----------------------------------------------------------------------------------


@rule(
    EVERY,
    root=without("securityContext", "runAsNonRoot"),
    any_user=without("securityContext", "runAsUser"),
    group=without("securityContext", "fsGroup"),
    seccomp=without("securityContext", "seccompProfile"),
    escalation=each_without("securityContext", "allowPrivilegeEscalation"),
    writable_root=each_without("securityContext", "readOnlyRootFilesystem"),
    capabilities=each_without("securityContext", "capabilities"),
    first_of_them=first_without("securityContext"),
    added=with_({"drop": ["ALL"], "add": ["NET_RAW"]}, "securityContext", "capabilities"),
    of_the_host=host_path,
    hosts_network=pod_with("yes", "hostNetwork"),
)
def it_is_confined(manifests: Manifests, name: str) -> None:
    pod = manifests.pod(name)
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
        **({"fsGroupChangePolicy": "OnRootMismatch"} if name == "nats" else {}),
    }
    for container in manifests.containers(name):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert not any(word.startswith("host") for word in pod)
    assert not any("hostPath" in volume for volume in pod["volumes"])


@rule(
    EVERY,
    token=without("automountServiceAccountToken"),
    links=without("enableServiceLinks"),
    account=pod_with("default", "serviceAccountName"),
)
def it_knows_nothing_of_the_cluster(manifests: Manifests, name: str) -> None:
    pod = manifests.pod(name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert "serviceAccountName" not in pod


@rule(
    EVERY,
    none=each_without("resources"),
    first=first_without("resources"),
    requests=each_without("resources", "requests", "cpu"),
    limits=each_without("resources", "limits", "memory"),
)
def it_says_what_it_needs_and_takes_no_more(manifests: Manifests, name: str) -> None:
    for container in manifests.containers(name):
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) == {"cpu", "memory"}


@rule(EVERY, latest=with_("klankbord/ingest:latest", "image"), untagged=with_("nats", "image"))
def its_images_are_pinned(manifests: Manifests, name: str) -> None:
    for container in manifests.containers(name):
        image, _, tag = container["image"].partition(":")
        if image.startswith("klankbord/"):
            assert tag == VERSION
        else:
            assert re.match(r"\d+\.\d+\.\d+", tag), image


@rule(
    EVERY,
    from_environment=variable_from_secret,
    in_the_manifest=password_in_a_variable,
    open_to_all=secret_with("defaultMode", 0o444),
)
def secrets_are_files_that_its_own_user_reads(manifests: Manifests, name: str) -> None:
    for container in manifests.containers(name):
        assert "envFrom" not in container
        for variable in container.get("env", []):
            assert "secretKeyRef" not in variable.get("valueFrom", {})
            assert not re.search(r"://[^/]*:[^/]*@", variable.get("value", ""))
    secrets = [v["secret"] for v in manifests.pod(name)["volumes"] if "secret" in v]
    assert secrets or name == "exporter"
    assert all(secret["defaultMode"] == 0o440 for secret in secrets)


@rule(
    EVERY,
    writable=a_mount_writable,
    unbounded=scratch_unbounded,
    nowhere=each_without("volumeMounts"),
)
def it_writes_only_to_scratch_or_its_own_disk(manifests: Manifests, name: str) -> None:
    claims = {c["metadata"]["name"] for c in manifests.spec(name).get("volumeClaimTemplates", [])}
    volumes = {volume["name"]: volume for volume in manifests.pod(name)["volumes"]}
    scratch = {n for n, volume in volumes.items() if "emptyDir" in volume}
    assert all("sizeLimit" in volumes[n]["emptyDir"] for n in scratch)
    for container in manifests.containers(name):
        assert "tmp" in {mount["name"] for mount in container["volumeMounts"]}
        for mount in container["volumeMounts"]:
            assert mount["name"] in volumes.keys() | claims
            assert mount.get("readOnly") or mount["name"] in scratch | claims


@rule(
    SERVICES,
    anothers=secret_added("credentials"),
    whole_certificate=secret_without("items"),
)
def it_mounts_its_own_keys_and_nobody_elses(manifests: Manifests, name: str) -> None:
    secrets = [v["secret"] for v in manifests.pod(name)["volumes"] if "secret" in v]
    whole = {secret["secretName"] for secret in secrets if "items" not in secret}
    assert whole == {name} | ({"source-secrets"} if name == "ingest" else set())
    parts = {(s["secretName"], item["key"]) for s in secrets for item in s.get("items", [])}
    assert parts == {("nats-tls", "ca.crt"), ("postgres-ca", "ca.crt")}


@rule(SERVICES, urls=variables_gone("KLANKBORD_POSTGRES__URL_FILE"), config=volume_gone("config"))
def its_settings_name_files_that_it_has(manifests: Manifests, name: str) -> None:
    told = manifests.environment(name)
    places = {mount["mountPath"] for mount in manifests.main(name)["volumeMounts"]}
    assert told["KLANKBORD_NATS__SEED_FILE"] == "/credentials/nats.nk"
    assert told["KLANKBORD_POSTGRES__URL_FILE"] == "/credentials/postgres.url"
    assert told["KLANKBORD_CONFIG_DIR"] == "/klankbord"
    for value in told.values():
        if value.startswith("/"):
            assert any(value == place or value.startswith(f"{place}/") for place in places)
    (config,) = (v["configMap"] for v in manifests.pod(name)["volumes"] if "configMap" in v)
    files = manifests.one("ConfigMap", config["name"])["data"]
    assert set(files) == set(CONFIGS)


@rule(
    [*SERVICES, "operator", "prepare"],
    postgres_mode=variables_gone("PGSSLMODE"),
    postgres_authority=variables_gone("PGSSLROOTCERT"),
    plain_nats=variables_gone(
        "KLANKBORD_NATS__URL", "KLANKBORD_NATS_URL", "SSL_CERT_FILE", "KLANKBORD_NATS__CA_FILE"
    ),
)
def it_speaks_tls_to_both_servers_and_checks_who_they_are(manifests: Manifests, name: str) -> None:
    for container in manifests.containers(name):
        told = {v["name"]: v["value"] for v in container["env"]}
        assert told["PGSSLMODE"] == "verify-full"
        assert told["PGSSLROOTCERT"] == "/postgres-ca/ca.crt"
        if name in SERVICES and container["name"] == "klankbord":
            assert told["KLANKBORD_NATS__URL"].startswith("tls://")
            assert told["KLANKBORD_NATS__CA_FILE"] == "/nats-ca/ca.crt"
        elif "KLANKBORD_NATS_CREDS_DIR" in told:
            assert told["KLANKBORD_NATS_URL"].startswith("tls://")
            assert told["SSL_CERT_FILE"] == "/nats-ca/ca.crt"


@rule(
    SERVED,
    startup=each_without("startupProbe"),
    liveness=each_without("livenessProbe"),
    readiness=each_without("readinessProbe"),
    port=each_without("ports"),
    slow_start=with_(1, "startupProbe", "failureThreshold"),
)
def it_is_asked_whether_it_started_lives_and_is_ready(manifests: Manifests, name: str) -> None:
    container = manifests.main(name)
    assert {"name": "http", "containerPort": 8080} in container["ports"]
    asked = {
        probe: (container[probe]["httpGet"]["path"], container[probe]["httpGet"]["port"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    # while NATS is away ingest is not ready, and its door must stay open: posts wait in the outbox
    ready = "/livez" if name == "ingest" else "/readyz"
    assert asked == {
        "startupProbe": ("/livez", "http"),
        "livenessProbe": ("/livez", "http"),
        "readinessProbe": (ready, "http"),
    }
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 120
    live = container["livenessProbe"]
    frozen = live["failureThreshold"] * (live["periodSeconds"] + live["timeoutSeconds"])
    assert frozen <= 40


@rule(
    SERVED,
    grace=without("terminationGracePeriodSeconds"),
    short=pod_with(10, "terminationGracePeriodSeconds"),
    pause=each_without("lifecycle"),
)
def it_has_the_time_to_drain(manifests: Manifests, name: str) -> None:
    pause = manifests.main(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause >= 5
    drain = DRAIN_TIMEOUT + DOOR_CLOSES + OUTBOX_LEAVES if name in SERVICES else DOOR_CLOSES
    assert manifests.pod(name)["terminationGracePeriodSeconds"] >= pause + drain


@rule(SERVED, strategy=spec_without("strategy"), gap=spec_with(1, *UNAVAILABLE))
def a_new_one_is_ready_before_an_old_one_goes(manifests: Manifests, name: str) -> None:
    strategy = manifests.spec(name)["strategy"]
    assert strategy["type"] == "RollingUpdate"
    assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@rule(
    [*SERVICES, "nats"],
    none=object_gone("PodDisruptionBudget"),
    never=object_with(0, "PodDisruptionBudget", "{}", "spec", "maxUnavailable"),
    of_another=object_with({}, "PodDisruptionBudget", "{}", "spec", "selector", "matchLabels"),
)
def one_at_a_time_may_be_evicted(manifests: Manifests, name: str) -> None:
    (budget,) = manifests.selecting("PodDisruptionBudget", name)
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": name}


@rule(
    SERVICES,
    none=without("topologySpreadConstraints"),
    zones=without("topologySpreadConstraints", 0),
    nodes=without("topologySpreadConstraints", 1),
    with_others=without("topologySpreadConstraints", 0, "matchLabelKeys"),
    no_label=label_gone("app.kubernetes.io/component"),
)
def its_pods_are_spread_over_zones_and_nodes(manifests: Manifests, name: str) -> None:
    spread = manifests.pod(name)["topologySpreadConstraints"]
    assert {constraint["topologyKey"] for constraint in spread} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }
    for constraint in spread:
        assert constraint["maxSkew"] == 1
        assert takes(constraint["labelSelector"], manifests.labels(name))
        # of its own kind and build
        assert constraint["matchLabelKeys"] == ["app.kubernetes.io/name", "pod-template-hash"]


@rule(
    SERVICES,
    none=object_gone("ScaledObject"),
    one_consumer=trigger_gone,
    misspelt=trigger_misspelt,
    alone=object_with(1, "ScaledObject", "{}", "spec", "minReplicaCount"),
    without_end=object_with(100, "ScaledObject", "{}", "spec", "maxReplicaCount"),
    set_back=spec_with(1, "replicas"),
    other_target=object_with("x", "ScaledObject", "{}", "spec", "scaleTargetRef", "name"),
)
def it_scales_by_what_waits_for_it(manifests: Manifests, name: str) -> None:
    scaled = manifests.one("ScaledObject", name)["spec"]
    assert scaled["scaleTargetRef"]["name"] == manifests.workloads[name]["metadata"]["name"]
    assert "replicas" not in manifests.spec(name)  # `apply` would set back what the scaler did
    assert scaled["minReplicaCount"] >= 2
    # https://keda.sh: triggers are texts, and the largest wish counts
    lags = [t["metadata"] for t in scaled["triggers"] if t["type"] == "nats-jetstream"]
    wanted = {(c.stream, c.name) for c in topology.CONSUMERS if c.service == name}
    assert {(lag["stream"], lag["consumer"]) for lag in lags} == wanted
    assert {lag["account"] for lag in lags} == {ACCOUNT}
    assert {lag["natsServerMonitoringEndpoint"] for lag in lags} == {"nats.klankbord.svc:8222"}
    most = max(consumer.max_ack_pending for consumer in topology.CONSUMERS)
    assert all(int(lag["lagThreshold"]) <= most for lag in lags)
    cpu = [t["metadata"] for t in scaled["triggers"] if t["type"] == "cpu"]
    assert cpu == ([{"value": "700m"}] if name == "ingest" else [])
    # the database takes so many connections (components/postgres-operator), less the jobs' own
    pool = PostgresSettings.model_fields["pool_size"].default
    assert scaled["maxReplicaCount"] * len(SERVICES) * pool <= 150


@rule(
    SERVICES,
    no_wait=without("initContainers"),
    another_image=first_with("klankbord/routing:0.0.9", "image"),
    no_check=first_with(["migrate"], "args"),
    no_migration=migration_gone,
    no_job=object_gone("Job", JOB),
)
def it_waits_until_its_tables_are_migrated(manifests: Manifests, name: str) -> None:
    (wait,) = manifests.pod(name)["initContainers"]
    main = manifests.main(name)
    assert wait["args"] == ["migrate", "--wait"]
    assert main["args"] == ["run"]
    (migration,) = (
        c for c in manifests.pod("prepare")["containers"] if c["name"] == f"migrate-{name}"
    )
    assert migration["args"] == ["migrate"]
    assert wait["image"] == main["image"] == migration["image"]
    assert main["image"] == f"klankbord/{name}:{VERSION}"


@rule(
    ["prepare"],
    another_version=object_with("prepare", "Job", JOB, "metadata", "name"),
    unordered=without("initContainers"),
    one_copy=first_with(["provision"], "args"),
    for_ever=spec_without("ttlSecondsAfterFinished"),
    impatient=spec_with(0, "backoffLimit"),
)
def servers_are_provisioned_before_tables_are_migrated(manifests: Manifests, name: str) -> None:
    """An applied Job cannot change, so each version has its own; an old one goes by itself."""
    job = manifests.workloads[name]
    assert job["metadata"]["name"] == JOB
    assert job["spec"]["ttlSecondsAfterFinished"] <= 3600
    assert job["spec"]["backoffLimit"] >= 10  # NATS may have to be pulled, and elects a leader
    pod = manifests.pod(name)
    assert pod["restartPolicy"] == "Never"
    (provision,) = pod["initContainers"]
    assert provision["args"] == ["provision", "--replicas", "3"]
    assert [c["name"] for c in pod["containers"]] == [f"migrate-{name}" for name in SERVICES]


@rule(
    SERVED,
    no_monitor=object_gone("PodMonitor", "klankbord"),
    not_selected=label_gone("klankbord.org/scraped"),
    other_path=object_with("/x", "PodMonitor", "klankbord", *ENDPOINT, "path"),
    other_job=object_with([], "PodMonitor", "klankbord", *ENDPOINT, "relabelings"),
)
def prometheus_scrapes_it_under_its_own_name(manifests: Manifests, name: str) -> None:
    (monitor,) = manifests.selecting("PodMonitor", name)
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in manifests.main(name)["ports"]}
    assert (endpoint["path"], endpoint["interval"]) == ("/metrics", "15s")
    (named,) = endpoint["relabelings"]
    assert named["sourceLabels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_name"]
    assert manifests.labels(name)["app.kubernetes.io/name"] == name
    assert (named["targetLabel"], named["replacement"]) == ("job", "klankbord-$1")
    assert "monitoring:8080" in manifests.ingress(name)


NAMES = {"kube-system/kube-dns:53"}
TO_POSTGRES = {f"{cidr}:5432" for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")}
OUTSIDE = {f"{cidr}:{port}" for cidr in ("0.0.0.0/0", "2000::/3") for port in (80, 443)}
TO_BOTH = NAMES | TO_POSTGRES | {"nats:4222"}
REACHES = {
    "ingest": TO_BOTH | OUTSIDE,
    "moderation": TO_BOTH,
    "routing": TO_BOTH,
    "metrics": TO_BOTH,
    "prepare": TO_BOTH,
    "operator": TO_BOTH | {"nats:8222"} | {f"{name}:8080" for name in SERVED},
    "exporter": NAMES | {"nats:8222"},
    "nats": NAMES | {"nats:6222"},
}
CLIENTS = {f"{name}:4222" for name in (*SERVICES, "prepare", "operator")}
REACHED_BY = {
    **{name: {"monitoring:8080", "operator:8080"} for name in SERVED},
    "ingest": {"monitoring:8080", "operator:8080", "gateway:8080"},
    "nats": CLIENTS | {"exporter:8222", "operator:8222", "keda/keda-operator:8222", "nats:6222"},
}


@rule(
    EVERY,
    nothing_denied=object_gone("NetworkPolicy", "default-deny"),
    everything_allowed=policy_opened,
    no_names=object_gone("NetworkPolicy", "names"),
)
def only_the_arrows_of_the_design_are_there(manifests: Manifests, name: str) -> None:
    deny = manifests.one("NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert manifests.egress(name) == REACHES[name]
    assert manifests.ingress(name) == REACHED_BY.get(name, set())


@rule(["ingest"], private=object_with([], "NetworkPolicy", "to-internet", *FIRST_BLOCK, "except"))
def the_internet_is_no_private_network(manifests: Manifests, name: str) -> None:
    policy = manifests.one("NetworkPolicy", "to-internet")["spec"]
    (four, six) = (peer["ipBlock"] for peer in policy["egress"][0]["to"])
    assert ip_network(six["cidr"]).is_global
    left_out = [ip_network(cidr) for cidr in four["except"]]
    inside = ("10.1.2.3", "172.20.0.1", "192.168.1.1", "169.254.169.254", "127.0.0.1", "100.64.0.1")
    for address in map(ip_address, inside):
        assert any(address in network for network in left_out)
    assert not any(ip_address("93.184.215.14") in network for network in left_out)


@rule(
    ["nats"],
    two=spec_with(2, "replicas"),
    one_zone=without("topologySpreadConstraints"),
    any_zone=pod_with("ScheduleAnyway", *ZONES, "whenUnsatisfiable"),
    two_zones=pod_with(2, *ZONES, "minDomains"),
    one_node=without("affinity"),
    in_order=spec_without("podManagementPolicy"),
    no_name=object_gone("Service", "nats-servers"),
    late_name=object_with(None, "Service", "nats-servers", "spec", "publishNotReadyAddresses"),
    disk=spec_without("volumeClaimTemplates"),
    lame_duck=each_without("lifecycle"),
    hasty=pod_with(30, "terminationGracePeriodSeconds"),
    startup=each_without("startupProbe"),
    in_memory=configured("sync_interval: always", "sync_interval: 2m"),
    plain=configured("tls {\n  cert_file", "ttls {\n  cert_file"),
    routes_unverified=configured("verify: true", "verify: false"),
    nobody=configured('include "./auth/auth.conf"', ""),
)
def three_servers_in_three_zones_keep_what_they_confirm(manifests: Manifests, name: str) -> None:
    spec, pod = manifests.spec(name), manifests.pod(name)
    assert spec["replicas"] == 3
    assert spec["podManagementPolicy"] == "Parallel"
    (zones,) = pod["topologySpreadConstraints"]
    assert zones["topologyKey"] == "topology.kubernetes.io/zone"
    assert (zones["whenUnsatisfiable"], zones["minDomains"]) == ("DoNotSchedule", 3)
    (apart,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    for selector in (zones["labelSelector"], apart["labelSelector"]):
        assert takes(selector, manifests.labels(name))
    headless = manifests.one("Service", spec["serviceName"])["spec"]
    assert headless["clusterIP"] == "None"
    assert headless["publishNotReadyAddresses"] is True
    assert len(spec["volumeClaimTemplates"]) == 1
    container = manifests.main(name)
    assert container["lifecycle"]["preStop"]["exec"]["command"][-1] == "ldm=/tmp/nats.pid"
    assert container["startupProbe"]["httpGet"]["path"] == "/healthz"  # every stream caught up
    config = nats_config(manifests)["nats.conf"]
    leaving = int(re.findall(r"lame_duck_duration: (\d+)s", config)[0])
    assert pod["terminationGracePeriodSeconds"] > leaving
    assert "\n  sync_interval: always\n" in config
    clients, routes = re.findall(r"^ *tls \{\n(.*?)\n *\}", config, re.MULTILINE | re.DOTALL)
    assert "verify" not in clients  # a client shows its nkey
    assert "verify: true" in routes
    assert config.endswith('include "./auth/auth.conf"\n')


@rule(
    EVERY,
    enforced=object_with("baseline", "Namespace", "klankbord", *PODS, f"{SECURITY}/enforce"),
)
def its_namespace_lets_no_other_pod_in(manifests: Manifests, name: str) -> None:
    assert manifests.workloads[name]["metadata"]["namespace"] == "klankbord"
    labels = manifests.one("Namespace", "klankbord")["metadata"]["labels"]
    assert {mode: labels[f"{SECURITY}/{mode}"] for mode in ("enforce", "audit", "warn")} == {
        "enforce": "restricted",
        "audit": "restricted",
        "warn": "restricted",
    }


# -- the tests -----------------------------------------------------------------------------------

CASES = [
    pytest.param(rule, name, id=f"{rule.check.__name__}-{name}")
    for rule in RULES
    for name in rule.workloads
]


def test_every_workload_is_known_here() -> None:
    assert set(PRODUCTION.workloads) == set(EVERY)


@pytest.mark.parametrize(("rule", "name"), CASES)
def test_it_holds(rule: Rule, name: str) -> None:
    rule.check(PRODUCTION, name)


@pytest.mark.parametrize(("rule", "name"), CASES)
def test_each_removal_is_seen(rule: Rule, name: str) -> None:
    unseen = []
    for removal, change in rule.removals.items():
        changed = PRODUCTION.copy()
        change(changed, name)
        try:
            rule.check(changed, name)
        except (AssertionError, LookupError, ValueError):
            continue
        unseen.append(removal)
    assert unseen == []


def test_the_door_lets_in_sources_and_short_links_and_nothing_else() -> None:
    (route,) = PRODUCTION.of_kind("HTTPRoute")
    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [
        {"path": {"type": "PathPrefix", "value": path}} for path in ("/v1/sources/", "/r/")
    ]
    assert rule["backendRefs"] == [{"name": "ingest", "port": 8080}]
    service = PRODUCTION.one("Service", "ingest")["spec"]
    assert takes({"matchLabels": service["selector"]}, PRODUCTION.labels("ingest"))
    assert service["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]


def test_nothing_is_reached_from_outside_but_by_the_gateway() -> None:
    for service in PRODUCTION.of_kind("Service"):
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_the_operators_pod_holds_every_key_and_sleeps() -> None:
    assert PRODUCTION.spec("operator")["replicas"] == 0
    holders = {
        name
        for name in EVERY
        for volume in PRODUCTION.pod(name)["volumes"]
        if volume.get("secret", {}).get("secretName") == "credentials"
    }
    assert holders == {"operator", "prepare"}
