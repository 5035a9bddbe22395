"""The dashboards pass Grafana's own types: those of a dashboard, and of each kind of panel."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import panels
import pytest

NODE = shutil.which("node")
FOLDER = Path(__file__).parents[1] / "grafana"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        NODE is None or not (FOLDER / "node_modules").exists(),
        reason="needs Node.js, and `make setup` with npm",
    ),
]


def wrong_in(*files: Path) -> dict[str, list[str]]:
    """What Grafana's types do not allow in a dashboard, by the name of its file."""
    assert NODE is not None
    ran = subprocess.run(
        [NODE, "check.mjs", *map(str, files)],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, list[str]] = json.loads(ran.stdout)
    return found


def test_grafanas_own_types_allow_every_dashboard_and_refuse_a_broken_one(tmp_path: Path) -> None:
    broken: dict[str, Any] = panels.read("community")
    stat, *_ = broken["panels"]
    broken["refresh"] = ["often"]
    stat["gridPos"]["h"] = "high"
    stat["options"]["graphMode"] = "wiggly"
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(broken), "utf-8")
    found = wrong_in(*panels.FOLDER.glob("*.json"), file)
    refused = "\n".join(found.pop("broken.json"))
    for wrong in ("/refresh", "/gridPos/h", f"{stat['title']}: options/graphMode"):
        assert wrong in refused
    assert found == {f"{name}.json": [] for name in panels.DASHBOARDS}
