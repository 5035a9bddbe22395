"""The pages that are written by hand name commands, options, files and headings that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from klankbord_standalone.commands import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for place in (".", "docs", "docs/adr", "docs/runbooks", "libs/*", "services/*", "examples")
    for path in ROOT.glob(f"{place}/*.md")
)
CODE = re.compile(r"```sh\n.*?```|`[^`\n]+`", re.DOTALL)
CALL = re.compile(r"(?<!--namespace )(?<!\$)\bklankbord ((?!\w+_)[a-z][a-z-]*(?: [a-z-]+)?)(.*)")
"""A command of `klankbord` and the rest of its line; not the namespace, nor a shell's variable."""
OPTION = re.compile(r"(?<!\S)--[a-z-]+")
BEHIND_IT = re.compile(r"[|&;#]")
LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_what_it_tells_to_type_can_be_typed(page: Path) -> None:
    code = "\n".join(CODE.findall(page.read_text("utf-8"))).replace("\\\n", " ")
    for words, rest in CALL.findall(code):
        command: Any = typer.main.get_command(app)
        for word in words.split():
            if not hasattr(command, "commands"):
                break  # an argument
            assert word in command.commands, f"there is no `klankbord {words}`"
            command = command.commands[word]
        known = {"--help", *(name for each in command.params for name in each.opts)}
        known |= {name for each in command.params for name in each.secondary_opts}
        assert set(OPTION.findall(BEHIND_IT.split(rest)[0])) <= known, f"klankbord {words}{rest}"


@each_page
def test_where_it_leads_there_is_something(page: Path) -> None:
    for path, heading in LINK.findall(page.read_text("utf-8")):
        there = page.parent / path if path else page
        assert there.exists(), path
        if heading:
            assert heading in _headings(there), f"{path}#{heading}"


def _headings(page: Path) -> set[str]:
    """As links name them."""
    told = HEADING.findall(page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in told}
