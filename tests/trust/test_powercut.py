"""Where no power can be cut that is said; what the control takes away is the line that matters."""

import os
from pathlib import Path

import pytest
from trust import powercut

from klankbord_standalone import nats_server


async def test_without_root_every_row_is_skipped_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    rows = await powercut.run(1, print)
    assert [row.name for row in rows] == list(powercut.OWES)
    assert {row.skipped for row in rows} == {"needs root, to mount a file system"}


def test_the_control_takes_nothing_but_the_sync_interval_away() -> None:
    def lines() -> list[str]:
        config = nats_server.server_config(1, 2, Path("store"))
        return [line for line in config.splitlines() if line.strip()]

    shipped = lines()
    with powercut.default_sync():
        unsafe = lines()
    assert [line.strip() for line in shipped if line not in unsafe] == ["sync_interval: always"]
