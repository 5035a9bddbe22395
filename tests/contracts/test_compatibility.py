"""Yesterday and today side by side: either reads what the other says."""

import copy
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from klankbord_schemas import FeedbackRouted
from klankbord_schemas.catalogue import EventClass
from klankbord_schemas.compatibility import breaks

Json = dict[str, Any]
Misfits = Callable[[object], list[str]]

generated = settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking whole events takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_nothing_that_was_promised_is_broken(event: EventClass, stored: Json) -> None:
    assert breaks(stored, event.json_schema()) == [], (
        "within a major version only optional fields are added: publish a new type in parallel"
    )


@generated
@given(data=st.data())
def test_what_today_says_yesterday_reads(
    event: EventClass, misfits: Misfits, data: st.DataObject
) -> None:
    said = event.model_validate(data.draw(bodies(event.json_schema())))
    assert misfits(json.loads(said.to_json())) == []


@generated
@given(data=st.data())
def test_what_yesterday_said_today_reads(
    event: EventClass, stored: Json, data: st.DataObject
) -> None:
    body = data.draw(bodies(stored))
    read = event.from_json(json.dumps(body).encode())
    assert event.from_json(read.to_json()) == read
    assert json.loads(read.to_json())["data"].keys() >= {
        name for name, value in body["data"].items() if value is not None
    }


@generated
@given(data=st.data())
def test_readers_ignore_what_a_writer_of_tomorrow_adds(
    event: EventClass, stored: Json, misfits: Misfits, data: st.DataObject
) -> None:
    body = data.draw(bodies(stored))
    news = data.draw(
        st.dictionaries(st.from_regex("tomorrow[A-Z]{1,5}", fullmatch=True), json_values)
    )
    richer = {**body, **news, "data": {**body["data"], **news}}
    assert misfits(richer) == []
    assert event.from_json(json.dumps(richer).encode()) == event.from_json(
        json.dumps(body).encode()
    )


@pytest.mark.parametrize("event", [FeedbackRouted], indirect=True)
def test_an_intent_that_today_does_not_know_is_readable(examples: dict[str, Json]) -> None:
    known = examples["full"]
    body = {**known, "data": {**known["data"], "intent": "bounty-hunt"}}
    assert FeedbackRouted.from_json(json.dumps(body).encode()).data.intent == "bounty-hunt"


class TestTheCheckerNotices:
    """Each kind of break, made on every event's real schema."""

    def test_nothing_where_nothing_changed(self, stored: Json) -> None:
        assert breaks(stored, copy.deepcopy(stored)) == []

    def test_nothing_where_an_optional_field_was_added(self, stored: Json) -> None:
        new = copy.deepcopy(stored)
        data(new)["properties"]["mood"] = {"type": "string"}
        assert breaks(stored, new) == []

    def test_nothing_where_words_changed(self, stored: Json) -> None:
        new = copy.deepcopy(stored)
        for field in data(new)["properties"].values():
            field["description"] = "said better"
            field["title"] = "Better"
        assert breaks(stored, new) == []

    def test_a_removed_field(self, stored: Json) -> None:
        for name in data(stored)["properties"]:
            new = copy.deepcopy(stored)
            del data(new)["properties"][name]
            assert f"$.data.{name}: was removed or renamed" in breaks(stored, new)

    def test_a_renamed_field(self, stored: Json) -> None:
        for name in data(stored)["properties"]:
            new = copy.deepcopy(stored)
            data(new)["properties"]["renamed"] = data(new)["properties"].pop(name)
            assert f"$.data.{name}: was removed or renamed" in breaks(stored, new)

    def test_a_retyped_field(self, stored: Json) -> None:
        for name, field in data(stored)["properties"].items():
            if "$ref" not in field:
                new = copy.deepcopy(stored)
                data(new)["properties"][name] = {"type": "object"}
                assert [line for line in breaks(stored, new) if f"$.data.{name}:" in line]

    def test_a_new_field_that_is_required(self, stored: Json) -> None:
        new = copy.deepcopy(stored)
        data(new)["properties"]["mood"] = {"type": "string"}
        data(new)["required"].append("mood")
        (line,) = breaks(stored, new)
        assert line.startswith("$.data.mood: became required")

    def test_an_optional_field_that_became_required(self, stored: Json) -> None:
        for name in data(stored)["properties"].keys() - {*data(stored)["required"]}:
            new = copy.deepcopy(stored)
            data(new)["required"].append(name)
            (line,) = breaks(stored, new)
            assert line.startswith(f"$.data.{name}: became required")

    def test_a_required_field_that_became_optional(self, stored: Json) -> None:
        for name in data(stored)["required"]:
            new = copy.deepcopy(stored)
            data(new)["required"].remove(name)
            (line,) = breaks(stored, new)
            assert line.startswith(f"$.data.{name}: became optional")

    @pytest.mark.parametrize(
        ("keyword", "value"),
        [("maxLength", 5), ("pattern", "^x$"), ("format", "date"), ("minLength", 9)],
    )
    def test_a_tightened_or_loosened_text(self, stored: Json, keyword: str, value: object) -> None:
        for name, field in data(stored)["properties"].items():
            if field.get("type") == "string":
                new = copy.deepcopy(stored)
                data(new)["properties"][name][keyword] = value
                (line,) = breaks(stored, new)
                assert line.startswith(f"$.data.{name}: {keyword} was ")

    def test_a_choice_that_was_added_or_taken_away(self, stored: Json) -> None:
        for name, field in data(stored)["properties"].items():
            for choices in ([*field.get("enum", ()), "more"], field.get("enum", ())[1:]):
                if "enum" in field:
                    new = copy.deepcopy(stored)
                    data(new)["properties"][name]["enum"] = choices
                    (line,) = breaks(stored, new)
                    assert line.startswith(f"$.data.{name}: enum was ")

    def test_a_field_that_may_be_null_now(self, stored: Json) -> None:
        for name, field in data(stored)["properties"].items():
            if field.get("type") == "string":
                new = copy.deepcopy(stored)
                data(new)["properties"][name] = {"anyOf": [field, {"type": "null"}]}
                assert breaks(stored, new)

    def test_another_default(self, stored: Json) -> None:
        for name, field in data(stored)["properties"].items():
            if "default" in field:
                new = copy.deepcopy(stored)
                data(new)["properties"][name]["default"] = "another"
                (line,) = breaks(stored, new)
                assert line.startswith(f"$.data.{name}: default was ")

    def test_a_schema_that_refuses_what_it_does_not_know(self, stored: Json) -> None:
        new = copy.deepcopy(stored)
        data(new)["additionalProperties"] = False
        assert breaks(stored, new) == ["$.data: additionalProperties was absent and is false"]

    def test_another_type_of_event(self, stored: Json) -> None:
        new = copy.deepcopy(stored)
        new["properties"]["type"]["const"] = "org.klankbord.other.happened.v1"
        (line,) = breaks(stored, new)
        assert line.startswith("$.type: const was ")

    def test_a_break_deep_inside_a_list(self) -> None:
        old = FeedbackRouted.json_schema()
        new = copy.deepcopy(old)
        del new["$defs"]["Reason"]["properties"]["weight"]
        assert breaks(old, new)[0] == "$.data.reasons[].weight: was removed or renamed"


def data(schema: Json) -> Json:
    part: Json = schema["$defs"][schema["properties"]["data"]["$ref"].removeprefix("#/$defs/")]
    return part


characters = st.characters(codec="utf-8", exclude_characters="\0")
# A zone may carry a moment across either end of the calendar: not on its first and last day.
moments = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001 - the zone is drawn
    datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.integers(-23 * 60, 23 * 60).map(lambda east: timezone(timedelta(minutes=east))),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(characters, max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(characters), inner, max_size=2)
    ),
    max_leaves=3,
)


def bodies(schema: Json) -> st.SearchStrategy[Json]:
    """Any event that the schema describes."""
    return _values(schema, schema)


def _values(schema: Json, root: Json) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _values(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in schema:
        return st.one_of([_values(choice, root) for choice in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    if schema["type"] == "array":
        least = schema.get("minItems", 0)
        return st.lists(_values(schema["items"], root), min_size=least, max_size=least + 2)
    if schema["type"] == "object":
        return _objects(schema, root)
    return _scalars(schema)


def _scalars(schema: Json) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    match schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(low, schema["exclusiveMaximum"] - 1 if high is None else high)
        case "number":
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case "string":
            return _texts(schema)
    raise NotImplementedError(f"teach the generator {schema}")


def _objects(schema: Json, root: Json) -> st.SearchStrategy[Json]:
    if "patternProperties" in schema:
        ((pattern, held),) = schema["patternProperties"].items()
        return st.dictionaries(_texts({"pattern": pattern}), _values(held, root), max_size=3)
    fields = {name: _values(field, root) for name, field in schema["properties"].items()}
    required = {name: fields.pop(name) for name in schema["required"]}
    return st.fixed_dictionaries(required, optional=fields)


def _texts(schema: Json) -> st.SearchStrategy[str]:
    if schema.get("format") == "uuid":
        return st.uuids().map(str)
    if schema.get("format") == "date-time":
        return moments.map(datetime.isoformat)
    if schema.get("pattern") in {"^[^\\x00]*$", "^[^\\x00]+$", None}:
        least = 1 if str(schema.get("pattern", "")).endswith("+$") else schema.get("minLength", 0)
        return st.text(characters, min_size=least, max_size=20)
    texts = st.from_regex(schema["pattern"], fullmatch=True, alphabet=characters)
    return texts.filter(lambda text: len(text) <= schema.get("maxLength", len(text)))
