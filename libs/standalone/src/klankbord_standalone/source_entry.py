"""An entry in the list of sources of klankbord.yaml, written as a person would add it."""

import json
import re
from collections.abc import Mapping

PLAIN = re.compile(r"(?!(?:true|false|null)$)[A-Za-z][\w./@+-]*|[0-9]{1,9}[smhdw]", re.I | re.A)
"""What YAML reads as the text that it is; anything else is put in quotes."""
SOURCES = re.compile(r"^sources:[ \t]*(?P<rest>.*)$", re.MULTILINE)
TOP_LEVEL = re.compile(r"^[^\s#-]", re.MULTILINE)


class UnwritableError(ValueError):
    """The list is not written in a way that can be added to. Its text says what to do."""


def entry_line(kind: str, name: str, community: str, options: Mapping[str, str]) -> str:
    """The entry in one line, without its dash.

    Args:
        kind: the kind of the source.
        name: what it is to be called.
        community: the slug of its community.
        options: what else is said of it, as it was typed: a text, or a list `[a, b]`.
    """
    said = {"name": name, "community": community, "kind": kind, **options}
    return "{" + ", ".join(f"{key}: {_value(text)}" for key, text in said.items()) + "}"


def with_entry(text: str, line: str) -> str:
    """The file with the entry as the last of its sources; all else stays as it is.

    Raises:
        UnwritableError: the sources stand in one line; says what to do.
    """
    found = SOURCES.search(text)
    if found is None:
        return f"{text.rstrip()}\n\nsources:\n  - {line}\n"
    rest = found["rest"].partition("#")[0].strip()
    if rest == "[]":
        return f"{text[: found.start()]}sources:\n  - {line}{text[found.end() :]}"
    if rest:
        raise UnwritableError(
            "the sources stand in one line; write each on a line of its own, beginning with `- `"
        )
    following = TOP_LEVEL.search(text, found.end())
    end = len(text) if following is None else following.start()
    block = text[found.end() : end]
    dash = re.search(r"^([ \t]*)- ", block, re.MULTILINE)
    indent = "  " if dash is None else dash[1]
    after = len(block) - len(block.lstrip()) if not block.strip() else len(block.rstrip())
    head, tail = text[: found.end() + after].rstrip(), text[found.end() + after :].lstrip("\n")
    return f"{head}\n{indent}- {line}\n{tail and chr(10)}{tail}"


def _value(text: str) -> str:
    if PLAIN.fullmatch(text) or (text.startswith("[") and text.endswith("]")):
        return text
    return json.dumps(text, ensure_ascii=False)
