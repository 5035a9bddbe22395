"""A service that tells nothing of itself but its log: `python -m bench.yardsticks.untold NAME run`.

Every instrument and every span is taken out before the service is built, so that what is left is
what the service does without them.
"""

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.trace import INVALID_SPAN
from prometheus_client import Counter, Gauge, Histogram

from klankbord_runtime.tracing import Traced, Tracing


def nothing(*_: Any, **__: Any) -> None:
    """Count nothing."""


@contextmanager
def untraced(*_: Any) -> Iterator[Traced]:
    """Trace nothing."""
    yield Traced(INVALID_SPAN)


def take_out() -> None:
    """Take out what the runtime and the services count and trace with."""
    for instrument in (Counter, Gauge, Histogram):
        instrument.labels = lambda self, *_, **__: self  # type: ignore[method-assign]
    Counter.inc = nothing  # type: ignore[method-assign]
    Gauge.set = Gauge.set_to_current_time = nothing  # type: ignore[method-assign]
    Histogram.observe = nothing  # type: ignore[method-assign]
    Tracing.processing = Tracing.publishing = untraced  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    name, *verb = sys.argv[1:]
    take_out()
    sys.argv = [f"klankbord-{name}", *verb]
    runpy.run_module(f"klankbord_{name}", run_name="__main__")
