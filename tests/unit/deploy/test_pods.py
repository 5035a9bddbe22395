"""What `make kube` changes of a manifest so that podman can start it, and what it leaves out."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from kube.pods import Probe, as_pod, claims, left_out, probes, workloads

CONTAINER: dict[str, Any] = {
    "name": "klankbord",
    "image": "klankbord/ingest:0.1.0",
    "args": ["run"],
    "env": [{"name": "KLANKBORD_CONFIG_DIR", "value": "/klankbord"}],
    "ports": [{"name": "http", "containerPort": 8080}],
    "livenessProbe": {"httpGet": {"path": "/livez", "port": "http"}, "periodSeconds": 10},
    "readinessProbe": {"exec": {"command": ["true"]}},
    "startupProbe": {"tcpSocket": {"port": 8080}},
    "resources": {"limits": {"memory": "256Mi"}},
    "securityContext": {"readOnlyRootFilesystem": True},
    "volumeMounts": [
        {"name": "keys", "mountPath": "/credentials", "readOnly": True},
        {"name": "config", "mountPath": "/etc/a.yaml", "subPath": "a.yaml", "readOnly": True},
        {"name": "data", "mountPath": "/data"},
    ],
}
DEPLOYMENT: dict[str, Any] = {
    "kind": "Deployment",
    "metadata": {"name": "ingest"},
    "spec": {
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "securityContext": {
                    "fsGroup": os.getgid(),
                    "runAsUser": 10001,
                    "seccompProfile": {},
                },
                "containers": [CONTAINER],
                "volumes": [
                    {"name": "keys", "secret": {"secretName": "ingest", "defaultMode": 0o440}},
                    {"name": "config", "configMap": {"name": "config"}},
                    {"name": "data", "persistentVolumeClaim": {"claimName": "kept"}},
                    {"name": "tmp", "emptyDir": {}},
                    {"name": "more", "secret": {"secretName": "absent", "optional": True}},
                ],
            },
        }
    },
}
DOCUMENTS: list[dict[str, Any]] = [
    DEPLOYMENT,
    {"kind": "Secret", "metadata": {"name": "ingest"}, "data": {
        "nats.nk": base64.b64encode(b"SU").decode(), "other": ""}},
    {"kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"a.yaml": "one: 1"}},
    {"kind": "PersistentVolumeClaim", "metadata": {"name": "kept"}},
    {"kind": "PersistentVolumeClaim", "metadata": {"name": "not-its"}},
    {"kind": "Service", "metadata": {"name": "ingest"}},
    {"kind": "Deployment", "metadata": {"name": "operator"}, "spec": {"replicas": 0}},
]  # fmt: skip
KEPT = ("name", "image", "args", "env", "resources", "securityContext")


@pytest.fixture
def pod(tmp_path: Path) -> dict[str, Any]:
    return as_pod(DEPLOYMENT, DOCUMENTS, tmp_path)


def test_a_deployment_becomes_one_pod_with_the_name_of_its_service(pod: dict[str, Any]) -> None:
    assert (pod["kind"], pod["metadata"]["name"]) == ("Pod", "ingest")
    assert (
        pod["spec"]["securityContext"] == DEPLOYMENT["spec"]["template"]["spec"]["securityContext"]
    )
    assert "restartPolicy" not in pod["spec"]


def test_what_the_container_is_stays_and_ports_and_probes_go(pod: dict[str, Any]) -> None:
    (container,) = pod["spec"]["containers"]
    assert {name: container[name] for name in KEPT} == {name: CONTAINER[name] for name in KEPT}
    assert set(container) == {*KEPT, "volumeMounts"}


def test_secrets_and_configuration_become_files_of_the_pods_group(
    pod: dict[str, Any], tmp_path: Path
) -> None:
    keys = tmp_path / "ingest" / "keys"
    assert (keys / "nats.nk").read_bytes() == b"SU"
    assert (keys / "nats.nk").stat().st_mode & 0o777 == 0o440
    assert {"name": "keys", "hostPath": {"path": str(keys)}} in pod["spec"]["volumes"]
    assert (tmp_path / "ingest" / "config" / "a.yaml").read_text("utf-8") == "one: 1"


def test_a_single_file_that_is_mounted_is_mounted_as_one(
    pod: dict[str, Any], tmp_path: Path
) -> None:
    file = {"path": str(tmp_path / "ingest" / "config" / "a.yaml"), "type": "File"}
    assert {"name": "config-a-yaml", "hostPath": file} in pod["spec"]["volumes"]
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    assert mounts == [
        {"name": "keys", "mountPath": "/credentials", "readOnly": True},
        {"name": "config-a-yaml", "mountPath": "/etc/a.yaml", "readOnly": True},
        {"name": "data", "mountPath": "/data"},
    ]


def test_an_empty_folder_is_open_to_everyone_as_the_kubelet_makes_it(
    pod: dict[str, Any], tmp_path: Path
) -> None:
    assert (tmp_path / "ingest" / "tmp").stat().st_mode & 0o777 == 0o777
    assert list((tmp_path / "ingest" / "more").iterdir()) == []


def test_a_secret_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="the Secret ingest"):
        as_pod(DEPLOYMENT, [DEPLOYMENT, DOCUMENTS[2]], tmp_path)


def test_only_the_items_that_a_volume_names_are_there(tmp_path: Path) -> None:
    items = {"secretName": "ingest", "items": [{"key": "nats.nk", "path": "seed"}]}
    spec = {"containers": [], "volumes": [{"name": "keys", "secret": items}]}
    job = {
        "kind": "Job",
        "metadata": {"name": "prepare"},
        "spec": {"template": {"metadata": {}, "spec": spec}},
    }
    pod = as_pod(job, DOCUMENTS, tmp_path)
    assert [file.name for file in (tmp_path / "prepare" / "keys").iterdir()] == ["seed"]
    assert pod["spec"]["restartPolicy"] == "Never"


def test_a_pod_brings_the_claims_that_it_mounts(pod: dict[str, Any]) -> None:
    assert [claim["metadata"]["name"] for claim in claims(pod, DOCUMENTS)] == ["kept"]


def test_every_probe_is_found_with_its_port_as_a_number() -> None:
    assert list(probes(DEPLOYMENT)) == [
        Probe("klankbord", "startupProbe", {"tcpSocket": {"port": 8080}}),
        Probe("klankbord", "livenessProbe", {"httpGet": {"path": "/livez", "port": 8080}}),
        Probe("klankbord", "readinessProbe", {"exec": {"command": ["true"]}}),
    ]


def test_what_is_not_tried_is_said() -> None:
    assert list(workloads(DOCUMENTS)) == ["ingest"]
    assert left_out(DOCUMENTS) == [
        "Deployment with 0 replicas: operator",
        "Service: ingest",
        "fields of pods: livenessProbe, readinessProbe, seccompProfile, startupProbe",
    ]
