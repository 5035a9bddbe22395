"""The golden corpus: what was promised to every subscriber, and examples that keep it honest."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from klankbord_schemas import EVENTS
from klankbord_schemas.catalogue import EventClass, event_class

Json = dict[str, Any]
Misfits = Callable[[object], list[str]]


def test_the_stored_schema_is_the_one_that_the_models_make(event: EventClass, stored: Json) -> None:
    assert stored == event.json_schema(), (
        "the models say something else than the stored schema. If that is meant, run "
        "`python -m scripts.docs --schemas`: it refuses what would break a reader."
    )


def test_the_stored_schema_lets_readers_ignore_what_they_do_not_know(stored: Json) -> None:
    assert "additionalProperties" not in json.dumps(stored)


def test_there_are_a_minimal_a_full_and_an_odd_example(examples: dict[str, Json]) -> None:
    assert examples.keys() >= {"minimal", "full", "odd"}


def test_the_corpus_holds_no_other_events(golden: Path) -> None:
    known = {event.type_name().removeprefix("org.klankbord.") for event in EVENTS}
    assert {f"{folder.name}.v1" for folder in golden.parent.iterdir()} == known


def test_every_example_is_read_by_the_models(event: EventClass, examples: dict[str, Json]) -> None:
    for name, example in examples.items():
        read = event.from_json(json.dumps(example).encode())
        assert type(read) is event_class(example["type"]), name


def test_every_example_fits_the_stored_schema(misfits: Misfits, examples: dict[str, Json]) -> None:
    for name, example in examples.items():
        assert misfits(example) == [], name


def test_the_minimal_example_says_only_what_is_required(
    misfits: Misfits, examples: dict[str, Json]
) -> None:
    for path in paths(examples["minimal"]):
        if "[" not in path:
            assert misfits(without(examples["minimal"], path)), f"{path} may be left out"


def test_the_full_example_leaves_no_field_out(stored: Json, examples: dict[str, Json]) -> None:
    assert {*schema_paths(stored, stored)} - {*paths(examples["full"])} == set()


def test_the_odd_example_holds_what_readers_meet_some_day(
    event: EventClass, examples: dict[str, Json]
) -> None:
    odd = examples["odd"]
    read = event.from_json(json.dumps(odd).encode())
    assert len(read.community) == 63, "the longest slug"
    assert not json.dumps(odd, ensure_ascii=False).isascii()
    assert {"tomorrowsAttribute", "data.tomorrowsField.depth"} <= {*paths(odd)}


def test_a_round_trip_loses_nothing_but_what_today_does_not_know(
    event: EventClass, examples: dict[str, Json]
) -> None:
    for name, example in examples.items():
        read = event.from_json(json.dumps(example).encode())
        written = json.loads(read.to_json())
        assert event.from_json(read.to_json()) == read, name
        lost = [path for path in lost_paths(example, written) if "tomorrow" not in path]
        assert lost == [], name


def test_a_round_trip_through_python_objects_loses_nothing_either(
    event: EventClass, examples: dict[str, Json]
) -> None:
    for example in examples.values():
        read = event.from_json(json.dumps(example).encode())
        assert event.model_validate(read.model_dump()) == read


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"{", b"\xff", b'"text"'])
def test_what_is_no_event_is_refused(event: EventClass, body: bytes) -> None:
    with pytest.raises(ValueError):
        event.from_json(body)


def test_another_events_body_is_refused(event: EventClass, golden: Path) -> None:
    for other in golden.parent.iterdir():
        if other != golden:
            with pytest.raises(ValueError, match="type"):
                event.from_json((other / "examples" / "full.json").read_bytes())


def paths(value: object, path: str = "") -> Iterator[str]:
    """The paths of all leaves and lists: `data.labels`, `data.labels[0].val`."""
    if isinstance(value, dict):
        for name, held in value.items():
            yield from paths(held, f"{path}.{name}".removeprefix("."))
        return
    yield path
    if isinstance(value, list) and value and isinstance(value[0], dict):
        yield from paths(value[0], f"{path}[0]")


def schema_paths(schema: Json, root: Json, path: str = "") -> Iterator[str]:
    """The same paths, of everything that the schema knows."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    for name, field in schema.get("properties", {}).items():
        inside = f"{path}.{name}".removeprefix(".")
        if "$ref" in field:
            yield from schema_paths(field, root, inside)
        elif "patternProperties" not in field:
            yield inside
        if "$ref" in field.get("items", {}):
            yield from schema_paths(field["items"], root, f"{inside}[0]")


def without(example: Json, path: str) -> Json:
    copy: Json = json.loads(json.dumps(example))
    *around, last = path.split(".")
    place = copy
    for step in around:
        place = place[step]
    del place[last]
    return copy


def lost_paths(before: object, after: object, path: str = "") -> Iterator[str]:
    """Where `after` does not say what `before` said."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, held in before.items():
            yield from lost_paths(held, after.get(name), f"{path}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for position, (held, kept) in enumerate(zip(before, after, strict=True)):
            yield from lost_paths(held, kept, f"{path}[{position}]")
    elif before != after and not same_moment(before, after):
        yield path


def same_moment(before: object, after: object) -> bool:
    try:
        return datetime.fromisoformat(str(before)) == datetime.fromisoformat(str(after))
    except ValueError:
        return False
