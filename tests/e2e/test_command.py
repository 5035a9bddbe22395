"""The `klankbord` command as a user types it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from klankbord_standalone.home import Home
from klankbord_standalone.postgres_server import PostgresServer

KLANKBORD = [sys.executable, "-m", "klankbord_standalone"]
PATIENCE = 120


class Here:
    """A folder to type commands in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*KLANKBORD, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*KLANKBORD, *words], cwd=self.folder, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return name


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    yield Here(tmp_path)
    for data in (tmp_path / "klankbord-data", tmp_path / "klankbord-data" / "demo"):
        PostgresServer(data / "postgres", "").erase()


def line(number: int, **other: object) -> str:
    post = {"nativeId": str(number), "published": "2026-03-02T08:00:00Z", "content": "Hello."}
    return json.dumps(post | other) + "\n"


def test_help_teaches() -> None:
    told = Here(Path.cwd()).run("--help").stdout
    words = "up demo import erase-member tail status dlq report subscriber audit doctor outbox"
    for command in words.split():
        assert command in told
    assert "PATH|URL" in Here(Path.cwd()).run("import", "--help").stdout


def test_an_import_counts_refuses_and_adds_nothing_twice(here: Here) -> None:
    good = here.write("good.ndjson", "".join(line(n) for n in range(3)))
    mixed = here.write("mixed.ndjson", line(9) + "no json\n" + line(10, published="yesterday"))

    done = here.run("import", good, "--community", "acme", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (
        0,
        {"received": 3, "duplicate": 0, "refused": 0, "reasons": {}, "refused_file": None},
    )
    again = json.loads(here.run("import", good, "--community", "acme", "--json").stdout)
    assert (again["received"], again["duplicate"]) == (0, 3)

    some = here.run("import", mixed, "--community", "acme", "--json")
    told = json.loads(some.stdout)
    assert some.returncode == 3
    assert (told["received"], told["refused"], sum(told["reasons"].values())) == (1, 2, 2)
    refused = Path(told["refused_file"]).read_text(encoding="utf-8").splitlines()
    assert all(json.loads(row)["why"] for row in refused)

    dry = here.run("import", good, "--community", "acme", "--dry-run", "--json")
    assert (dry.returncode, json.loads(dry.stdout)["received"]) == (0, 3)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["import", "nowhere.csv", "--community", "acme"], "there is no file"),
        (["import", ".", "--community", "No Slug"], "cannot be a name"),
        (["import", ".", "--community", "acme", "--format", "docx"], "there is no format"),
        (["tail", "klankbord.feedback.>", "--since", "soon"], "is no beginning"),
        (["up", "--nats-url", "nats://127.0.0.1:1"], "belong together"),
        (["dlq", "replay"], "give one number, or --all"),
        (["policy", "check", "nope.yaml"], "'nope.yaml' does not exist"),
        (["routing", "apply", "."], "'.' is a directory"),
        (["credentials", "creds", "--hand-out", "given"], "belong together"),
        (
            ["credentials", "creds", "--hand-out", "given", "--postgres-url", "nonsense"],
            "no URI of a database",
        ),
    ],
)
def test_wrong_usage_says_what_to_do(here: Here, words: list[str], told: str) -> None:
    done = here.run(*words)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["credentials", "a-file/creds"], "a-file/creds: Not a directory"),
        (["up", "--config", "a-file"], "a-file: File exists"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(here: Here, words: list[str], told: str) -> None:
    here.write("a-file", "")
    done = here.run(*words)
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_who_only_looks_makes_nothing(here: Here) -> None:
    for words in (["status"], ["report"], ["dlq", "list"], ["tail", "klankbord.post.received.>"]):
        done = here.run(*words)
        assert (done.returncode, done.stderr) == (
            1,
            "klankbord: nothing here yet: klankbord up\n",
        )
    done = here.run("doctor")
    assert (done.returncode, done.stderr) == (1, "")
    assert "klankbord up" in done.stdout
    assert list(here.folder.iterdir()) == []

    assert here.run("provision").returncode == 0
    for words, told in (
        (["report"], "nothing was heard here yet: start the services"),
        (["dlq", "show", "7"], "there is no dead letter 7"),
        (["tail", "klankbord.nothing.>"], "klankbord.nothing.>"),
    ):
        done = here.run(*words)
        assert done.returncode == 1
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_bad_policy_is_refused_with_line_and_fix(here: Here) -> None:
    bad = here.write(
        "policy.yaml", "rules:\n  - id: no-shouting\n    label: rude\n    severty: hgh\n"
    )
    for verb in ("check", "apply"):
        done = here.run("policy", verb, bad)
        assert done.returncode == 3
        assert "line 4" in done.stderr
        assert "did you mean" in done.stderr
    done = here.run("routing", "check", here.write("routing.yaml", "departments: 7\n"))
    assert done.returncode == 3
    assert "line 1" in done.stderr


@pytest.mark.parametrize("words", [["provision"], ["up"]])
def test_a_bad_streams_file_is_refused_with_line_and_fix(here: Here, words: list[str]) -> None:
    (here.folder / "klankbord").mkdir()
    here.write("klankbord/streams.yaml", "POSTS: {max_bytes: 20GiB}\nDEAD: {max_age: 1h}\n")
    done = here.run(*words)
    assert done.returncode == 3
    assert "line 2: DEAD.max_age" in done.stderr
    assert "write 1d" in done.stderr
    assert not (here.folder / "klankbord-data" / "nats").exists()


@pytest.mark.parametrize("verb", ["check", "apply"])
def test_a_file_that_one_service_refuses_comes_into_force_in_none(here: Here, verb: str) -> None:
    """Ingest reads the sources, and metrics does not look at them."""
    bad = here.write("klankbord.yaml", "communities: []\nsources: [{name: forum, kind: telex}]\n")
    done = here.run("config", verb, bad)
    assert done.returncode == 3
    assert "line 2" in done.stderr
    assert "is in force" not in done.stdout


def test_up_goes_on_where_it_stopped_and_leaves_nothing_running(here: Here) -> None:
    """Also: Ctrl-C ends everything, and a second `up` on the same data is refused meanwhile."""
    posts = here.write("posts.ndjson", "".join(line(n) for n in range(5)))
    for round_ in range(2):
        up = here.start("up")
        home = Home.at(here.folder / "klankbord-data", here.folder / "klankbord")
        deadline = time.monotonic() + PATIENCE
        while home.running() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        children = psutil.Process(up.pid).children(recursive=True)
        assert len(children) >= 6
        assert here.run("up").returncode == 2
        told = json.loads(here.run("import", posts, "--community", "acme", "--json").stdout)
        assert told["received"] == (5 if round_ == 0 else 0)
        status = json.loads(here.run("status", "--json").stdout)
        assert status["healthy"], status
        assert json.loads(here.run("dlq", "list", "--json").stdout) == []
        examined = json.loads(here.run("doctor", "--json").stdout)
        assert examined["well"], examined
        os.kill(up.pid, signal.SIGINT)
        assert up.wait(timeout=60) == 0
        assert [child for child in children if child.is_running()] == []
    tail = here.run("tail", "klankbord.post.received.v1.acme.>", "--json")
    assert len({json.loads(event)["id"] for event in tail.stdout.splitlines()}) == 5


def test_the_demo_measures_what_was_planted_and_leaves_a_page(here: Here) -> None:
    done = here.run("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Measured equals planted" in done.stdout
    page = here.folder / "klankbord-data" / "demo" / "report.html"
    assert "<!doctype html>" in page.read_text(encoding="utf-8").lower()
    assert "klankbord up --data klankbord-data/demo" in done.stdout
    again = here.run("report", "--data", "klankbord-data/demo", "--html", "boss.html")
    assert again.returncode == 0
    assert (here.folder / "boss.html").stat().st_size > 10_000


def test_a_folder_that_is_not_a_demos_is_left_alone(here: Here) -> None:
    precious = here.folder / "klankbord-data" / "demo"
    precious.mkdir(parents=True)
    (precious / "thesis.txt").write_text("precious", encoding="utf-8")
    done = here.run("demo")
    assert done.returncode == 2
    assert "no folder of an earlier demo" in " ".join(done.stderr.split())
    assert (precious / "thesis.txt").exists()
