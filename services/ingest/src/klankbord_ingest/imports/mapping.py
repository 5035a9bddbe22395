"""Which column is which field: how rows of anybody's CSV or NDJSON become posts.

```yaml
time_zone: Europe/Amsterdam
times: "%d-%m-%Y %H:%M"
fields:
  nativeId: "{topic_id}/{post_number}"
  published: "{created_at}"
  content: "{raw}"
  attributedTo: "{user_id}"
```
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from klankbord_ingest.imports.fields import KNOWN, LISTS, TIMES, listed
from klankbord_ingest.imports.row import Refusal
from klankbord_ingest.markup import unescaped
from klankbord_runtime.yamlfile import Strict, read_yaml
from klankbord_schemas.community import TimeZone

NUMBERED = {"unix": 1, "unix_ms": 1000}
"""Times that are numbers: how many make a second."""
DIRECTIVES = frozenset("aAbBdfHIjmMpSyYzZ%")
"""What may follow a % in a format of times, as Python's strptime has it."""

_COLUMN = re.compile(r"\{([^{}]+)\}")
_MARK = re.compile(r"\[(/?)([A-Za-z*]{1,20})(?:[=:][^\]\n]{0,300})?\]")
_QUOTE = re.compile(r"\[(/?)quote\b[^\]\n]{0,300}\]", re.IGNORECASE)
_MARKS = frozenset(
    {"*", "align", "attachment", "b", "center", "code", "color", "email", "flash", "font", "hr"}
    | {"i", "img", "indent", "left", "list", "right", "s", "size", "spoiler", "strike", "sub"}
    | {"sup", "table", "td", "th", "tr", "u", "url", "youtube"}
)
_STORED_MARK = re.compile(r"<(s|e)>[^<]{0,300}</\1>")
_STORED_QUOTE = re.compile(r"<(/?)QUOTE\b[^<>]*>")
_STORED_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


def _template(text: str) -> str:
    if not {"{", "}"}.isdisjoint(_COLUMN.sub("", text)):
        raise ValueError(f"{text!r} has a brace without its other; write a column as {{name}}")
    return text


def _known(name: str) -> str:
    if name not in KNOWN:
        near = get_close_matches(name, KNOWN, n=1)
        fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(KNOWN))}"
        raise ValueError(f"there is no field {name!r}; {fix}")
    return name


def _several(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _constant(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else str(value)


FieldName = Annotated[str, AfterValidator(_known)]
Template = Annotated[str, BeforeValidator(_constant), AfterValidator(_template)]
"""Text in which `{column}` stands for what a row has in that column."""
Templates = Annotated[
    tuple[Template, ...], BeforeValidator(_several), Field(min_length=1, max_length=10)
]
"""One or several: the first counts of which no column is empty."""
Values = Annotated[
    tuple[Annotated[str, BeforeValidator(_constant)], ...], BeforeValidator(_several)
]


def _time_format(text: str) -> str:
    if text == "iso" or text in NUMBERED:
        return text
    used = re.findall(r"%(.)", text)
    if not used or not DIRECTIVES.issuperset(used):
        raise ValueError(
            f"{text!r} is no format of times; write iso, unix, unix_ms, or one such as "
            '"%d-%m-%Y %H:%M:%S"'
        )
    return text


class ImportMapping(Strict):
    """A mapping file."""

    times: Annotated[str, AfterValidator(_time_format)] = "iso"
    """How times are written: `iso`, `unix` (seconds since 1970), `unix_ms`, or a format of
    strptime."""
    time_zone: TimeZone | None = None
    """Of times that name none; the community's where it is left out."""
    nothing: tuple[str, ...] = ("", "NULL", "\\N")
    """What stands in a cell that holds nothing."""
    markup: Literal["text", "markdown", "bbcode"] = "text"
    """What `content` is written in. What it quotes of others is taken out of Discourse's Markdown
    (`[quote]`) and of BBCode; the marks of BBCode are, too."""
    only: dict[str, Values] = Field(default_factory=dict)
    """Which rows are imported: the columns that must have one of these values."""
    fields: dict[FieldName, Templates]
    """What each field is made of."""

    @field_validator("fields")
    @classmethod
    def _name_a_post(cls, fields: dict[str, Templates]) -> dict[str, Templates]:
        if fields.keys().isdisjoint({"nativeId", "kind"}):
            raise ValueError("nativeId is missing: say what the platform calls a post")
        return fields

    @property
    def columns(self) -> frozenset[str]:
        """Every column that it names."""
        templates = (template for several in self.fields.values() for template in several)
        named = {column for template in templates for column in _COLUMN.findall(template)}
        return frozenset(named | self.only.keys())

    def document(self, row: Mapping[str, str], zone: tzinfo) -> dict[str, Any] | Refusal:
        """The fields that a row has, or why it is not imported.

        Args:
            row: what stands in each column.
            zone: the time zone of times that name none, where the mapping names none either.
        """
        filled = {name: "" if cell in self.nothing else cell for name, cell in row.items()}
        for column, values in self.only.items():
            if filled[column] not in {"" if one in self.nothing else one for one in values}:
                why = f"{column} is {row[column][:60]!r}, and the mapping leaves that out"
                return Refusal("left_out", why, column)
        own = ZoneInfo(self.time_zone) if self.time_zone else zone
        document: dict[str, Any] = {}
        for name, templates in self.fields.items():
            value = next(_filled(templates, filled), None)
            if value is None:
                continue
            if name in TIMES:
                try:
                    document[name] = self._moment(value, own)
                except (ValueError, OverflowError, OSError):
                    why = f"{name} is {value[:60]!r}, which is no time written as {self.times}"
                    return Refusal("no_moment", why, name, dict(row))
            else:
                self._put(document, name, value)
        if document.get("inReplyTo") == document.get("nativeId"):
            document.pop("inReplyTo", None)  # the first of a thread answers nothing
        if document.get("updated") and "operation" not in document:
            document["operation"] = "update"
        return document

    def _put(self, document: dict[str, Any], name: str, value: str) -> None:
        if name.startswith("attributedTo"):
            author = document.setdefault("attributedTo", {})
            author[name.partition(".")[2] or "id"] = value
        elif name in LISTS:
            document[name] = listed(value)
        elif name == "content":
            document[name] = WRITTEN[self.markup](value)
        else:
            document[name] = value

    def _moment(self, value: str, zone: tzinfo) -> datetime | None:
        """The moment that a cell names; None for 0 where times are numbers."""
        if self.times in NUMBERED:
            seconds = float(value) / NUMBERED[self.times]
            return datetime.fromtimestamp(seconds, UTC) if seconds else None
        if self.times == "iso":
            moment = datetime.fromisoformat(value)
        else:
            moment = datetime.strptime(value, self.times)  # noqa: DTZ007  the zone follows
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def read_mapping(body: bytes) -> ImportMapping:
    """Read a mapping file.

    Raises:
        klankbord_runtime.refused.Refused: it cannot be read so; says which line and what to do.
    """
    return read_yaml(body, ImportMapping)


def _filled(templates: Sequence[str], row: Mapping[str, str]) -> Iterator[str]:
    """The templates of which no column is empty, filled in."""
    for template in templates:
        if all(row[column] for column in _COLUMN.findall(template)):
            yield _COLUMN.sub(lambda found: row[found[1]], template)


def _without_bbcode(text: str) -> str:
    """What somebody wrote in BBCode, without its marks and without what they quote.

    phpBB since 3.2 keeps it as XML, with the marks in `<s>` and `<e>`.
    """
    if text.startswith(("<t>", "<r>")):
        text = _without_quotes(text, _STORED_QUOTE)
        text = _STORED_TAG.sub("", _STORED_MARK.sub("", text.replace("<br/>", "")))
    text = _without_quotes(unescaped(text))
    return _MARK.sub(lambda found: "" if found[2].lower() in _MARKS else found[0], text).strip()


def _without_quotes(text: str, mark: re.Pattern[str] = _QUOTE) -> str:
    """The text without what it quotes; what is opened and never closed quotes nothing."""
    opened: list[int] = []
    quotes: list[tuple[int, int]] = []
    for found in mark.finditer(text):
        if not found[1]:
            opened.append(found.start())
        elif opened:
            quotes.append((opened.pop(), found.end()))
    kept, at = list[str](), 0
    for begin, end in sorted(quotes):
        if begin >= at:
            kept.append(text[at:begin])
            at = end
    return "".join([*kept, text[at:]]).strip()


WRITTEN: Mapping[str, Callable[[str], str]] = {
    "text": str,
    "markdown": _without_quotes,
    "bbcode": _without_bbcode,
}
"""How the words are found in what is written so."""
