"""Rendered manifests, to ask questions of: which pods there are, and who reaches whom."""

import pickle
from collections.abc import Iterator
from typing import Any

from scripts.manifests import Manifest

POD_BEARING = ("Deployment", "StatefulSet", "Job")


class Manifests:
    """What an overlay renders to."""

    def __init__(self, rendered: list[Manifest]) -> None:
        self.all = rendered
        self._pickled = pickle.dumps(rendered)

    def copy(self) -> "Manifests":
        """Another one, to change, as it was at first."""
        copied = Manifests.__new__(Manifests)
        copied.all = pickle.loads(self._pickled)
        return copied

    def of_kind(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.all if manifest["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        (found,) = (m for m in self.of_kind(kind) if m["metadata"]["name"] == name)
        return found

    def remove(self, kind: str, name: str) -> None:
        self.all.remove(self.one(kind, name))

    @property
    def workloads(self) -> dict[str, Manifest]:
        """What makes pods, by what the pods are called."""
        bearing = [m for m in self.all if m["kind"] in POD_BEARING]
        return {
            m["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]: m
            for m in bearing
        }

    def spec(self, name: str) -> dict[str, Any]:
        return dict(self.workloads[name]["spec"])

    def pod(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.workloads[name]["spec"]["template"]["spec"]
        return found

    def labels(self, name: str) -> dict[str, str]:
        return dict(self.workloads[name]["spec"]["template"]["metadata"]["labels"])

    def containers(self, name: str) -> list[dict[str, Any]]:
        """Every container of the pod, those that run first included."""
        pod = self.pod(name)
        return [*pod.get("initContainers", []), *pod["containers"]]

    def main(self, name: str) -> dict[str, Any]:
        """The pod's one container that stays."""
        (container,) = self.pod(name)["containers"]
        return dict(container)

    def environment(self, name: str) -> dict[str, str]:
        """The variables of the pod's one container that stays, but for those of the cluster."""
        given = self.main(name).get("env", [])
        return {variable["name"]: variable["value"] for variable in given if "value" in variable}

    def selecting(self, kind: str, name: str) -> list[Manifest]:
        """The objects of that kind whose `spec.selector` takes the pod."""
        labels = self.labels(name)
        return [m for m in self.of_kind(kind) if takes(m["spec"]["selector"], labels)]

    def egress(self, name: str) -> set[str]:
        """Whom the pod may reach, as `who:port`; {"everyone"} where nothing forbids."""
        return self._arrows(name, "Egress", "to")

    def ingress(self, name: str) -> set[str]:
        """Who may reach the pod, as `who:port`; {"everyone"} where nothing forbids."""
        return self._arrows(name, "Ingress", "from")

    def _arrows(self, name: str, direction: str, side: str) -> set[str]:
        labels = self.labels(name)
        policies = [
            policy["spec"]
            for policy in self.of_kind("NetworkPolicy")
            if takes(policy["spec"]["podSelector"], labels)
            and direction in policy["spec"]["policyTypes"]
        ]
        if not policies:
            return {"everyone"}
        return {
            f"{who}:{port}"
            for policy in policies
            for rule in policy.get(direction.lower(), [])
            for port in [p["port"] for p in rule.get("ports", [])] or ["any"]
            for peer in rule.get(side, [{}])
            for who in self._peers(peer)
        }

    def _peers(self, peer: dict[str, Any]) -> Iterator[str]:
        if not peer:
            yield "everyone"
        elif "ipBlock" in peer:
            yield str(peer["ipBlock"]["cidr"])
        elif "namespaceSelector" in peer:
            (namespace,) = peer["namespaceSelector"]["matchLabels"].values()
            pods = peer.get("podSelector", {}).get("matchLabels", {})
            yield "/".join([str(namespace), *map(str, pods.values())])
        else:
            yield from (n for n in self.workloads if takes(peer["podSelector"], self.labels(n)))


def takes(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector takes what has these labels."""
    assert set(selector) <= {"matchLabels"}, (
        f"the tests know no other selector than this: {selector}"
    )
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()
