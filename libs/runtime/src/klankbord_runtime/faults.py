"""Which errors are the world's and which are the event's.

A transient fault (database, broker, time-out) is retried for ever and never dead-letters an event;
anything else is a bug in the code or poison in the event (docs/adr/0003; each class was seen under
real restarts, kills and stalls).
"""

import asyncpg
from nats.errors import Error as NatsError


class NotYetError(Exception):
    """Something else must happen first, and will: try again."""


TRANSIENT = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
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
    NatsError,
    OSError,
    TimeoutError,
    NotYetError,
)
"""Raised by PostgreSQL, NATS or the network, or because it is too early: no event is to blame."""
