"""The audit log: what administrators did, in one chain that shows when it was tampered with.

Each entry's hash covers its own words and the hash of the entry before it, so the last hash, the
head, vouches for all of them. The database computes it (`sql/provision/audit.sql`); here it is
computed again, to check. docs/adr/0010 says what the chain can show and what it cannot.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from klankbord_runtime.db import Connection, load_queries

queries = load_queries("klankbord_runtime")

BEGINNING = "0" * 64
"""What the first entry has for the hash before it."""
KEYED_NAME = re.compile("p-[0-9a-f]{32}")
"""What stands for a person on the bus."""


class NoAuditError(RuntimeError):
    """The database has no audit log yet."""


@dataclass(frozen=True)
class Entry:
    """One act."""

    number: int
    """Counted from 1, without gaps."""
    at: datetime
    role: str
    """The database role that acted: a service's, or the one that provisions."""
    act: str
    """What was done: `file.applied`, …"""
    details: str
    """To what, as a JSON object."""
    previous: str
    """The hash of the entry before."""
    hash: str

    def as_json(self) -> dict[str, Any]:
        """What a script wants of it."""
        return {**vars(self), "at": _moment(self.at), "details": json.loads(self.details)}


async def append(connection: Connection, act: str, **details: object) -> str:
    """Write down an act, in the transaction that the connection is in; gives the new head.

    What stands for a person is written down as its SHA-256.

    Raises:
        NoAuditError: this database was provisioned by a build that had no audit log.
    """
    text = KEYED_NAME.sub(
        lambda found: f"sha256:{hashlib.sha256(found[0].encode()).hexdigest()}",
        json.dumps(details, sort_keys=True),
    )
    try:
        head: str = await connection.fetchval(queries.append_to_audit, act, text)
    except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedFunctionError):
        raise NoAuditError(
            "the database has no audit log yet: run `klankbord provision` first"
        ) from None
    return head


async def read(connection: Connection, last: int | None = None) -> list[Entry]:
    """The last entries, or all, the oldest first.

    Raises:
        asyncpg.PostgresError: the connection's role may not, or there is no audit log.
    """
    rows = await connection.fetch(queries.fetch_audit, last)
    return [Entry(**row) for row in reversed(rows)]


def hash_of(entry: Entry) -> str:
    """What an entry's hash must be."""
    words = (entry.previous, entry.number, _moment(entry.at), entry.role, entry.act, entry.details)
    return hashlib.sha256("\n".join(map(str, words)).encode()).hexdigest()


def problems(
    entries: Iterable[Entry], head: str | None = None, after: Entry | None = None
) -> Iterator[str]:
    """Where the chain is broken, in words; nothing where it is whole.

    Args:
        entries: all of them, or all that follow `after`, in the order of their numbers.
        head: a hash that was told once: the entry that has it, and all before it, must be there.
            Without one nobody can see whether the last entries are missing.
        after: the entry before the first one; none where that is the very first.
    """
    expected, previous = (1, BEGINNING) if after is None else (after.number + 1, after.hash)
    is_head_there = head is None or head == BEGINNING
    for entry in entries:
        if entry.number != expected:
            yield _missing(expected, entry.number - 1)
        elif entry.previous != previous:
            yield f"entry {entry.number} does not follow the one before it"
        if hash_of(entry) != entry.hash:
            yield f"entry {entry.number} was changed after it was written"
        is_head_there = is_head_there or entry.hash == head
        expected, previous = entry.number + 1, entry.hash
    if not is_head_there:
        yield (
            f"no entry has the hash {head}: the entries end with {expected - 1}, and those after "
            "it were removed, or the chain was written anew"
        )


def _missing(first: int, last: int) -> str:
    if first >= last:
        return f"entry {first} is missing"
    return f"entries {first} to {last} are missing"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
