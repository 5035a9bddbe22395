"""What is logged of every connection and says nothing."""

import logging

OF_TLS = "eof_received() has no effect when using ssl"
"""asyncio warns so whenever a server ends a connection that nats-py turned into one of TLS: the
protocol that asyncio began with was not told of it (`StreamReaderProtocol`). Nothing is wrong."""


def leave_out() -> None:
    """Log it no more."""
    logging.getLogger("asyncio").addFilter(_says_something)


def _says_something(record: logging.LogRecord) -> bool:
    return OF_TLS not in str(record.msg)
