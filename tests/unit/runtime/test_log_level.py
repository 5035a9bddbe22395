"""What a log tells when details are asked for."""

import logging
from collections.abc import Iterator

import pytest

from klankbord_runtime.telemetry import log_to_stderr


@pytest.fixture
def root() -> Iterator[None]:
    """Every logger is as it was, afterwards."""
    logger = logging.getLogger()
    handlers, filters = logger.handlers[:], logging.getLogger("asyncio").filters[:]
    logger.handlers.clear()
    known = [logging.getLogger(name) for name in list(logger.manager.loggerDict)]
    levels = {one: one.level for one in (logger, *known)}
    yield
    logger.handlers[:] = handlers
    logging.getLogger("asyncio").filters[:] = filters
    for one, level in levels.items():
        one.setLevel(level)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("library", ["httpcore.http11", "websockets.client", "httpx"])
def test_no_library_writes_down_headers_and_addresses_which_hold_tokens(library: str) -> None:
    log_to_stderr("ingest", "debug")
    assert logging.getLogger("klankbord_ingest").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger(library).isEnabledFor(logging.DEBUG)
