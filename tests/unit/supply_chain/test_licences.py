"""Every package in an image has a licence that was looked at; one that is unknown is refused."""

from email.message import Message

import pytest
from scripts import licences


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("(GPL-3.0-only OR MIT) AND ISC", True),
        ("GPL-3.0-only AND MIT", False),
        ("AGPL-3.0-or-later", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_a_licence_is_allowed_only_where_all_of_it_is(expression: str, allowed: bool) -> None:
    assert licences.is_allowed(expression) is allowed


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"License-Expression": "MIT", "License": "GPL-3.0-only"}, "MIT"),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        ({"License": "GPL-3.0-only"}, "GPL-3.0-only"),
        ({"License": "Permission is hereby granted,\nfree of charge"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_what_a_package_says_is_read_and_not_guessed(metadata: dict[str, str], said: str) -> None:
    headers = Message()
    for name, value in metadata.items():
        headers[name] = value
    assert licences.licence("something", headers) == said


def test_a_forbidden_or_unknown_licence_makes_the_command_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [licences.Package("viral", "1.0", "AGPL-3.0-only", ("ingest",))]
    monkeypatch.setattr(licences, "packages", lambda: found)
    monkeypatch.setattr("sys.argv", ["licences", "--check"])
    assert licences.main() == 1
    told = capsys.readouterr().err
    assert "viral 1.0: licence 'AGPL-3.0-only'" in told
    assert "stale" in told


def test_an_image_holds_what_its_service_needs_and_no_tool_of_ours() -> None:
    names = {image: licences.closure(f"klankbord-{image}").keys() for image in licences.IMAGES}
    assert all({"pydantic", "asyncpg", "nats-py"} <= names[image] for image in names)
    assert "feedparser" in names["ingest"]
    assert "feedparser" not in names["metrics"]
    assert not {"pytest", "mypy", "ruff"} & set().union(*names.values())
