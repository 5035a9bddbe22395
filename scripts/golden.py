"""The stored schema and the examples of each event, in libs/schemas/golden."""

import json
from pathlib import Path
from typing import Any, TypeAlias

from scripts.compatibility import breaks

from klankbord_schemas import EVENTS
from klankbord_schemas.catalogue import EventClass

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "libs" / "schemas" / "golden" / "v1"
PUBLISHED = ROOT / "docs" / "schemas"

Json: TypeAlias = dict[str, Any]


def short_name(event: EventClass) -> str:
    """`post.received`: what people call it, and its folder under `golden/v1`."""
    return event.subject_prefix().removeprefix("klankbord.").removesuffix(".v1")


def schema_file(event: EventClass) -> Path:
    return GOLDEN / short_name(event) / "schema.json"


def published_schema(event: EventClass) -> Path:
    """Where third parties find the schema: under the event's type, as in its `type` attribute."""
    return PUBLISHED / f"{event.type_name()}.json"


def examples(event: EventClass) -> dict[str, Json]:
    """The golden examples, by name."""
    files = sorted((GOLDEN / short_name(event) / "examples").glob("*.json"))
    return {file.stem: json.loads(file.read_text("utf-8")) for file in files}


def broken_promises() -> list[str]:
    """What today's models would break of the schemas that are stored."""
    problems: list[str] = []
    for event in EVENTS:
        file = schema_file(event)
        if not file.exists():
            continue
        found = breaks(json.loads(file.read_text("utf-8")), event.json_schema())
        problems += [f"{event.type_name()}: {line}" for line in found]
        if found:
            stored = file.relative_to(ROOT)
            problems.append(
                "  Within a major version only optional fields are added. Give the change a new "
                f"type;\n  or, if this one was never released, delete {stored} first."
            )
    return problems


def summary(event: EventClass) -> str:
    """The first paragraph of its docstring, on one line."""
    return " ".join((event.__doc__ or "").strip().split("\n\n")[0].split())


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
