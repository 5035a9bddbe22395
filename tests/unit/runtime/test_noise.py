"""What asyncio says of every TLS connection is left out, and nothing else that it says."""

import logging
from collections.abc import Iterator

import pytest

from klankbord_runtime import noise

ASYNCIO = logging.getLogger("asyncio")


@pytest.fixture(autouse=True)
def filters() -> Iterator[None]:
    before = list(ASYNCIO.filters)
    yield
    ASYNCIO.filters[:] = before


def test_only_that_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    noise.leave_out()
    noise.leave_out()
    ASYNCIO.warning(f"returning true from {noise.OF_TLS}")
    ASYNCIO.warning("Executing %s took %.3f seconds", "something", 1.5)
    assert caplog.messages == ["Executing something took 1.500 seconds"]
