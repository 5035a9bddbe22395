"""The envelope: CloudEvents 1.0, ids that are facts, and nothing that could not be stored."""

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from klankbord_schemas import (
    EVENTS,
    CommunityMeasured,
    Erasure,
    ErasureCompleted,
    Event,
    FeedbackRouted,
    FeedbackWithdrawn,
    InteractionReceived,
    MemberErased,
    MemberSeen,
    Person,
    PostFlagged,
    PostReceived,
    QueryMatched,
    SourceSilent,
    member_digest,
    post_identity,
)
from klankbord_schemas.catalogue import EventClass
from klankbord_schemas.identity import NAMESPACE, fact_id

Json = dict[str, Any]

CLOUDEVENTS = {"id", "source", "specversion", "type", "subject", "time", "datacontenttype", "data"}
EXTENSIONS = {
    "correlationid",
    "causationid",
    "traceparent",
    "recordedtime",
    "partitionkey",
    "sequence",
}
"""Registered: https://github.com/cloudevents/spec/tree/main/cloudevents/extensions"""

CAUSE = PostReceived.model_validate(
    {
        "id": UUID(int=1),
        "source": "/ingest/harbour/forum",
        "subject": "x",
        "time": "2026-11-02T08:15:30Z",
        "recordedtime": "2026-11-02T08:15:30Z",
        "sequence": "0" * 19,
        "data": {
            "community": "harbour",
            "source": "forum",
            "platform": "forum.harbour.example",
            "post": post_identity("harbour", "forum.harbour.example", "1"),
            "nativeId": "1",
            "operation": "create",
            "published": "2026-11-02T08:15:30Z",
            "publishedTrust": "attested",
        },
    }
)


ERASURE = MemberErased.of(
    Erasure(community="harbour", member_digest=member_digest("p-1")), CAUSE.recordedtime
)


def read(event: EventClass, body: Json) -> Event[Any]:
    return event.from_json(json.dumps(body).encode())


class TestCloudEvents:
    def test_every_required_attribute_is_there(
        self, event: EventClass, examples: dict[str, Json]
    ) -> None:
        for example in examples.values():
            body = json.loads(read(event, example).to_json())
            for attribute in ("id", "source", "specversion", "type"):
                assert isinstance(body[attribute], str)
                assert body[attribute]
            assert body["specversion"] == "1.0"
            assert body["datacontenttype"] == "application/json"

    def test_names_are_lower_case_and_short(self, event: EventClass) -> None:
        for name in event.model_fields:
            assert re.fullmatch("[a-z0-9]{1,20}", name), "CloudEvents 1.0, attribute names"

    def test_extensions_are_registered_ones(self, event: EventClass) -> None:
        assert event.model_fields.keys() - CLOUDEVENTS <= EXTENSIONS

    def test_the_type_is_a_past_tense_fact_with_a_major_version(self, event: EventClass) -> None:
        form = r"org\.klankbord\.[a-z]+\.([a-z]+ed|seen|withdrawn|silent)\.v[1-9]"
        assert re.fullmatch(form, event.type_name())

    def test_times_are_rfc_3339_in_utc(self, event: EventClass, examples: dict[str, Json]) -> None:
        form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
        for example in examples.values():
            body = json.loads(read(event, example).to_json())
            for path, field in leaves(body, event.json_schema()):
                if field.get("format") == "date-time":
                    assert re.fullmatch(form, value_at(body, path)), path

    @given(at=st.datetimes(timezones=st.timezones()))
    def test_a_time_is_written_as_precisely_as_it_is_known(self, at: datetime) -> None:
        try:
            moment = at.astimezone(UTC)
        except OverflowError:
            return  # no moment that an event can hold
        again = PostReceived.model_validate(dict(CAUSE) | {"time": at})
        assert json.loads(again.to_json())["time"] == moment.isoformat().replace("+00:00", "Z")

    def test_the_source_is_a_uri_reference(
        self, event: EventClass, examples: dict[str, Json]
    ) -> None:
        for example in examples.values():
            assert re.fullmatch(r"(/[a-z0-9-]+){2,3}", example["source"])

    def test_the_bus_subject_has_the_tokens_that_the_template_names(
        self, event: EventClass, examples: dict[str, Json]
    ) -> None:
        for example in examples.values():
            said = read(event, example)
            template = event.subject_template().split(".")
            tokens = said.bus_subject.split(".")
            assert len(tokens) == len(template)
            assert all(re.fullmatch("[a-z0-9-]+", token) for token in tokens), "no wildcards"
            assert tokens[-2] == said.community


class TestIds:
    """An id is what the fact is, whoever says it and when."""

    def test_the_ids_of_the_corpus_are_the_ones_that_their_facts_make(
        self, event: EventClass, examples: dict[str, Json]
    ) -> None:
        for name, example in examples.items():
            assert said_again(read(event, example)).id == UUID(example["id"]), name

    @pytest.mark.parametrize(
        "event",
        # an appearance is of its moment, and so is a request
        [event for event in EVENTS if event not in {MemberSeen, MemberErased}],
        indirect=True,
    )
    def test_the_same_fact_said_later_has_the_same_id(
        self, event: EventClass, examples: dict[str, Json]
    ) -> None:
        for example in examples.values():
            said = read(event, example)
            assert said_again(said, later=timedelta(hours=1)).id == said.id

    def test_no_two_facts_of_the_corpus_have_one_id(self, examples: dict[str, Json]) -> None:
        assert len({example["id"] for example in examples.values()}) == len(examples)

    @pytest.mark.parametrize(
        ("event", "change"),
        [
            (PostReceived, {"sequence": "0000000000000000009"}),
            (PostReceived, {"data.operation": "delete"}),
            (PostReceived, {"data.post": str(UUID(int=9))}),
            (InteractionReceived, {"data.nativeId": "another"}),
            (InteractionReceived, {"data.platform": "another.example"}),
            (InteractionReceived, {"data.nativeId": None}),
            (MemberSeen, {"data.name": "Another"}),
            (MemberSeen, {"data.icon": "https://another.example"}),
            (MemberSeen, {"data.isAutomated": True}),
            (PostFlagged, {"data.policy": "0" * 64}),
            (PostFlagged, {"data.postSequence": 99}),
            (FeedbackRouted, {"data.department": "another"}),
            (FeedbackRouted, {"data.caseRevision": 99}),
            (FeedbackWithdrawn, {"data.routed": str(UUID(int=9))}),
            (CommunityMeasured, {"data.revision": 99}),
            (CommunityMeasured, {"data.metric": "another"}),
            (CommunityMeasured, {"data.source": None}),
            (CommunityMeasured, {"data.window.grain": "day"}),
            (CommunityMeasured, {"data.window.start": "2026-10-18T22:00:00Z"}),
            (MemberErased, {"data.community": "another"}),
            (MemberErased, {"data.memberDigest": "0" * 64}),
            (MemberErased, {"recordedtime": "2026-11-21T10:30:00.126Z"}),
            (ErasureCompleted, {"data.service": "another"}),
            (ErasureCompleted, {"data.erasure": str(UUID(int=9))}),
            (QueryMatched, {"data.post": str(UUID(int=9))}),
            (QueryMatched, {"data.postSequence": 99}),
            (QueryMatched, {"data.query": "another"}),
            (QueryMatched, {"data.revision": "0" * 64}),
            (SourceSilent, {"data.community": "another"}),
            (SourceSilent, {"data.source": "another"}),
            (SourceSilent, {"data.since": "2026-11-01T00:00:00Z"}),
        ],
        indirect=["event"],
    )
    def test_another_fact_has_another_id(
        self, event: EventClass, change: Json, examples: dict[str, Json]
    ) -> None:
        body = copy.deepcopy(examples["full"])
        ((path, value),) = change.items()
        put(body, tuple(path.split(".")), value)
        assert said_again(read(event, body)).id != UUID(examples["full"]["id"])

    @pytest.mark.parametrize("event", [PostReceived], indirect=True)
    def test_one_moment_in_two_time_zones_is_one_fact(
        self, event: EventClass, examples: dict[str, Json]
    ) -> None:
        elsewhere = {**examples["full"], "time": "2026-11-02T10:05:44.120+01:00"}
        assert read(event, elsewhere) == read(event, examples["full"])
        assert read(event, elsewhere).to_json() == read(event, examples["full"]).to_json()

    def test_an_id_never_changes(self) -> None:
        assert fact_id("post", "harbour", "forum", "1") == UUID(
            "3ce5c148-9906-5dbb-b849-b00dcf16bff2"
        )

    @given(st.lists(st.text() | st.integers() | st.uuids()))
    def test_an_id_is_the_uuid5_of_its_parts_as_netstrings(self, parts: list[object]) -> None:
        texts = [str(part) for part in parts]
        netstrings = "".join(f"{len(text.encode())}:{text}," for text in texts)
        assert fact_id(*parts) == uuid5(NAMESPACE, netstrings)

    @given(st.lists(st.text(st.characters(codec="utf-8")), max_size=4), st.data())
    def test_two_lists_of_parts_make_one_id_only_if_they_are_the_same(
        self, parts: list[str], data: st.DataObject
    ) -> None:
        joined = "".join(parts)
        cut = data.draw(st.integers(0, len(joined)))
        others = [joined[:cut], joined[cut:]]
        assert (fact_id(*parts) == fact_id(*others)) == (parts == others)


class TestWhomItIsAbout:
    """An erasure removes what names the member: no event may forget to say whom it names."""

    def test_each_class_says_for_itself_whom_it_is_about(self, event: EventClass) -> None:
        assert "person" in vars(event)

    def test_what_holds_a_pseudonym_is_about_that_member_and_nothing_else_is(
        self, event: EventClass, examples: dict[str, Json]
    ) -> None:
        for example in examples.values():
            data = {name: value for name, value in example["data"].items() if name != "mention"}
            # that others name someone is their word, not that member's (docs/adr/0009)
            said = read(event, {**example, "data": data})
            named = set(re.findall("p-[0-9a-f]{32}", said.to_json().decode()))
            expected = {Person(said.community, member_digest(pseudonym)) for pseudonym in named}
            assert {said.person} - {None} == expected


HOSTILE_TEXTS = {
    "NUL": "a\0b",
    "a lone surrogate": "a\ud800b",
    "more text than any field takes": "x" * 100_001,
}


class TestWhatCannotBeStored:
    """PostgreSQL and JSON cannot hold these, so no field takes them."""

    @pytest.mark.parametrize("hostile", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS.keys())
    def test_in_a_text(self, event: EventClass, examples: dict[str, Json], hostile: str) -> None:
        for path, field in leaves(examples["full"], event.json_schema()):
            if field["type"] == "string":
                refuse(event, examples["full"], path, hostile)

    def test_a_nul_in_a_long_text_is_refused_with_the_pattern_that_the_schema_shows(self) -> None:
        body = CAUSE.model_dump(mode="json", by_alias=True)
        body["data"]["content"] = "a\0b"
        with pytest.raises(ValidationError) as refused:
            read(PostReceived, body)
        (problem,) = refused.value.errors(include_url=False)
        shown = PostReceived.json_schema()["$defs"]["Post"]["properties"]["content"]
        assert problem["type"] == "string_pattern_mismatch"
        assert problem["ctx"] == {"pattern": shown["pattern"]}

    @pytest.mark.parametrize("hostile", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS.keys())
    @pytest.mark.parametrize("event", [CommunityMeasured], indirect=True)
    def test_in_a_name(self, event: EventClass, examples: dict[str, Json], hostile: str) -> None:
        refuse(event, examples["full"], ("data", "absolute"), {hostile: 1})

    @pytest.mark.parametrize("hostile", [2**63, -(2**63) - 1, 1.5, float("nan"), float("inf")])
    def test_in_a_whole_number(
        self, event: EventClass, examples: dict[str, Json], hostile: float
    ) -> None:
        for path, field in leaves(examples["full"], event.json_schema()):
            if field["type"] == "integer":
                refuse(event, examples["full"], path, hostile)

    @pytest.mark.parametrize("hostile", [float("nan"), float("inf"), -float("inf"), 10**400])
    def test_in_a_number(
        self, event: EventClass, examples: dict[str, Json], hostile: float
    ) -> None:
        for path, field in leaves(examples["full"], event.json_schema()):
            if field["type"] == "number":
                refuse(event, examples["full"], path, hostile)

    @pytest.mark.parametrize(
        "hostile",
        [
            "2026-11-02T08:15:30",
            "2026-11-02",
            "yesterday",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "10000-01-01T00:00:00Z",
        ],
    )
    def test_in_a_time(self, event: EventClass, examples: dict[str, Json], hostile: str) -> None:
        for path, field in leaves(examples["full"], event.json_schema()):
            if field.get("format") == "date-time":
                refuse(event, examples["full"], path, hostile)

    def test_a_sequence_that_does_not_fit_64_bits(self, examples: dict[str, Json]) -> None:
        for sequence in ("9223372036854775808", "-000000000000000001", "١" * 19, "0" * 20, "1"):
            body = CAUSE.model_dump(mode="json", by_alias=True) | {"sequence": sequence}
            with pytest.raises(ValueError, match="sequence"):
                read(PostReceived, body)

    def test_every_field_is_tried(self, event: EventClass, examples: dict[str, Json]) -> None:
        tried = [field for _, field in leaves(examples["full"], event.json_schema())]
        assert len(tried) >= len(event.model_fields), "the full example shows every field"


def refuse(event: EventClass, example: Json, path: tuple[str | int, ...], hostile: object) -> None:
    """Neither a body from the bus nor a value made in Python gets through."""
    body = copy.deepcopy(example)
    put(body, path, hostile)
    with pytest.raises(ValueError):
        event.from_json(json.dumps(body).encode())
    with pytest.raises(ValueError, match=re.escape(".".join(map(str, path)))):
        event.model_validate(body)


def said_again(  # noqa: C901 - an arm for each event
    event: Event[Any], later: timedelta = timedelta()
) -> Event[Any]:
    """The same fact, made anew by the class that says it."""
    moment = event.recordedtime + later
    match event:
        case PostReceived():
            return PostReceived.of(event.data, event.version, moment)
        case InteractionReceived():
            return InteractionReceived.of(event.data, moment)
        case MemberSeen():
            return MemberSeen.of(event.data, moment)
        case PostFlagged():
            return PostFlagged.of(CAUSE, event.data, moment)
        case FeedbackRouted():
            return FeedbackRouted.of(CAUSE, event.data, moment)
        case FeedbackWithdrawn():
            return FeedbackWithdrawn.of(CAUSE, event.data, moment)
        case CommunityMeasured():
            return CommunityMeasured.of(event.data, moment)
        case MemberErased():
            return MemberErased.of(event.data, moment)
        case ErasureCompleted():
            return ErasureCompleted.of(ERASURE, event.data, moment)
        case QueryMatched():
            return QueryMatched.of(CAUSE, event.data, moment)
        case SourceSilent():
            return SourceSilent.of(event.data, moment)
    raise NotImplementedError(f"say {type(event).__name__} again here")


def leaves(
    value: Any, schema: Json, root: Json | None = None, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """Each text, number and flag of an event, with the part of the schema that speaks of it."""
    root = root or schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in schema:
        (schema,) = (choice for choice in schema["anyOf"] if choice != {"type": "null"})
    if isinstance(value, dict):
        for name, held in value.items():
            fields = schema.get("properties") or dict.fromkeys(
                value, next(iter(schema["patternProperties"].values()))
            )
            if name in fields:
                yield from leaves(held, fields[name], root, (*path, name))
    elif isinstance(value, list):
        for position, held in enumerate(value):
            yield from leaves(held, schema["items"], root, (*path, position))
    else:
        yield path, schema


def value_at(body: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        body = body[step]
    return body


def put(body: Any, path: tuple[str | int, ...], value: object) -> None:
    value_at(body, path[:-1])[path[-1]] = value
