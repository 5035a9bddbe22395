"""The connections to PostgreSQL."""

import re

from asyncpg.connection import LoggedQuery

from klankbord_runtime.db import Database, load_queries
from klankbord_standalone.services import SERVICES

PACKAGES = ("klankbord_runtime", *(f"klankbord_{service}" for service in SERVICES))


async def test_a_connection_asks_about_no_type_that_every_server_has(database: Database) -> None:
    given = {
        found
        for package in PACKAGES
        for statement in load_queries(package).values()
        for found in re.findall(r"\$\d+::([a-z0-9 ]+\[\])", statement)
    }
    assert given > {"uuid[]", "text[]", "timestamptz[]"}
    asked: list[str] = []

    def note(query: LoggedQuery) -> None:
        asked.append(query.query)

    async with database.connection() as connection:
        with connection.query_logger(note):
            statements = [f"select $1::{kind}" for kind in sorted(given)]
            for statement in statements:
                await connection.execute(statement, [])
    assert asked == statements
