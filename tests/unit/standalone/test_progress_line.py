"""How far an import is: the rate is this run's, and the time left goes by the bytes."""

from io import StringIO

from rich.console import Console

from klankbord_ingest.imports.client import Progress
from klankbord_standalone.progress_line import Beginning, line, shown


def progress(rows: int, read: int = 0, total: int | None = None, skipped: int = 0) -> Progress:
    return Progress(rows, rows, 0, 0, None, skipped, read, total)


def test_the_rate_and_the_time_left() -> None:
    began = Beginning(0, 0, 0)
    assert line(progress(5000, 250, 1000), began, 10) == (
        "━━━━━─────────────── 25% · 5,000 rows · 500 rows/s · 0:30 left · "
        "5,000 received, 0 known, 0 refused"
    )
    assert "left" not in line(progress(5000), began, 10)
    assert "rows/s" not in line(progress(5, 1, 1000), began, 0.1)
    assert "2:46:40 left" in line(progress(1, 1, 1001), began, 10)


def test_what_an_earlier_run_settled_makes_it_no_faster() -> None:
    began = Beginning(0, 50_000, 500)
    told = line(progress(51_000, 510, 1000, skipped=50_000), began, 10)
    assert "100 rows/s" in told
    assert "8:10 left" in told


def test_where_there_is_no_terminal_a_line_comes_now_and_then() -> None:
    now = [0.0]
    err = Console(file=StringIO(), width=200)
    with shown(err, lambda: now[0]) as tell:
        for second in range(25):
            now[0] = float(second)
            tell(progress(second * 100))
        waiting = Progress(9, 9, 0, 0, "ingest does not answer")
        tell(waiting)
        tell(waiting)
    said = err.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [text.split(" rows")[0] for text in said] == ["1,000", "2,000", "9"]
    assert said[-1].endswith("ingest does not answer")
