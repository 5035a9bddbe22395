"""The runtime knows no domain: what it does for posts it would do for parcels."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[2] / "libs" / "runtime" / "src" / "klankbord_runtime"

DOMAIN = {
    *("ingest", "post", "posts", "interaction", "interactions", "webhook"),
    *("member", "members", "author", "authors", "pseudonym", "community", "communities"),
    *("moderation", "moderator", "flagged", "spam"),
    *("routing", "feedback", "department", "departments", "intent"),
    *("measurement", "measured"),
}
"""Words of the four services that no bus, database or process has: not `source`, not `thread`."""


@pytest.mark.parametrize("file", sorted(RUNTIME.rglob("*.py")), ids=lambda file: file.name)
def test_the_runtime_has_no_domain_words(file: Path) -> None:
    used = {
        f"{name} (line {line})"
        for name, line in identifiers(ast.parse(file.read_text("utf-8")))
        if words(name) & DOMAIN
    }
    assert used == set(), "name it by what it is to the bus, or move it to its service"


def test_words_are_found_inside_names() -> None:
    assert words("takePost_offFeed") == {"take", "post", "off", "feed"}


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.ClassDef(name=name):
                yield name, node.lineno


def words(name: str) -> set[str]:
    """The words of a snake_case or camelCase name."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
