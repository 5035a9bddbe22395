"""The generated documents say what the code says."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import yaml

from klankbord_schemas import EVENTS
from klankbord_schemas.catalogue import EventClass
from klankbord_schemas.topology import producers_of, readers_of

ROOT = Path(__file__).parents[2]


def test_the_documents_are_those_that_the_code_makes() -> None:
    check = [sys.executable, "-m", "scripts.docs", "--check"]
    ran = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}run `make docs`"


def test_a_program_finds_every_event_and_who_says_and_reads_it(event: EventClass) -> None:
    document = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text("utf-8"))
    channel = document["channels"][event.__name__]
    assert channel["address"] == event.subject_template()
    here = {"$ref": f"#/channels/{event.__name__}"}
    actions = [it["action"] for it in document["operations"].values() if it["channel"] == here]
    said = ["send"] * len(producers_of(event))
    assert sorted(actions) == ["receive"] * len(readers_of(event)) + said


def test_a_third_party_finds_each_schema_under_its_type_and_none_besides() -> None:
    folder = ROOT / "docs" / "schemas"
    assert {file.stem for file in folder.iterdir()} == {event.type_name() for event in EVENTS}
    for event in EVENTS:
        schema = json.loads((folder / f"{event.type_name()}.json").read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"urn:klankbord:{event.type_name()}"


def test_every_reference_leads_somewhere() -> None:
    document = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text("utf-8"))
    references = [*_references(document)]
    assert references
    for reference in references:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_a_person_finds_every_event(event: EventClass) -> None:
    page = (ROOT / "docs" / "events.md").read_text("utf-8")
    assert f"`{event.subject_template()}`" in page
    assert f"`{event.type_name()}`" in page


def _references(value: object) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    if not isinstance(value, dict):
        return []
    here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return here + [found for held in value.values() for found in _references(held)]
