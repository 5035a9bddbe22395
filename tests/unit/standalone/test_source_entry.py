"""A source is added to klankbord.yaml as a person would: all else stays as it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.sources import parse_sources
from klankbord_standalone.source_entry import UnwritableError, entry_line, with_entry

HEAD = "communities:\n  - {slug: demo, name: Demo, time_zone: UTC, languages: [en]}\n"
LINE = entry_line("webhook", "shop", "demo", {})


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        HEAD + "sources:\n",
        HEAD + "sources: []  # none yet\n",
        HEAD + "sources:\n  - {name: a, community: demo, kind: webhook}\n",
        HEAD + "sources:\n- name: a\n  community: demo\n  kind: webhook\n  # the last word\n",
        "sources:\n  # one\n  - {name: a, community: demo, kind: webhook}\n\n\n" + HEAD,
        HEAD + "sources:\n  - name: a\n    community: demo\n    kind: webhook",
    ],
)
def test_the_entry_is_the_last_source_and_nothing_else_changes(text: str) -> None:
    after = with_entry(text, LINE)
    assert list(parse_sources(after.encode()).by_name)[-1] == "shop"
    kept = [
        line.rstrip() for line in text.replace("[]  # none yet", "").splitlines() if line.strip()
    ]
    assert [line for line in after.splitlines() if line.rstrip() in kept] != []
    assert all(line in [told.rstrip() for told in after.splitlines()] for line in kept)


def test_a_list_in_one_line_is_not_torn_apart() -> None:
    with pytest.raises(UnwritableError, match="on a line of its own"):
        with_entry(HEAD + "sources: [{name: a, community: demo, kind: webhook}]\n", LINE)


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=40)
)
def test_whatever_is_typed_as_a_value_is_that_value(given: str) -> None:
    if given.startswith("["):
        return
    line = entry_line("webhook", "shop", "demo", {"platform": given or "x"})
    source = parse_sources(with_entry(HEAD, line).encode()).by_name["shop"]
    assert source.platform == (given or "x")
