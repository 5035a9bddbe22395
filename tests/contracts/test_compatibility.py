"""Yesterday and today side by side: either reads what the other says."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scripts.compatibility import breaks
from structures import bodies, json_values

from klankbord_schemas import FeedbackRouted
from klankbord_schemas.catalogue import EventClass

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
