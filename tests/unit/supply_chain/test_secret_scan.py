"""A secret that is planted is found, whatever kind it is; what only looks random is left alone."""

import subprocess
from pathlib import Path

import pytest
from scripts import secret_scan

from klankbord_standalone.credentials import Credentials, new_password, new_seed
from klankbord_standalone.sender import make_secret


def planted(folder: Path) -> dict[str, str]:
    """One of each kind, made by what makes it, or put together here so that it is nowhere whole."""
    credentials = Credentials.create(folder / "credentials")
    address = credentials.database_url("postgresql://admin@db.acme.org/klankbord", "ingest")
    make_secret(folder, "forum")
    return {
        "NATS seed": new_seed(),
        "webhook secret": (folder / "forum").read_text(),
        "private key": "-----BEGIN " + "PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA",
        "password in an address": address,
        "named secret": "token" + f' = "7{new_password().strip()}a"',
        "AWS key": "AKIA" + "QYLPMN5HHHFPZAM2",
        "GitHub token": "ghp" + "_" + "a1B2" * 9,
        "GitLab token": "glpat" + "-" + "a1B2" * 5,
        "Slack token": "xoxb" + "-123456789012-abcdef",
        "Google key": "AIza" + "a1B2c" * 7,
        "Stripe key": "sk" + "_live_" + "a1B2" * 6,
        "JSON Web Token": ".".join(
            ("ey" + "JhbGciOiJIUzI1NiJ9", "ey" + "JzdWIiOiIxMjM0In0", "c2lnbmF0dXJl")
        ),
    }


@pytest.mark.parametrize("kind", secret_scan.KINDS)
def test_a_planted_secret_is_found_and_not_shown(kind: str, tmp_path: Path) -> None:
    secret = planted(tmp_path)[kind].strip()
    (found,) = secret_scan.find("config.yaml", f"first\nsecond: {secret}\n")
    assert (found.kind, found.line) == (kind, 2)
    assert secret not in str(found)


def test_one_in_a_file_makes_the_command_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ingest.nk"
    file.write_text(new_seed())
    monkeypatch.setattr("sys.argv", ["secret_scan", str(file)])
    assert secret_scan.main() == 1
    assert f"{file}:1: NATS seed" in capsys.readouterr().err


def test_a_file_that_git_does_not_have_yet_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "new.txt").write_text(new_seed())
    (tmp_path / "kept.nk").write_text(new_seed())
    (tmp_path / ".gitignore").write_text("*.nk\n")
    monkeypatch.setattr(secret_scan, "ROOT", tmp_path)
    assert [Path(found.file).name for found in secret_scan.scan(secret_scan.repository())] == [
        "new.txt"
    ]


def test_where_there_is_no_clone_it_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(secret_scan, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="is no clone"):
        secret_scan.repository()


@pytest.mark.parametrize(
    "text",
    [
        "sha256:06046d2aa4e0b15fb7aaefd7e26246d819c72ca7418ec3a6f98239f6a09ef462",
        '"attributedTo": "p-55579b557896d0ce1764c47fed644f9b"',
        "postgresql://admin:PASSWORD@postgres.example.org/klankbord",
        "postgresql://klankbord_ingest:${PASSWORD}@postgres/klankbord",
        "postgresql://admin:hush-hush@db.example.org/klankbord",
        "postgresql://admin:hush-hush@127.0.0.1:5432/klankbord",
        "password = settings.password_file.read_text()",
        "http://127.0.0.1:8080/v1/sources/forum?to=someone@example.org",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert list(secret_scan.find("x", text)) == []


def test_every_audit_says_why() -> None:
    assert all(len(why) > 10 for why in secret_scan.AUDITED.values())
