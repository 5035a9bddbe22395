"""The links, in rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from klankbord_ingest.links.link import Link
from klankbord_runtime.db import Connection, load_queries

queries = load_queries("klankbord_ingest")


class LinkStore:
    """The table of links."""

    async def add(self, connection: Connection, link: Link, most: int) -> Link | None:
        """Keep a link, with the database's own clock; None where its code is taken, or there are
        `most` already.
        """
        row = await connection.fetchrow(
            queries.insert_link,
            link.code,
            link.community,
            link.source,
            link.url,
            link.target,
            link.post,
            most,
        )
        return None if row is None else _link(row)

    async def get(self, connection: Connection, code: str) -> Link | None:
        """The link with that code."""
        row = await connection.fetchrow(queries.fetch_link, code)
        return None if row is None else _link(row)

    async def disable(self, connection: Connection, code: str) -> Link | None:
        """Let a link lead nowhere; None where there is none of that code."""
        row = await connection.fetchrow(queries.disable_link, code)
        return None if row is None else _link(row)

    async def changed(self, connection: Connection, since: datetime | None) -> list[Link]:
        """The links that were made or disabled since about then; all of them for None."""
        return [_link(row) for row in await connection.fetch(queries.changed_links, since)]

    async def listed(self, connection: Connection, community: str | None, most: int) -> list[Link]:
        """The newest links, of one community or of all."""
        return [_link(row) for row in await connection.fetch(queries.list_links, community, most)]


def _link(row: Mapping[str, Any]) -> Link:
    return Link(**row)
