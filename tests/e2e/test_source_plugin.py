"""A kind of source in somebody else's package: installed, listed, and held to every promise."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "source-plugin"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """With the package installed in a folder of its own, as beside Klankbord."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", "install", *options, "--target", folder, PLUGIN], {})
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "tests")])}


def run(words: Sequence[object], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=ROOT,
        env=environment or None,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_listed_among_the_kinds(environment: dict[str, str]) -> None:
    told = run([sys.executable, "-m", "klankbord_standalone", "source", "kinds"], environment)
    assert "lobsters        The newest stories of Lobsters" in told
    assert "discourse" in told


def test_klankbord_yaml_may_name_it_and_says_what_is_wrong_with_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "klankbord.yaml"
    head = "communities: [{slug: demo, name: Demo, time_zone: UTC, languages: [en]}]\n"
    entry = "{name: news, community: demo, kind: lobsters, url: 'https://lobste.rs'}"
    file.write_text(f"{head}sources:\n  - {entry}\n")
    check: list[object] = [sys.executable, "-m", "klankbord_standalone", "config", "check", file]
    assert "is a good klankbord file" in run(check, environment)
    file.write_text(file.read_text().replace("url:", "ulr:"))
    done = subprocess.run(
        [str(word) for word in check], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "did you mean url?" in done.stderr) == (3, True)


def test_it_keeps_what_every_kind_promises(environment: dict[str, str]) -> None:
    played = {**environment, "KLANKBORD_PLATFORMS": str(PLUGIN / "platforms.py")}
    suite = ["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "tests/conformance"]
    told = run([sys.executable, *suite], played)
    assert int(re.findall(r"(\d+) passed", told)[0]) >= 10
