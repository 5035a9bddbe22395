"""Which errors are the world's and which are the event's.

A transient fault (database, broker, time-out) is retried for ever and never dead-letters an event;
anything else is a bug in the code or poison in the event (docs/adr/0003; each class was seen under
real restarts, kills and stalls).
"""

import asyncpg
from nats.errors import Error as NatsError


class NotYetError(Exception):
    """Something else must happen first, and will: try again."""


OF_DATABASE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidPasswordError,  # it is changed just now: the next connection asks for it anew
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
)
"""Transient faults that only the database has; it may also be out of reach (`OSError`), or slow
(`TimeoutError`)."""

TRANSIENT = (
    *OF_DATABASE,
    NatsError,
    OSError,
    TimeoutError,
    NotYetError,
)
"""Raised by PostgreSQL, NATS or the network, or because it is too early: no event is to blame."""


def is_of_database(error: BaseException) -> bool:
    """Whether an error of who uses the database is a transient fault of it, and not of the bus."""
    return isinstance(error, (*OF_DATABASE, OSError, TimeoutError)) and not isinstance(
        error, NatsError
    )
