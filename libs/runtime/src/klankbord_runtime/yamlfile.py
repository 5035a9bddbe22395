"""Configuration in YAML, read strictly: every complaint names the line, the place and the fix.

Values are read as YAML 1.2's core schema reads them (https://yaml.org/spec/1.2.2/#103-core-schema),
not as YAML 1.1: `no` is Norwegian, `17:30` is a time of day, and only `true` and `false` are
yes and no. Numbers are decimal and finite; anything else is text. Anchors, aliases and tags are
refused: a file says what it says in full, so it cannot grow a thousandfold while it is read.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from math import isfinite
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from klankbord_runtime.explain import Path, explain, place
from klankbord_runtime.refused import Problem, Refused

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_PROBLEMS = 100

ModelT = TypeVar("ModelT", bound=BaseModel)


class Strict(BaseModel):
    """A part of a file: an unknown name in it is a misspelling, and refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
WRITTEN_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
LONGEST_DURATION = timedelta(weeks=5000)


def duration(value: object) -> timedelta:
    """A length of time as it is written in a file: `90s`, `15m`, `6h`, `2d` or `1w`.

    Raises:
        ValueError: it is not written so, or longer than 5000 weeks: what is added to a moment
            must stay within the years that a date can have.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (written := WRITTEN_DURATION.fullmatch(value)):
        length = timedelta(**{UNITS[written[2]]: int(written[1])})
        if length <= LONGEST_DURATION:
            return length
    raise ValueError(
        f"{value!r} is no length of time from 1s to 5000w; write one such as 90s, 15m, 6h, 2d or 1w"
    )


Duration = Annotated[timedelta, BeforeValidator(duration)]
"""A length of time, written as `90s`, `15m`, `6h`, `2d` or `1w`."""


def read_yaml(body: bytes, model: type[ModelT]) -> ModelT:
    """Read a YAML file of at most 1 MiB into `model`.

    Raises:
        Refused: it is no YAML, it says a key twice, or it does not fit the model. Each problem has
            its line and place, and a suggestion for a misspelt name or value.
    """
    document = _Document(_text(body))
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        problems = [explain(details, model, document.lines) for details in error.errors()]
        raise _refused(problems) from error


def _refused(problems: list[Problem]) -> Refused:
    """All problems in the order of the file; of very many, the first hundred."""
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)
    shown, hidden = ordered[:MAX_PROBLEMS], len(ordered) - MAX_PROBLEMS
    if hidden > 0:
        shown.append(Problem(f"there are {hidden} more problems", "put these right first"))
    return Refused(*shown)


UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML calls unprintable (https://yaml.org/spec/1.2.2/#51-character-set)."""


def _text(body: bytes) -> str:
    if len(body) > MAX_BYTES:
        wrong = f"the file is {len(body)} bytes long"
        raise Refused(Problem(wrong, f"shorten it; at most {MAX_BYTES} are read"))
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        wrong = f"byte 0x{body[error.start]:02x} is not UTF-8"
        raise Refused(Problem(wrong, "save the file as UTF-8", line)) from error
    if found := UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        wrong = f"the control character U+{ord(found[0]):04X} may not stand in YAML"
        raise Refused(Problem(wrong, "take it out", line))
    return text


INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
CONSTANTS: Mapping[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def _scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text):
        number = float(text)
        return number if isfinite(number) else text
    return text


class _Document:
    """One YAML document: its `value`, and in `lines` where each part of it stands."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._twice: list[Problem] = []
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
        try:
            self.value = self._read()
        except yaml.MarkedYAMLError as error:
            raise Refused(_unreadable(error, text)) from error
        if self._twice:
            raise _refused(self._twice)

    def _read(self) -> Any:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise Refused(Problem("the file is empty", "write what it should say"))
        value = self._node(next(self._events), ())
        next(self._events)
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            wrong = "a second document begins here"
            raise Refused(Problem(wrong, "keep one per file, and take out `---`", _line(after)))
        return value

    def _node(self, event: yaml.Event, path: Path) -> Any:
        self.lines.setdefault(path, _line(event))
        self._plain(event, path)
        if isinstance(event, yaml.ScalarEvent):
            return self._text(event, path)
        if len(path) >= MAX_DEPTH:
            wrong = f"this stands more than {MAX_DEPTH} levels deep"
            raise Refused(Problem(wrong, "write it flatter", _line(event)))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return self._mapping(path)

    def _plain(self, event: yaml.Event, path: Path) -> None:
        """Refuse what makes YAML more than text, lists and mappings."""
        if (anchor := getattr(event, "anchor", None)) is not None:
            wrong = f"the anchor or alias `{anchor}` is not read here"
            fix = "write the value out; text that begins with * or & goes in quotes"
            raise Refused(Problem(wrong, fix, _line(event), place(path)))
        if (tag := getattr(event, "tag", None)) is not None:
            wrong = f"the tag `{tag}` is not read here"
            fix = "leave it out; text that begins with ! goes in quotes"
            raise Refused(Problem(wrong, fix, _line(event), place(path)))

    def _text(self, event: yaml.ScalarEvent, path: Path) -> str | int | float | bool | None:
        unquoted, _ = event.implicit
        value = _scalar(event.value) if unquoted else event.value
        if isinstance(value, str) and "\0" in value:
            wrong = "the character U+0000 cannot be stored"
            raise Refused(Problem(wrong, "take `\\0` out", _line(event), place(path)))
        return value

    def _list(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            self._plain(event, path)
            if not isinstance(event, yaml.ScalarEvent):
                wrong = "a list or a mapping stands where a name should"
                fix = "write `name: value`; text that begins with [ or { goes in quotes"
                raise Refused(Problem(wrong, fix, _line(event), place(path)))
            key = event.value
            inside = (*path, key)
            if key in mapping:
                wrong = f"this stands on line {self.lines[inside]} already"
                fix = "keep one of the two"
                self._twice.append(Problem(wrong, fix, _line(event), place(inside)))
            self.lines.setdefault(inside, _line(event))
            mapping[key] = self._node(next(self._events), inside)
        return mapping


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


SYNTAX_FIXES = (
    ("mapping values are not allowed", "put text that holds a colon in quotes, or indent alike"),
    ("cannot start any token", "put text that begins with @, ` or % in quotes"),
    ("unknown escape character", "use single quotes for text with a backslash"),
    ("Unicode character escape", "write the character itself"),
    ("expected key", "indent what belongs together alike"),
    ("expected '-' indicator", "indent what belongs together alike"),
    ("expected ':'", "write `name: value`, with a space after the colon"),
    ("expected ',' or", "close the bracket, or put the text in quotes"),
    ("unexpected end of stream", "close the quote or the bracket"),
)


def _unreadable(error: yaml.MarkedYAMLError, text: str) -> Problem:
    """What YAML's own parser complains of, with what usually helps."""
    lines = text.rstrip("\n").split("\n")
    mark = error.problem_mark or error.context_mark
    at = min(mark.line, len(lines) - 1) if mark else 0
    begun = error.context_mark.line if error.context_mark else at
    if re.match(r" *\t", lines[at]):
        return Problem("a tab indents this line", "indent with spaces", at + 1)
    wrong = str(error.problem)
    if begun < at:
        wrong += f", {error.context} that begins on line {begun + 1}"
    fixes = (fix for sign, fix in SYNTAX_FIXES if sign in wrong)
    return Problem(wrong, next(fixes, "see how YAML writes this"), at + 1)
