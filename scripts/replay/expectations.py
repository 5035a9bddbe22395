"""What a document of feedparser's test corpus says of itself, read without running it.

Such a document begins with a comment that holds a line such as

    Expect:      not bozo and entries[0]['title'] == 'Example <b>Atom</b>'

which is a Python expression over feedparser's result. It is parsed, never evaluated: what it says
of title, link, id, author and date of an entry is taken out of the syntax tree.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FIELDS = {
    ("title",): "title",
    ("title_detail", "value"): "title",
    ("link",): "link",
    ("id",): "id",
    ("guid",): "id",
    ("author",): "author",
    ("author_detail", "name"): "author",
    ("authors", 0, "name"): "author",
    ("published",): "published",
    ("published_parsed",): "published",
    ("issued",): "published",
    ("issued_parsed",): "published",
    ("created",): "published",
    ("created_parsed",): "published",
    ("updated",): "updated",
    ("updated_parsed",): "updated",
    ("modified",): "updated",
    ("modified_parsed",): "updated",
    ("date",): "updated",
    ("date_parsed",): "updated",
}
"""Where in an entry feedparser keeps what Klankbord keeps as that field."""

_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_HEADER = re.compile(r"^Header:[ \t]*([^:\n]+):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_EXPECT = re.compile(r"^Expect:[ \t]*(.*?)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Claim:
    """That a field of an entry has a value."""

    entry: int
    """Which entry, counted from 0."""
    field: str
    """title, link, id, author, published or updated."""
    value: Any
    """A text, or the nine numbers of a `struct_time`."""


@dataclass(frozen=True)
class Expectation:
    """What a document says of itself."""

    line: str
    """The `Expect:` line."""
    is_well_formed: bool
    """Whether the line does not call the document `bozo`."""
    claims: tuple[Claim, ...]
    """What it says of the fields of entries; empty where it speaks of other things."""
    headers: dict[str, str]
    """The HTTP headers that it wants to be served with, by their lower-case names."""


def expectation_of(body: bytes) -> Expectation | None:
    """What a document says of itself; None where it says nothing."""
    for text in _decoded(body):
        for comment in _COMMENT.findall(text[:20_000]):
            if found := _EXPECT.search(comment):
                headers = {name.lower(): value for name, value in _HEADER.findall(comment)}
                return _expectation(found[1], headers)
    return None


def _decoded(body: bytes) -> Iterator[str]:
    """The document in each encoding in which its comment may be legible."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        yield body.decode(encoding, "replace")


def _expectation(line: str, headers: dict[str, str]) -> Expectation:
    try:
        tree = ast.parse(line, mode="eval").body
    except SyntaxError:
        return Expectation(line, is_well_formed=True, claims=(), headers=headers)
    terms = list(_terms(tree))
    is_bozo = any(isinstance(term, ast.Name) and term.id == "bozo" for term in terms)
    claims = tuple(claim for term in terms for claim in _claims(term))
    return Expectation(line, not is_bozo, claims, headers)


def _terms(tree: ast.expr) -> Iterator[ast.expr]:
    """What is said all at once: the parts of `a and b and c`."""
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        for value in tree.values:
            yield from _terms(value)
    else:
        yield tree


def _claims(term: ast.expr) -> Iterator[Claim]:
    """What `entries[0]['link'] == entries[1]['link'] == 'http://…'` says, link by link."""
    if not isinstance(term, ast.Compare) or not all(isinstance(op, ast.Eq) for op in term.ops):
        return
    sides = [term.left, *term.comparators]
    values = [value for side in sides if (value := _literal(side)) is not None]
    if len(values) != 1:
        return
    for side in sides:
        match tuple(_path(side)):
            case ("entries", int(entry), *keys) if tuple(keys) in FIELDS:
                yield Claim(entry, FIELDS[tuple(keys)], values[0])


def _path(tree: ast.expr) -> list[str | int]:
    """`entries[0]['link']` as `entries`, 0, `link`; empty where it is anything else."""
    if isinstance(tree, ast.Name):
        return [tree.id]
    if isinstance(tree, ast.Subscript) and isinstance(tree.slice, ast.Constant):
        before, key = _path(tree.value), tree.slice.value
        return [*before, key] if before and isinstance(key, str | int) else []
    return []


def _literal(tree: ast.expr) -> Any:
    """The value of a literal, or of literals that are added; None where it is anything else."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        left, right = _literal(tree.left), _literal(tree.right)
        return left + right if isinstance(left, str) and isinstance(right, str) else None
    try:
        return ast.literal_eval(tree)
    except ValueError:
        return None
