"""What takes long is done less often, also when it fails."""

import contextlib

from klankbord_metrics.unhurried import Unhurried


def test_it_rests_so_many_times_as_long_as_it_took() -> None:
    now = 100.0
    measuring = Unhurried(5, lambda: now)
    assert measuring.has_rested
    with measuring:
        now += 2
    assert not measuring.has_rested
    now += 9.9
    assert not measuring.has_rested
    now += 0.1
    assert measuring.has_rested


def test_what_failed_has_taken_its_time_too() -> None:
    now = 100.0
    measuring = Unhurried(5, lambda: now)
    with contextlib.suppress(TimeoutError), measuring:
        now += 2
        raise TimeoutError
    assert not measuring.has_rested
