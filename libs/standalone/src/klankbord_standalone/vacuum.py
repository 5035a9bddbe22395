"""Clears the space that deleted rows leave in PostgreSQL's files."""

import asyncpg

from klankbord_schemas.topology import SERVICES
from klankbord_standalone.servers import Installation

PATIENCE = 3600.0
"""Seconds that one table may take."""


async def vacuum(installation: Installation, *, rewrite: bool) -> None:
    """Clear the space of deleted rows now: a few rows of a large table wait for that for ever.

    The statistics are made anew, since they hold the commonest values of each column. Even so
    PostgreSQL leaves bytes in the free space of its pages, unless it writes a table anew.

    Args:
        installation: whose tables, of all services.
        rewrite: whether to write the tables anew, which locks each meanwhile.

    Raises:
        asyncpg.PostgresError, OSError: why it does not work; what was cleared stays so.
    """
    how = "full, analyze" if rewrite else "analyze"
    for service in SERVICES:
        connection = await asyncpg.connect(installation.postgres_url(service.name))
        try:
            await _vacuum(connection, how)
        finally:
            await connection.close()
    connection = await asyncpg.connect(installation.admin_url)
    try:
        statistics = f"vacuum ({'full' if rewrite else 'analyze'}) pg_catalog.pg_statistic"
        await connection.execute(statistics, timeout=PATIENCE)
    finally:
        await connection.close()


async def _vacuum(connection: "asyncpg.Connection[asyncpg.Record]", how: str) -> None:
    """Clear the space of deleted rows of every table in the connection's schema.

    Args:
        connection: as the role that owns them.
        how: PostgreSQL's options of VACUUM.
    """
    rows = await connection.fetch(
        "select quote_ident(relname) as name from pg_class"
        " where relnamespace = current_schema::regnamespace and relkind = 'r' order by relname"
    )
    for row in rows:
        try:
            await connection.execute(f"vacuum ({how}) {row['name']}", timeout=PATIENCE)
        except asyncpg.UndefinedTableError:
            continue  # a partition of the outbox whose time had come
