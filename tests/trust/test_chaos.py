"""A short seeded part of `make trust`: kills, restarts, malformed events and a poison.

A poison takes a minute until it is given up: meanwhile the negative controls run.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from trust.chaos import SHORT, Outcome, play
from trust.controls import control

from klankbord_standalone.servers import Installation

SEED = 20261122


@pytest_asyncio.fixture(scope="module")
async def chaos() -> AsyncIterator["asyncio.Task[Outcome]"]:
    task = asyncio.create_task(play(SHORT, SEED, print))
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.usefixtures("chaos")
@pytest.mark.parametrize(("kind", "symptom"), [("repetitive", "doubled"), ("late", "lost")])
async def test_the_auditor_finds_out_a_naive_handler(
    kind: str, symptom: str, installation: Installation
) -> None:
    found = await control(kind, installation, seed=7)
    assert getattr(found, symptom) > 0


async def test_nothing_is_lost_and_nothing_counts_twice_under_faults(
    chaos: "asyncio.Task[Outcome]",
) -> None:
    outcome = await chaos
    assert outcome.audit.findings == []
    assert outcome.audit.dead_letters > outcome.malformed
    assert outcome.forced_kills == 0
    assert outcome.faults == SHORT.faults
    assert (outcome.posts, outcome.poisons) == (1_500, 1)
    assert outcome.sent_again >= 70
    assert outcome.skewed == SHORT.size.skewed
