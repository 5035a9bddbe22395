"""What `podman play kube` can start of rendered manifests: their own pods, little changed.

podman 4.3 knows Pods, ConfigMaps and PersistentVolumeClaims. So that the containers run as the
manifests say, image, command, environment, user, capabilities, limits and mounts stay as they are,
and this alone is changed:

- a Deployment or a Job becomes one Pod with its name, which is also the name of its Service: so
  that other pods find it by that name;
- a ConfigMap or a Secret becomes a folder of files, owned and readable as the pod says (`fsGroup`,
  `defaultMode`), since podman mounts no Secret of a manifest, and knows no `subPath` of either;
- an emptyDir becomes an empty folder that everyone may write, as the kubelet makes it;
- `ports` go, which podman would open on this machine, and the probes, which the tests ask.

`left_out` says what is not tried this way.
"""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Document = Mapping[str, Any]
WORKLOADS = ("Deployment", "Job")
FILES = ("ConfigMap", "Secret")
CLAIMS = "PersistentVolumeClaim"
EMPTY = 0o2777
# podman removes an init container when it has ended, now and then before it notes that it has
KEPT_AFTER_ITS_END = {"io.podman.annotations.init.container.type": "always"}
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
NOT_BY_PODMAN = {
    *PROBES,
    "lifecycle",
    "topologySpreadConstraints",
    "terminationGracePeriodSeconds",
    "fsGroupChangePolicy",
    "seccompProfile",
    "enableServiceLinks",
    "automountServiceAccountToken",
    "affinity",
    "priorityClassName",
}
"""Fields of a pod that podman 4.3 reads over; the tests call the probes themselves."""


class Probe(NamedTuple):
    """A question that the kubelet would ask of a container."""

    container: str
    kind: str
    question: Mapping[str, Any]
    """`httpGet`, `tcpSocket` or `exec`, with its port as a number."""


def workloads(documents: Sequence[Document]) -> Mapping[str, Document]:
    """The Deployments and Jobs of which a pod would run, by name."""
    return {
        document["metadata"]["name"]: document
        for document in documents
        if document["kind"] in WORKLOADS and document["spec"].get("replicas") != 0
    }


def as_pod(workload: Document, documents: Sequence[Document], folder: Path) -> dict[str, Any]:
    """The one Pod of a Deployment or a Job, with its files written under `folder`."""
    name = workload["metadata"]["name"]
    template = workload["spec"]["template"]
    pod: dict[str, Any] = {**template["spec"]}
    group = pod.get("securityContext", {}).get("fsGroup", 0)
    folders: dict[str, Path] = {}
    volumes = []
    for volume in pod.get("volumes", ()):
        files = _files_of(volume, documents)
        if files is None:
            volumes.append(volume)
            continue
        place = folder / name / volume["name"]
        write(files, place, mode=_mode_of(volume), group=group)
        if "emptyDir" in volume:
            os.chown(place, -1, group)
            place.chmod(EMPTY)
        folders[volume["name"]] = place
        volumes.append({"name": volume["name"], "hostPath": {"path": str(place)}})
    for kind in ("initContainers", "containers"):
        if kind in pod:
            pod[kind] = [_mounted(container, folders, volumes) for container in pod[kind]]
    pod["volumes"] = volumes
    if workload["kind"] == "Job":
        pod["restartPolicy"] = "Never"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": template["metadata"].get("labels", {}),
            "annotations": KEPT_AFTER_ITS_END,
        },
        "spec": pod,
    }


def claims(pod: Document, documents: Sequence[Document]) -> list[Document]:
    """The PersistentVolumeClaims that a pod mounts."""
    wanted = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    return [d for d in documents if d["kind"] == CLAIMS and d["metadata"]["name"] in wanted]


def probes(workload: Document) -> Iterator[Probe]:
    """Every probe of a workload's containers."""
    for container in workload["spec"]["template"]["spec"]["containers"]:
        ports = {p["name"]: p["containerPort"] for p in container.get("ports", ()) if "name" in p}
        for kind in PROBES:
            if kind in container:
                yield Probe(container["name"], kind, _with_number(container[kind], ports))


def left_out(documents: Sequence[Document]) -> list[str]:
    """What of these manifests podman does not try: kinds of objects, and fields of pods."""
    tried = {*WORKLOADS, *FILES, CLAIMS, "Namespace"}
    objects: dict[str, list[str]] = {}
    fields: set[str] = set()
    for document in documents:
        kind, name = document["kind"], document["metadata"]["name"]
        if kind not in tried:
            objects.setdefault(kind, []).append(name)
        elif kind in WORKLOADS and document["spec"].get("replicas") == 0:
            objects.setdefault(f"{kind} with 0 replicas", []).append(name)
        elif kind in WORKLOADS:
            fields |= set(_words(document["spec"])) & NOT_BY_PODMAN
    return [
        *(f"{kind}: {', '.join(names)}" for kind, names in sorted(objects.items())),
        f"fields of pods: {', '.join(sorted(fields))}",
    ]


def write(files: Mapping[str, bytes], folder: Path, *, mode: int, group: int) -> None:
    """Write files for a pod to mount, open to its group as the volume says."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        file = folder / name
        file.unlink(missing_ok=True)
        file.write_bytes(content)
        os.chown(file, -1, group)
        file.chmod(mode)


def _files_of(volume: Document, documents: Sequence[Document]) -> Mapping[str, bytes] | None:
    """What lies in a volume at the start; None where that is not for the manifests to say."""
    if "configMap" in volume:
        source, kind, name = volume["configMap"], "ConfigMap", volume["configMap"]["name"]
    elif "secret" in volume:
        source, kind, name = volume["secret"], "Secret", volume["secret"]["secretName"]
    else:
        return {} if "emptyDir" in volume else None
    found = next(
        (d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name), None
    )
    if found is None:
        if source.get("optional"):
            return {}
        raise LookupError(f"a pod mounts the {kind} {name}, which is not among the manifests")
    content = {key: text.encode() for key, text in found.get("data", {}).items()}
    if kind == "Secret":
        content = {key: base64.b64decode(text) for key, text in content.items()}
    if "items" in source:
        return {item["path"]: content[item["key"]] for item in source["items"]}
    return content


def _mode_of(volume: Document) -> int:
    default = 0o644
    return int((volume.get("secret") or volume.get("configMap") or {}).get("defaultMode", default))


def _mounted(
    container: Document, folders: Mapping[str, Path], volumes: list[dict[str, Any]]
) -> dict[str, Any]:
    """The container, with each single file that it mounts as a volume of its own."""
    mounts = []
    for mount in container.get("volumeMounts", ()):
        if "subPath" in mount and mount["name"] in folders:
            single = f"{mount['name']}-{mount['subPath']}".replace(".", "-")
            path = folders[mount["name"]] / mount["subPath"]
            if all(volume["name"] != single for volume in volumes):
                volumes.append({"name": single, "hostPath": {"path": str(path), "type": "File"}})
            mount = {k: v for k, v in mount.items() if k != "subPath"} | {"name": single}
        mounts.append(mount)
    dropped = {*PROBES, "ports"}
    return {k: v for k, v in container.items() if k not in dropped} | {"volumeMounts": mounts}


def _with_number(probe: Document, ports: Mapping[str, int]) -> Mapping[str, Any]:
    question = {kind: probe[kind] for kind in ("httpGet", "tcpSocket", "exec") if kind in probe}
    for asked in question.values():
        if "port" in asked:
            return {
                kind: {**asked, "port": ports.get(asked["port"], asked["port"])}
                for kind, asked in question.items()
            }
    return question


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield key
            yield from _words(below)
    elif isinstance(value, list):
        for below in value:
            yield from _words(below)
