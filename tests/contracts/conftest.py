"""Every event and every golden example, one test each; a new event is in all tests at once.

event       each class of klankbord_schemas.EVENTS
stored      its JSON Schema as stored in libs/schemas/golden
examples    its golden examples, by name
"""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from klankbord_schemas import EVENTS
from klankbord_schemas.catalogue import EventClass

GOLDEN = Path(__file__).parents[2] / "libs" / "schemas" / "golden" / "v1"


@pytest.fixture(scope="session", params=EVENTS, ids=lambda event: event.__name__)
def event(request: pytest.FixtureRequest) -> EventClass:
    event: EventClass = request.param
    return event


@pytest.fixture(scope="session")
def golden(event: EventClass) -> Path:
    """The event's folder in the golden corpus."""
    return GOLDEN / event.type_name().removeprefix("org.klankbord.").removesuffix(".v1")


@pytest.fixture(scope="session")
def stored(golden: Path) -> dict[str, Any]:
    file = golden / "schema.json"
    assert file.exists(), f"{file} is missing: run `python -m scripts.docs --schemas`"
    schema: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return schema


@pytest.fixture(scope="session")
def examples(golden: Path) -> dict[str, dict[str, Any]]:
    files = sorted((golden / "examples").glob("*.json"))
    return {file.stem: json.loads(file.read_text("utf-8")) for file in files}


@pytest.fixture(scope="session")
def misfits(stored: dict[str, Any]) -> Callable[[object], list[str]]:
    formats = jsonschema.FormatChecker(formats=["uuid"])
    formats.checks("date-time", raises=ValueError)(_is_rfc3339)
    validator = jsonschema.Draft202012Validator(stored, format_checker=formats)
    return lambda body: [
        f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)
    ]


def _is_rfc3339(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None
