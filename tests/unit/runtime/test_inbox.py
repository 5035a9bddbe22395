"""How long a service knows what it handled."""

from datetime import timedelta

import pytest

from klankbord_runtime.inbox import window

DAY = timedelta(days=1)


def test_an_event_is_known_as_long_as_it_can_come_again() -> None:
    assert window([30 * DAY], outbox=DAY, dead=30 * DAY) == 61 * DAY


def test_the_stream_that_keeps_longest_decides() -> None:
    assert window([7 * DAY, 90 * DAY], outbox=2 * DAY, dead=30 * DAY) == 122 * DAY


@pytest.mark.parametrize(("streams", "dead"), [([None, DAY], DAY), ([DAY], None)])
def test_what_may_come_for_ever_is_known_for_ever(
    streams: list[timedelta | None], dead: timedelta | None
) -> None:
    assert window(streams, outbox=DAY, dead=dead) is None


def test_who_reads_nothing_still_knows_what_is_replayed() -> None:
    assert window([], outbox=DAY, dead=30 * DAY) == 31 * DAY
