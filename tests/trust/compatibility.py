"""Yesterday and today on the bus: whoever reads, whoever wrote, they understand one another.

Every golden corpus (`golden/v1` on) is what a release said. Today's code reads all of it, and what
today's code says fits the schema of every release: its readers validate by that.
"""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from figures import Row
from structures import bodies, try_many
from trust.part import Say

from klankbord_schemas import EVENTS
from klankbord_schemas.catalogue import EventClass

GOLDEN = Path(__file__).parents[2] / "libs/schemas/golden"
GENERATED = 50
"""How many events are made up for each event and release, in either direction."""


OWES = ("compat_failures",)


async def run(seed: int, say: Say) -> list[Row]:
    """Each event of each release, in some 20 s."""
    pairs, failures = await asyncio.to_thread(_compare, seed)
    return [
        Row("compat_read", pairs, "events", f">= {2 * GENERATED * len(EVENTS)}"),
        Row("compat_failures", len(failures), "events", "== 0", note="; ".join(failures)[:500]),
    ]


def _compare(seed: int) -> tuple[int, list[str]]:
    tried = 0
    failures: list[str] = []
    by_type = {event.type_name(): event for event in EVENTS}
    for folder, schema in _released():
        type_name = schema["properties"]["type"]["const"]
        event = by_type.get(type_name)
        if event is None:
            failures.append(f"{folder.name}: nobody here reads {type_name}, which was said once")
            continue
        validator = _validator(schema)
        said = [json.loads(file.read_text("utf-8")) for file in folder.glob("examples/*.json")]
        generated: list[Any] = []
        try_many(bodies(schema), generated.append, seed, GENERATED)
        for body in (*said, *generated):
            tried += 1
            failures += _read_today(folder, event, body)
        try_many(bodies(event.json_schema()), generated.append, seed, GENERATED)
        for body in (*said, *generated[GENERATED:]):
            tried += 1
            failures += _read_yesterday(folder, event, validator, body)
    return tried, failures


def _released() -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder of each event in each release, and the schema that its readers had."""
    for file in sorted(GOLDEN.glob("v*/*/schema.json")):
        yield file.parent, json.loads(file.read_text("utf-8"))


def _read_today(folder: Path, event: EventClass, body: dict[str, Any]) -> Iterator[str]:
    """Today's code reads it, loses nothing that it knew, and says it again alike."""
    try:
        read = event.from_json(json.dumps(body).encode())
        again = event.from_json(read.to_json())
    except ValueError as error:
        yield f"{folder}: today does not read {body.get('id')}: {error}"
        return
    known = {field.alias or name for name, field in type(read.data).model_fields.items()}
    told = {name for name, value in body["data"].items() if value is not None and name in known}
    if again != read or not told <= json.loads(read.to_json())["data"].keys():
        yield f"{folder}: today says {body.get('id')} otherwise"


def _read_yesterday(
    folder: Path, event: EventClass, validator: Any, body: dict[str, Any]
) -> Iterator[str]:
    """What today's code says fits what that release's readers expect."""
    said = json.loads(event.from_json(json.dumps(body).encode()).to_json())
    for error in validator.iter_errors(said):
        yield f"{folder}: {error.json_path}: {error.message}"[:300]


def _validator(schema: dict[str, Any]) -> Any:
    formats = jsonschema.FormatChecker(formats=["uuid"])
    formats.checks("date-time", raises=ValueError)(_is_rfc3339)
    return jsonschema.Draft202012Validator(schema, format_checker=formats)


def _is_rfc3339(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None
