"""Importing does nothing: what a process does, it does when it is told to, and not before."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = (
    "klankbord_schemas",
    "klankbord_runtime",
    "klankbord_ingest",
    "klankbord_moderation",
    "klankbord_routing",
    "klankbord_metrics",
    "klankbord_standalone",
)

PROBE = """
import importlib, json, os, pkgutil, sys, threading
import prometheus_client

done = {"environment": [], "sockets": [], "metrics": [], "threads": [], "modules": []}
registered = {metric.name for metric in prometheus_client.REGISTRY.collect()}

def by_us():
    # our code is on the stack, and not only as the one that imports another package
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("importlib"):
            return None
        if name.startswith("klankbord_"):
            return name
        frame = frame.f_back
    return None

class Environment(type(os.environ)):
    def __getitem__(self, name):
        if (module := by_us()) and not name.startswith("PYDANTIC_"):
            done["environment"].append(f"{module} read {name}")
        return super().__getitem__(name)

os.environ.__class__ = Environment

def hook(event, arguments):
    if event.startswith("socket.") and (module := by_us()):
        done["sockets"].append(f"{module}: {event}")

sys.addaudithook(hook)

package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
        done["modules"].append(module.name)

done["threads"] = [thread.name for thread in threading.enumerate()]
done["metrics"] = sorted({m.name for m in prometheus_client.REGISTRY.collect()} - registered)
print(json.dumps(done), flush=True)
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_every_module_does_nothing(package: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, package],
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    done = json.loads(ran.stdout)
    assert done["modules"]
    assert done["environment"] == [], "settings are read when a service is built, in app.py"
    assert done["sockets"] == [], "connections are opened when a service is started"
    assert done["metrics"] == [], "metrics belong to the service's own registry"
    assert done["threads"] == ["MainThread"]


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        ("import os; os.environ.get('HOME')", "environment"),
        ("import os; os.getenv('HOME')", "environment"),
        ("import socket; socket.socket().close()", "sockets"),
        ("import prometheus_client; prometheus_client.Counter('x', 'x')", "metrics"),
        ("import threading; threading.Timer(1, print).start()", "threads"),
    ],
)
def test_the_probe_notices(tmp_path: Path, statement: str, key: str) -> None:
    package = tmp_path / "klankbord_guilty"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "deed.py").write_text(statement)
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, "klankbord_guilty"],
        env={},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    done = json.loads(ran.stdout.splitlines()[0])
    assert done[key] not in ([], ["MainThread"])
