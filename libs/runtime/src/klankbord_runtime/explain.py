"""Pydantic's complaints about a file, in the words of the person who edits it."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from klankbord_runtime.refused import Problem

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands: the names and list positions that lead to it."""

LIST = ("a list", "write `- ` before each item, or [a, b]")
MAPPING = ("a mapping", "write `name: value` lines under it")
TEXT = ("text", "put it in quotes")
YES_OR_NO = ("yes or no", "write true or false")
WHOLE_NUMBER = ("a whole number", "write digits only")
NUMBER = ("a number", "write digits, with a point where it has a fraction")
SHAPES = {
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), LIST),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), MAPPING),
    **dict.fromkeys(("bool_type", "bool_parsing"), YES_OR_NO),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), WHOLE_NUMBER),
    **dict.fromkeys(("float_type", "float_parsing"), NUMBER),
    "string_type": TEXT,
}
"""By pydantic's error type: what should stand there, and how it is written."""


def explain(details: ErrorDetails, model: type[BaseModel], lines: Mapping[Path, int]) -> Problem:
    """One complaint of `model`, with the line of the place that it means.

    `lines` says on which line each part of the file stands; it knows at least the root, `()`.
    """
    path, known = _locate(details, model, lines)
    if details["type"].startswith("union_tag"):
        path = (*path, details["ctx"]["discriminator"].strip("'"))
    wrong, fix = _words(details, known)
    return Problem(wrong, fix, _nearest_line(path, lines), place(path))


def place(path: Path) -> str:
    """`rules[3].severity`, with lists counted from 0."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")


def _nearest_line(path: Path, lines: Mapping[Path, int]) -> int:
    while path not in lines:
        path = path[:-1]
    return lines[path]


def _words(details: ErrorDetails, known: list[str]) -> tuple[str, str]:
    """What is wrong, and what to do. `known` are the names that may stand there."""
    given, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return "is not known here", _suggest_name(str(details["loc"][-1]), known)
        case "missing" | "union_tag_not_found":
            return "is missing", "add it"
        case "literal_error" | "enum":
            return _none_of(given, context["expected"])
        case "union_tag_invalid":
            return _none_of(context["tag"], context["expected_tags"])
        case "value_error" | "assertion_error":
            wrong, _, fix = str(context["error"]).partition("; ")
            return wrong, fix
    if given is None:
        return "nothing is written here", "write a value, or take the line out"
    if shape := SHAPES.get(details["type"]):
        needed, fix = shape
        if shape is TEXT and isinstance(given, dict | list):
            fix = "write one value"
        return f"{_shown(given)} is not {needed}", fix
    message = details["msg"]
    if message.startswith("Input "):  # `Input should be less than 5` -> `7 should be less than 5`
        return f"{_shown(given)} {message.removeprefix('Input ')}", ""
    return f"{_shown(given)}: {message[0].lower()}{message[1:]}", ""


def _none_of(given: Any, expected: str) -> tuple[str, str]:
    """`expected` is pydantic's list: `'low', 'medium' or 'high'`."""
    choices = re.findall(r"'([^']*)'", expected) or re.split(r", | or ", expected)
    near = get_close_matches(str(given)[:100], choices, n=1)
    wrong = f"{_shown(given)} is none of {', '.join(choices)}"
    return wrong, f"did you mean {near[0]}?" if near else "choose one of them"


def _suggest_name(name: str, known: list[str]) -> str:
    near = get_close_matches(name[:100], known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"take it out; known here: {', '.join(known)}"


def _shown(value: Any) -> str:
    """A value as its writer knows it, cut to 60 characters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _locate(
    details: ErrorDetails, model: type[BaseModel], lines: Mapping[Path, int]
) -> tuple[Path, list[str]]:
    """The path in the file that pydantic's `loc` means, and the names that may stand at its end.

    A loc also has steps that are in no file: the branch of a union, `[key]` after a wrong key.
    Walking the annotations along with it tells which.
    """
    path: Path = ()
    known: list[str] = []
    kind: Any = model
    for step in details["loc"]:
        branches = _branches(kind)
        if len(branches) > 1:
            kind = next((branch for branch in branches if _is_branch(branch, step)), Any)
            continue
        kind = branches[0]
        if (*path, step) in lines or details["type"] == "missing":
            path = (*path, step)
            known, kind = _names(kind), _inside(kind, step)
    return path, known


def _branches(kind: Any) -> list[Any]:
    """The members of a union that may hold a value; of anything else, itself."""
    if get_origin(kind) is Annotated:
        return _branches(get_args(kind)[0])
    if get_origin(kind) in {Union, UnionType}:
        return [argument for argument in get_args(kind) if argument is not NoneType]
    return [kind]


def _is_branch(kind: Any, step: str | int) -> bool:
    """Whether pydantic calls this branch of a union `step`: by its type or its discriminator."""
    (kind, *_) = _branches(kind)
    name = getattr(get_origin(kind) or kind, "__name__", "")
    if step == name or str(step).startswith(f"{name}["):
        return True
    return _is_model(kind) and any(
        get_origin(field.annotation) is Literal and step in get_args(field.annotation)
        for field in kind.model_fields.values()
    )


def _inside(kind: Any, step: str | int) -> Any:
    """What stands at `step` of a model, a mapping or a list."""
    if _is_model(kind):
        for name, field in kind.model_fields.items():
            if step in {name, field.alias}:
                return field.annotation
        return Any
    arguments = get_args(kind)
    return (arguments[0] if isinstance(step, int) else arguments[-1]) if arguments else Any


def _names(kind: Any) -> list[str]:
    if not _is_model(kind):
        return []
    return [field.alias or name for name, field in kind.model_fields.items()]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
