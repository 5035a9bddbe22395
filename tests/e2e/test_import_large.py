"""A mailbox of 100,000 mails comes in whole: flat in memory, its rate told, killed or not."""

import asyncio
import json
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from letters import write_mbox
from stage import Stage, stage

MAILS = 100_000
MEGABYTE = 1024**2
MOST = 400 * MEGABYTE
"""What the command may take, Python and its libraries included."""
GROWTH = 40 * MEGABYTE
"""What it may take more at the end than when a tenth was read."""
PATIENCE = 1500.0


@asynccontextmanager
async def importing(scene: Stage, mbox: Path) -> AsyncIterator[Process]:
    """The command, as a process of its own."""
    words = ["import", str(mbox), "--community", "acme", "--source", "list", "--json"]
    place = ["--data", str(scene.home.data), "--config", str(scene.home.config)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "klankbord_standalone", *words, *place),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def resident(process: Process) -> int:
    """How much memory it has now, in bytes; 0 when it is gone."""
    try:
        text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def settled(scene: Stage) -> int:
    """How many rows the checkpoint says are settled."""
    for file in (scene.home.data / "imports").glob("*.checkpoint"):
        return int(json.loads(file.read_text())["rows"])
    return 0


async def watched(scene: Stage, process: Process) -> list[tuple[int, int]]:
    """Rows and memory, now and then, until it ends."""
    seen: list[tuple[int, int]] = []
    while process.returncode is None:
        memory, rows = resident(process), settled(scene)
        if memory and rows:
            seen.append((rows, memory))
        await asyncio.sleep(0.2)
    return seen


@pytest.mark.trial
async def test_a_large_mailbox_comes_in_whole_although_the_import_was_killed(
    tmp_path: Path,
) -> None:
    mbox = tmp_path / "list.mbox"
    written = write_mbox(mbox, MAILS)
    async with stage() as scene, asyncio.timeout(PATIENCE):
        async with importing(scene, mbox) as killed:
            while settled(scene) < MAILS * 0.4:
                assert killed.returncode is None, (await killed.communicate())[1].decode()
                await asyncio.sleep(0.05)
            killed.kill()
        before = settled(scene)
        assert MAILS * 0.4 <= before < MAILS * 0.9

        async with importing(scene, mbox) as process:
            watching = asyncio.create_task(watched(scene, process))
            out, err = await process.communicate()
            seen = await watching
        told = err.decode()
        assert process.returncode == 3, told  # some rows are refused
        result = json.loads(out)
        assert result["reasons"] == {"automatic_mail": MAILS - written}
        assert result["received"] + result["duplicate"] == written
        assert result["duplicate"] <= 5 * 500, "more than was on its way when it was killed"
        refused = Path(result["refused_file"]).read_text(encoding="utf-8").splitlines()
        assert len(refused) == MAILS - written

        rates = [int(rate.replace(",", "")) for rate in re.findall(r"([\d,]+) rows/s", told)]
        assert rates, told
        assert re.search(r"\d+% · [\d,]+ rows · [\d,]+ rows/s · \d+:\d\d left", told), told
        assert min(rows for rows, _ in seen) >= before, "what was settled is not sent again"
        early = [memory for rows, memory in seen if rows < before + MAILS * 0.1]
        late = [memory for rows, memory in seen if rows > MAILS * 0.9]
        assert max(late) < MOST
        assert max(late) - max(early) < GROWTH

        (count,) = await scene.fetch("ingest", "select count(*) as posts from post")
        assert count["posts"] == written
        print(
            f"{MAILS:,} mails, {mbox.stat().st_size / MEGABYTE:.0f} MB: killed at {before:,}; "
            f"{rates[-1]:,} rows/s; memory {max(early) / MEGABYTE:.0f} MB at first, "
            f"{max(late) / MEGABYTE:.0f} MB at the end"
        )
