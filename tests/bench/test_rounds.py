"""What becomes of rounds: which count, what their row says, and what is made of the rows."""

import json
import os
from pathlib import Path
from typing import Any

import pages
import pytest
from bench import capacity, kinds, machine
from bench.goals import GOALS
from bench.machine import Process, Reading, Spent, between
from bench.pace import pace
from bench.rounds import Round, Spare, play, rows
from figures import Row

ROW = "consumer_vs_raw"


def a_round(value: float, disturbance: str = "") -> Round:
    return Round({ROW: value}, {ROW: f"of {value}"}, disturbance)


def test_a_row_is_the_median_of_the_quiet_rounds() -> None:
    played = [a_round(0.5), a_round(0.1, "steal 9%"), a_round(0.3), a_round(0.4)]
    (row,) = rows(played, [ROW, "growth_rules"])
    assert (row.value, row.holds) == (0.4, True)
    assert row.note == "of 0.4; rounds 0.5 0.3 0.4; 1 noisy left out: steal 9%"


def test_a_row_without_a_quiet_round_says_so() -> None:
    (row,) = rows([a_round(0.5, "steal 9%"), a_round(0.3, "steal 4%")], [ROW])
    assert row.value == 0.4
    assert "noisy: steal 4%" in row.note


def test_each_part_of_a_row_is_the_median_of_the_rounds() -> None:
    found = [{"a": 0.5, "b": 0.1}, {"a": 0.2, "b": 0.3}, {"a": 0.1, "b": 0.4}]
    (row,) = rows([Round({ROW: max(one.values())}, parts={ROW: one}) for one in found], [ROW])
    assert row.as_json()["parts"] == {"a": 0.2, "b": 0.3}
    assert Row.from_json(row.as_json()) == row


@pytest.mark.parametrize(
    ("disturbed", "spare", "played"),
    [
        ([False], 9, 1),
        ([True, False], 9, 2),
        ([True, True, True], 9, 3),
        ([True, True], 1.5, 2),
    ],
)
async def test_a_disturbed_round_is_played_again_at_most_twice(
    disturbed: list[bool], spare: float, played: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(disturbed)
    times = 0

    def spent(_before: Reading, _after: Reading) -> Spent:
        return Spent(1, 1, {}, steal=0.5 if next(answers) else 0, foreign=0)

    async def measure() -> Round:
        nonlocal times
        times += 1
        return a_round(1)

    monkeypatch.setattr(machine, "between", spent)
    (found,) = await play(measure, 1, lambda _: None, Spare(spare))
    assert times == played
    assert bool(found.disturbance) is disturbed[-1]


def test_time_is_told_apart_by_who_spent_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours, with what a child had used before it ended; the kernel's own; and somebody else's."""
    me, child, kernel, writer, other = os.getpid(), 101, machine.KERNEL, 103, 104
    before = {
        me: Process(1, 10),
        child: Process(me, 5),
        kernel: Process(0, 0),
        writer: Process(kernel, 0),
        other: Process(1, 50),
    }
    after = {
        me: Process(1, 30),  # 9 of it the child's, which ended
        kernel: Process(0, 0),
        writer: Process(kernel, 70),
        other: Process(1, 60),
    }
    monkeypatch.setattr(machine, "TICK", 100)
    spent = between(Reading(0, 0, 0, before), Reading(1, 200, 4, after))
    assert spent.cpu == pytest.approx(0.15)
    assert (spent.foreign, spent.steal) == (0.05, 0.02)
    assert spent.disturbance == "load of others 5%"


MEASURED: dict[str, Any] = {
    "machine": {
        "cpu": "a processor",
        "cores": 2,
        "memory_gib": 8,
        "kernel": "6",
        "python": "3",
        "load_1m": 0.1,
    },
    "seed": 1,
    "took_s": 600,
    "rows": [
        {"name": name, "value": value, "unit": "", "goal": "", "holds": None}
        for name, value in {
            "pipeline_posts_per_s": 4_000.0,
            "pipeline_cpu_us": 500.0,
            "bytes_nats_per_post": 2_000.0,
            "bytes_stream_posts_per_post": 1_000.0,
            "bytes_inbox_per_post": 500.0,
            "bytes_outbox_per_post": 2_500.0,
            "bytes_effects_per_post": 1_500.0,
        }.items()
    ],
}


def test_the_number_of_nodes_follows_from_what_was_measured() -> None:
    told = capacity.capacity(MEASURED)
    assert "2,400 posts/s" in told  # 60 % of 4,000
    assert "carries 51.8 million posts a day" in told
    # a billion a day is 11,574/s, 46,296/s when it is busy
    assert "| 1,000 M | 11,574 | 46,296 | 38.6 | 20 |" in told
    assert "21.5 million posts: over 30 days, 715,828 a day" in told  # 20 GiB of 1,000 bytes


def test_the_page_is_filled_in_and_filled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "capacity.md"
    page.write_text(capacity.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    reading = Row(kinds.NAME, 250, *GOALS[kinds.NAME], parts={"x, sent": 80, "mail, streamed": 250})
    told = MEASURED | {"rows": [*MEASURED["rows"], reading.as_json()]}
    (tmp_path / "bench.json").write_text(json.dumps(told), encoding="utf-8")
    monkeypatch.setattr(capacity, "PAGE", page)
    monkeypatch.setattr(pages, "BUILD", tmp_path)
    capacity.write_page()
    once = page.read_text(encoding="utf-8")
    capacity.write_page()
    assert page.read_text(encoding="utf-8") == once
    assert "| pipeline_posts_per_s " in once
    assert "| 1,000 M |" in once
    assert "| mail | streamed | 4,000 | 250 |\n| x | sent | 12,500 | 80 |" in once


def test_a_page_without_figures_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "BUILD", tmp_path)
    with pytest.raises(SystemExit, match="make bench"):
        capacity.write_page()
    with pytest.raises(SystemExit, match="lacks pipeline_posts_per_s"):
        capacity.capacity(MEASURED | {"rows": []})


async def test_what_is_over_at_once_has_a_pace_too() -> None:
    looks = iter([0, 500, 500])

    async def done() -> int:
        return next(looks)

    assert 0 < await pace(done, 0.01, until=500) < 500 / 0.01


async def test_what_stands_still_is_an_error_and_no_figure() -> None:
    async def done() -> int:
        return 7

    with pytest.raises(RuntimeError, match="nothing moved"):
        await pace(done, 0.01, until=500)
