from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_runtime.accepted import Refused
from klankbord_runtime.yamlfile import Duration, Strict, duration, read_yaml


class Every(Strict):
    every: Duration


@pytest.mark.parametrize(
    ("written", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("6h", timedelta(hours=6)),
        ("2d", timedelta(days=2)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_a_length_of_time_is_a_number_and_a_unit(written: str, length: timedelta) -> None:
    assert read_yaml(f"every: {written}".encode(), Every).every == length


@pytest.mark.parametrize(
    "written", ["", "15", "m", "0m", "-1h", "1.5h", "1 h", "1H", "1h30m", "5001w", "[1h]", "PT1H"]
)
def test_what_is_no_length_of_time_is_refused_in_one_way(written: str) -> None:
    with pytest.raises(Refused) as refused:
        read_yaml(f"every: {written}".encode(), Every)
    assert "line 1: every: " in str(refused.value)
    assert "is no length of time from 1s to 5000w; write one such as 90s" in str(refused.value)


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@given(st.integers(1, 999_999), st.sampled_from(list(SECONDS)))
def test_what_is_accepted_can_be_added_to_a_moment(number: int, unit: str) -> None:
    length = number * SECONDS[unit]
    if length > 5000 * SECONDS["w"]:
        with pytest.raises(ValueError, match="from 1s to 5000w"):
            duration(f"{number}{unit}")
    else:
        moment = datetime(2100, 1, 1, tzinfo=UTC)
        assert moment + duration(f"{number}{unit}") == moment + timedelta(seconds=length)
