"""Changes one byte of the audit log, in each column, as only a superuser can: each is found."""

from collections.abc import Mapping

import asyncpg
from figures import Row
from stage import both_servers
from trust.part import Say

from klankbord_runtime.audit import append, problems, read

CHANGES: Mapping[str, str] = {
    "number": "number = number + 1000",
    "at": "at = at + interval '1 microsecond'",
    "role": "role = overlay(role placing 'X' from 1 for 1)",
    "act": "act = overlay(act placing 'x' from 1 for 1)",
    "details": "details = replace(details, '7', '8')",
    "previous": "previous = translate(left(previous, 1), '0123456789abcdef', '123456789abcdef0')"
    " || substr(previous, 2)",
    "hash": "hash = translate(left(hash, 1), '0123456789abcdef', '123456789abcdef0')"
    " || substr(hash, 2)",
}


OWES = ("audit_flip_found",)


async def run(seed: int, say: Say) -> list[Row]:
    """One byte of each column, changed behind the back of PostgreSQL's permissions."""
    say(f"changes a byte in each of {len(CHANGES)} columns")
    async with both_servers() as servers:
        await servers.installation.provision()
        found = await audit(servers.installation.admin_url)
    note = ", ".join(CHANGES)
    return [Row("audit_flip_found", found, "", "== 1", note=note)]


async def audit(superuser_url: str) -> int:
    """Whether one changed byte is found in each column: 1 if so, else 0.

    Args:
        superuser_url: of the installation's database. Every change is taken back.
    """
    connection = await asyncpg.connect(superuser_url)
    try:
        for number in (6, 7, 8):
            head = await append(connection, "trust.tried", number=number)
        assert list(problems(await read(connection), head)) == []
        found = {column: await _is_found(connection, column) for column in CHANGES}
        assert list(problems(await read(connection), head)) == []
    finally:
        await connection.close()
    return int(all(found.values()))


async def _is_found(connection: "asyncpg.Connection[asyncpg.Record]", column: str) -> bool:
    """Change that column of the last entry but one, look, and take it back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("set local session_replication_role = replica")  # no triggers
        before = [entry.as_json() for entry in await read(connection, last=2)]
        changed = await connection.execute(
            f"update audit.entry set {CHANGES[column]}"
            " where number = (select max(number) - 1 from audit.entry)"
        )
        assert changed == "UPDATE 1"
        assert [entry.as_json() for entry in await read(connection, last=2)] != before
        return bool(list(problems(await read(connection))))
    finally:
        await transaction.rollback()
