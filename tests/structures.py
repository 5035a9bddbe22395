"""Values that a JSON Schema describes, as Hypothesis strategies: events, submissions, anything."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

Json = dict[str, Any]

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


def try_many(
    strategy: st.SearchStrategy[Any], use: Callable[[Any], None], seed: int, number: int
) -> None:
    """Use so many values of a strategy, the same ones for the same seed."""

    @seeded(seed)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(value: Any) -> None:
        use(value)

    one()
