"""What `klankbord import` makes of its words, and what it says of a mapping before it begins."""

from pathlib import Path
from typing import Any

import pytest
from typing_in import klankbord

from klankbord_ingest.imports.client import ImportResult
from klankbord_standalone import importing
from klankbord_standalone.home import Home
from klankbord_standalone.importing import Job

CONFIG = """
communities:
  - {slug: acme, name: Acme, time_zone: Europe/Amsterdam, languages: [en]}
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "data", tmp_path / "config")
    home.config.mkdir()
    (home.config / "klankbord.yaml").write_text(CONFIG)
    return home


async def test_a_post_belongs_to_the_sources_own_platform_unless_it_is_said(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []

    async def run(_: Any, job: Job, __: Any) -> ImportResult:
        jobs.append(job)
        return ImportResult(0, 0, 0, {}, None)

    monkeypatch.setattr(importing, "run", run)
    words = ("import", "x.mbox", "--community", "acme", "--source", "list")
    assert (await klankbord(home, *words, "--json"))[0] == 0
    assert (await klankbord(home, *words, "--platform", "lists.example.org", "--json"))[0] == 0
    assert [job.platform for job in jobs] == [None, "lists.example.org"]


async def test_a_table_is_checked_with_its_mapping(home: Home, tmp_path: Path) -> None:
    table, mapping = tmp_path / "posts.csv", tmp_path / "mapping.yaml"
    table.write_text("nr;when;words\n1;01-03-2026 10:00;Hello\n2;soon;Hello\n")
    mapping.write_text(
        "times: '%d-%m-%Y %H:%M'\n"
        "fields:\n  nativeId: '{nr}'\n  published: '{when}'\n  content: '{words}'\n"
    )
    words = ("import", str(table), "--community", "acme", "--mapping", str(mapping), "--dry-run")
    code, out, _ = await klankbord(home, *words)
    assert code == 3
    assert "no_moment" in out

    mapping.write_text("fields:\n  nativeId: '{number}'\n  published: '{when}'\n")
    code, _, err = await klankbord(home, *words)
    assert (code, "names the column number" in err) == (2, True)
    mapping.write_text("fields:\n  nativeId: '{nr}'\n  publishd: '{when}'\n")
    code, _, err = await klankbord(home, *words)
    assert code == 3
    assert "line 3: fields.publishd: there is no field 'publishd'; did you mean pub" in err
    mapping.unlink()
    code, _, err = await klankbord(home, *words)
    assert (code, "there is no mapping file" in err) == (2, True)
