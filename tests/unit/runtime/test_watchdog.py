import time

from klankbord_runtime.watchdog import FROZEN_AFTER, GONE_AFTER, Watchdog


def test_says_nothing_while_the_loop_turns_and_the_bus_is_there() -> None:
    assert Watchdog(lambda: True).verdict(time.monotonic()) is None


def test_a_frozen_loop_ends_the_process() -> None:
    watchdog = Watchdog(lambda: True)
    assert "event loop" in (watchdog.verdict(time.monotonic() + FROZEN_AFTER + 1) or "")


async def test_a_bus_that_is_gone_too_long_ends_the_process() -> None:
    ended: list[int] = []
    watchdog = Watchdog(lambda: False, ended.append)
    watchdog._turned = time.monotonic() + GONE_AFTER + 1  # the loop turns all the while
    assert "bus" in (watchdog.verdict(time.monotonic() + GONE_AFTER + 1) or "")
