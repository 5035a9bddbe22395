"""Every event there is can be told in a line."""

import json
from pathlib import Path

import pytest

from klankbord_standalone.tail import line_of

EXAMPLES = Path(__file__).parents[3] / "libs" / "schemas" / "golden" / "v1"


@pytest.mark.parametrize(
    "file", sorted(EXAMPLES.glob("*/examples/*.json")), ids=lambda it: f"{it.parts[-3]}-{it.stem}"
)
def test_an_event_is_one_line_that_names_what_happened(file: Path) -> None:
    told = line_of(json.loads(file.read_text("utf-8"))).plain
    assert "\n" not in told
    assert file.parts[-3] in told


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("query.matched", "forum  prices finds Prijsverhoging, privé account https://forum."),
        ("source.silent", "forum  silent since 2026-11-02 06:15 UTC; some 42 posts should"),
        ("community.measured", "(week of 2026-1"),
    ],
)
def test_what_it_tells(event: str, told: str) -> None:
    file = EXAMPLES / event / "examples" / "full.json"
    assert told in line_of(json.loads(file.read_text("utf-8"))).plain
