"""Render everything in deploy/k8s and validate what comes out, strictly and without a cluster.

python -m scripts.manifests           render and validate; `make check` does
python -m scripts.manifests --rules   write the PrometheusRule anew, from deploy/prometheus

Kubernetes's own kinds are held against the schemas of its API, for the oldest and the newest
release that is supported. Other projects' kinds are counted and held against `crds.yaml`: a kind
that is misspelt, or more of one than there should be, is an error.
"""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from kubernetes_validate.utils import (  # type: ignore[import-untyped]
    SchemaNotFoundError,
    ValidationError,
    validate,
)

ROOT = Path(__file__).parents[1]
K8S = ROOT / "deploy" / "k8s"
ALERTS = ROOT / "deploy" / "prometheus" / "rules" / "klankbord.yaml"
RULES = K8S / "components" / "prometheus-operator" / "rules.yaml"
RELEASES = ("1.30", "1.37")
"""The oldest release of Kubernetes that has what the manifests use, and the newest known here."""
OTHERS: Mapping[str, Mapping[str, int]] = {
    "cert-manager": {"Issuer": 2, "Certificate": 2},
    "gateway": {"HTTPRoute": 1},
    "keda": {"ScaledObject": 4},
    "postgres-operator": {"Cluster": 1},
    "prometheus-operator": {"PodMonitor": 1, "PrometheusRule": 1},
}
"""How many objects of other projects' kinds each component has; the rest have none."""

Manifest: TypeAlias = dict[str, Any]


class RenderError(RuntimeError):
    """kustomize does not take it; the message is kustomize's own."""


@cache
def _kustomized(folder: Path) -> str:
    kubectl = Path(sysconfig.get_path("scripts")) / "kubectl"
    done = subprocess.run(
        [str(kubectl), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode or done.stderr:  # it warns of what it will not take one day
        raise RenderError(f"{folder}: {done.stderr.strip()}")
    return done.stdout


def render(folder: Path) -> list[Manifest]:
    """What `kubectl apply -k` would send to the cluster.

    Raises:
        RenderError: kustomize does not take it, or warns.
    """
    return _read(_kustomized(folder))


def render_with(*components: str) -> list[Manifest]:
    """The base with these components.

    Raises:
        RenderError: kustomize does not take it, or warns.
    """
    return _read(_kustomized_with(components))


def _read(text: str) -> list[Manifest]:
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


@cache
def _kustomized_with(components: tuple[str, ...]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "klankbord",
            "resources": [os.path.relpath(K8S / "base", place)],
            "components": [os.path.relpath(K8S / "components" / c, place) for c in components],
        }
        (place / "kustomization.yaml").write_text(json.dumps(overlay), "utf-8")
        return _kustomized(place)


def components_of(overlay: Path) -> list[str]:
    """The components that an overlay takes, by name."""
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text("utf-8"))
    return [Path(component).name for component in kustomization.get("components", [])]


def problems(manifests: Iterable[Manifest], others: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with rendered manifests, in words.

    Args:
        manifests: what was rendered.
        others: how many of other projects' kinds there should be.
    """
    known = _crds()
    found: Counter[str] = Counter()
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] in known:
            found[manifest["kind"]] += 1
            told = _crd_problem(json.dumps(manifest, sort_keys=True))
        else:
            told = _kubernetes_problem(json.dumps(manifest, sort_keys=True))
        if told is not None:
            yield f"{name}: {told}"
    if found != Counter(others):
        yield f"of other projects' kinds there are {dict(found)}, and should be {dict(others)}"


@cache
def _crds() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("crds.yaml").read_text("utf-8"))
    return found


@cache
def _crd_problem(text: str) -> str | None:
    manifest: Manifest = json.loads(text)
    crd = _crds()[manifest["kind"]]
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": crd["apiVersion"]},
            "kind": True,
            "metadata": {"required": ["name", "namespace"]},
            "spec": crd["spec"],
        },
    }
    for error in Draft202012Validator(schema).iter_errors(manifest):
        return f"{error.json_path}: {error.message}"
    return None


@cache
def _kubernetes_problem(text: str) -> str | None:
    manifest: Manifest = json.loads(text)
    for release in RELEASES:
        try:
            validate(manifest, release, strict=True)
        except SchemaNotFoundError:
            return f"Kubernetes {release} has no {manifest['apiVersion']} {manifest['kind']}"
        except ValidationError as error:
            where = ".".join(str(step) for step in error.path)
            return f"{where}: {error.message} (Kubernetes {release})"
    return None


def prometheus_rule(alerts: str) -> str:
    """The rules of deploy/prometheus as the Prometheus operator takes them."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "klankbord"},
        "spec": {"groups": yaml.safe_load(alerts)["groups"]},
    }
    head = "# Written by `python -m scripts.manifests --rules` from deploy/prometheus/rules.\n"
    return head + yaml.dump(rule, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=100)


class _Readable(yaml.SafeDumper):
    """Writes a text of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Readable.add_representer(str, _text)


def main() -> int:
    """Render and validate, or write the rules. Exit code 1: something is wrong."""
    parser = argparse.ArgumentParser(description="Render and validate what is in deploy/k8s.")
    parser.add_argument("--rules", action="store_true", help="write the PrometheusRule anew")
    if parser.parse_args().rules:
        RULES.write_text(prometheus_rule(ALERTS.read_text("utf-8")), "utf-8")
        return 0
    wrong = 0
    for name, manifests, components in _everything():
        others = Counter[str]()
        for component in components:
            others.update(OTHERS.get(component, {}))
        for problem in problems(manifests, others):
            print(f"{name}: {problem}", file=sys.stderr)
            wrong += 1
        print(f"{name}: {len(manifests)} objects")
    return 1 if wrong else 0


def _everything() -> Iterator[tuple[str, list[Manifest], list[str]]]:
    """Each overlay, and each component on the base alone."""
    for overlay in sorted((K8S / "overlays").iterdir()):
        yield f"overlays/{overlay.name}", render(overlay), components_of(overlay)
    for component in sorted((K8S / "components").iterdir()):
        yield f"components/{component.name}", render_with(component.name), [component.name]
    # what production names as its alternatives, together
    others = ["nats-cluster", "postgres-operator", "hpa", "prometheus-operator", "ingress"]
    yield " + ".join(others), render_with(*others), others


if __name__ == "__main__":
    sys.exit(main())
