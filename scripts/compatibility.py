"""What may change in an event's JSON Schema within a major version: only optional fields are added.

Old and new run side by side, so it holds both ways. Whatever a writer of yesterday said, a reader
of today must read; whatever a writer of today says, a reader of yesterday must read. So what is
there stays as it is, a bound no more loosened than tightened; what is new may be left out.
"""

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

WORDS = {"title", "description", "examples", "$schema", "$id", "$defs"}
"""Keywords that only speak to people, or whose content is compared where it is referred to."""

NESTED = {"items", "additionalProperties", "propertyNames"}
"""Keywords that hold one schema (or true or false)."""


def breaks(old: Schema, new: Schema) -> list[str]:
    """What in `new` breaks the promise that `old` made, one line each; empty where nothing does.

    Both are JSON Schemas as pydantic writes them, with `$ref` only into their own `$defs`, and
    without recursion.
    """
    return list(_breaks(_inlined(old, old), _inlined(new, new), "$"))


def _breaks(old: Schema, new: Schema, path: str) -> Iterator[str]:
    yield from _fields(old, new, path)
    for keyword in sorted((old.keys() | new.keys()) - WORDS - {"properties", "required"}):
        before, after = old.get(keyword), new.get(keyword)
        if keyword in NESTED and isinstance(before, dict) and isinstance(after, dict):
            yield from _breaks(before, after, f"{path}[]")
        elif keyword == "patternProperties" and before and after and before.keys() == after.keys():
            for pattern in before:
                yield from _breaks(before[pattern], after[pattern], f"{path}[]")
        elif keyword == "anyOf" and before and after and len(before) == len(after):
            for one, other in zip(before, after, strict=True):
                yield from _breaks(one, other, path)
        elif _differ(before, after):
            yield f"{path}: {keyword} was {_shown(before)} and is {_shown(after)}"


def _fields(old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    demanded, demands = set(old.get("required", ())), set(new.get("required", ()))
    for name, field in before.items():
        if name not in after:
            yield f"{path}.{name}: was removed or renamed"
        else:
            yield from _breaks(field, after[name], f"{path}.{name}")
    for name in sorted(demands - demanded):
        yield f"{path}.{name}: became required, and events of yesterday may lack it"
    for name in sorted((demanded - demands) & after.keys()):
        yield f"{path}.{name}: became optional, and readers of yesterday demand it"


def _inlined(schema: Any, root: Schema) -> Any:
    """The schema with every `$ref` replaced by what it refers to."""
    if isinstance(schema, list):
        return [_inlined(item, root) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return {key: _inlined(value, root) for key, value in schema.items() if key != "$defs"}


def _differ(before: Any, after: Any) -> bool:
    """Whether two keyword values differ; the order of an enum says nothing."""
    if isinstance(before, list) and isinstance(after, list):
        return sorted(map(json.dumps, before)) != sorted(map(json.dumps, after))
    return json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True)


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)
