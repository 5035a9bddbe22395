import pytest

from klankbord_runtime.settings import TelemetrySettings
from klankbord_runtime.telemetry import Tracing, context_of

INCOMING = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_trace_that_comes_in_is_continued() -> None:
    assert Tracing("test", TelemetrySettings()).begin(INCOMING) == INCOMING


@pytest.mark.parametrize(
    "broken", ["", "00-0-0-0", "x" * 55, "00-" + "0" * 32 + "-" + "0" * 16 + "-00"]
)
def test_a_broken_one_is_replaced(broken: str) -> None:
    begun = Tracing("test", TelemetrySettings()).begin(broken)
    assert begun != broken
    assert context_of(begun) is not None


@pytest.mark.parametrize(("ratio", "flag"), [(0.0, "00"), (1.0, "01")])
def test_the_ratio_decides_which_traces_are_recorded(ratio: float, flag: str) -> None:
    tracing = Tracing("test", TelemetrySettings(trace_ratio=ratio))
    assert {tracing.begin()[-2:] for _ in range(50)} == {flag}
