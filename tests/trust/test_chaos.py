"""A short seeded part of `make trust`: kills, restarts, malformed events and a poison."""

from trust.chaos import SHORT, play

SEED = 20261122


async def test_nothing_is_lost_and_nothing_counts_twice_under_faults() -> None:
    outcome = await play(SHORT, SEED, print)
    assert outcome.audit.findings == []
    assert outcome.audit.dead_letters > outcome.malformed
    assert outcome.forced_kills == 0
    assert outcome.faults == SHORT.faults
    assert (outcome.posts, outcome.poisons) == (1_500, 1)
    assert outcome.sent_again >= 70
    assert outcome.skewed == SHORT.size.skewed
