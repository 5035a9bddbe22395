"""What the last run found gets into its page of the documentation, and nowhere else."""

from pathlib import Path

import pages
import pytest

ROW = {"name": "lost", "value": 0, "unit": "effects", "goal": "== 0", "holds": True}


def test_a_table_is_made_again_of_what_was_written() -> None:
    skipped = {"name": "cut", "value": None, "unit": "", "goal": "", "skipped": "needs root"}
    table = pages.table({"seed": 7, "rows": [ROW, {**skipped, "holds": None}]})
    assert "| lost   | 0     | effects | == 0 | yes     |" in table
    assert "needs root" in table


def test_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n<!-- here -->\nformer\n{pages.END}\nafter\n")
    pages.fill(page, "here", "latter")
    pages.fill(page, "here", "latter")
    assert page.read_text() == f"before\n<!-- here -->\n\nlatter\n\n{pages.END}\nafter\n"


def test_a_page_without_markers_and_a_run_that_never_was_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- there -->")
    for name in ("here", "there"):
        with pytest.raises(SystemExit, match="put them where the text belongs"):
            pages.fill(page, name, "text")
    monkeypatch.setattr(pages, "BUILD", tmp_path)
    with pytest.raises(SystemExit, match="run `make trust` first"):
        pages.last_run("trust")
