"""What `klankbord source list` and `test` show."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from klankbord_standalone import sources
from klankbord_standalone.explained import UsageError
from klankbord_standalone.home import Home

PATH = "/srv/communities/of-the-north/klankbord-data/secrets/forum"


def shown(**said: Any) -> str:
    out = Console(file=StringIO(), width=80, highlight=False)
    source = {"name": "forum", "kind": "webhook", "community": "demo", "sends": True, "ways": []}
    source |= {"heard": None, "paused": False, "disabled": None, **said}
    sources.show({"sources": [source]}, out)
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


def way(**said: Any) -> dict[str, Any]:
    known = {"way": "pull", "reason": None, "healthy": True, "failures": 0, "nextTry": None}
    return {**known, "rateLeft": None, "heard": 0, **said}


def test_the_path_to_write_a_secret_to_is_whole() -> None:
    told = shown(ways=[way(healthy=False, failures=1, reason=f"write its secret into {PATH}")])
    assert PATH in told
    assert "failed once" in told


def test_what_a_platform_says_is_shown_as_it_says_it() -> None:
    told = shown(ways=[way(healthy=False, failures=2, reason="it says [bold]no[/red] [/]")])
    assert "failed 2 times: it says [bold]no[/red] [/]" in told
    assert "gone [/for] good" in shown(disabled="gone [/for] good")


def test_a_source_that_is_well_is_said_to_be() -> None:
    assert shown(ways=[way(rateLeft=7)]).split("\n")[2].strip() == "7 requests left"
    assert shown(ways=[way()]).split("\n")[2].strip() == "well"


def test_a_finding_is_shown_as_the_platform_says_it() -> None:
    out = Console(file=StringIO(), width=80, highlight=False)
    finding = {"ok": False, "what": "it says [/red]", "advice": "read [/that]"}
    assert not sources.show_findings("forum", {"findings": [finding]}, out)
    assert isinstance(out.file, StringIO)
    assert "it says [/red]\n  → read [/that]" in out.file.getvalue()


def test_a_secret_among_the_options_is_told_where_to_go_and_is_not_shown(tmp_path: Path) -> None:
    options = {"host": "imap.example.org", "user": "jo", "password": "nobody may see"}
    with pytest.raises(UsageError, match="--secret password=FILE") as told:
        sources.add(Home.at(tmp_path, None), "mail", "support", "demo", options)
    assert "nobody may see" not in str(told.value)
