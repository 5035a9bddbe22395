"""Files that decide how a service works: accepted once, stored, the same for every replica.

A file on disk is only an offer. What is in force is what the database holds: the file that was
accepted last, by any replica or by the service's `apply` command. So replicas agree, whatever
their disks say, and whoever was judged by a file can still be shown it: its digest names it.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from klankbord_runtime import audit
from klankbord_runtime.db import Connection, load_queries
from klankbord_runtime.refused import Problem, Refused

__all__ = ["AcceptedFile", "Problem", "Refused"]

log = logging.getLogger(__name__)
queries = load_queries("klankbord_runtime")

T = TypeVar("T")


class AcceptedFile(Generic[T]):
    """One such file: what it says (`value`) and which one it is (`digest`).

    `name` is what the database calls it; `parse` turns its bytes into a value or raises `Refused`;
    `path` is where a file may lie that offers itself when the service starts; `otherwise` is in
    force as long as none ever was accepted, where a service can do without.
    """

    def __init__(
        self,
        name: str,
        parse: Callable[[bytes], T],
        path: Path | None = None,
        otherwise: bytes | None = None,
    ) -> None:
        self.name = name
        """What the database calls it."""
        self._parse = parse
        self._path = path
        self._in_force: tuple[str, T] | None = None
        if otherwise is not None:
            self._in_force = (_digest(otherwise), parse(otherwise))
        self._newest: str | None = None
        self._problem = f"no {name} was accepted yet: {self._remedy}"

    @property
    def accepted(self) -> bool:
        """Whether one is in force."""
        return self._in_force is not None

    @property
    def problem(self) -> str | None:
        """Why none is in force; None when one is."""
        return None if self.accepted else self._problem

    @property
    def value(self) -> T:
        """What the file in force says.

        Raises:
            RuntimeError: none is in force; see `problem`.
        """
        return self._required()[1]

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes of the file in force, in hexadecimal.

        Raises:
            RuntimeError: none is in force; see `problem`.
        """
        return self._required()[0]

    async def load(self, connection: Connection) -> None:
        """Offer the file on disk, then take the newest that was accepted.

        The offer is accepted if the file is valid and another one than the last that lay there:
        so an edit comes into force, also one that takes an edit back, and a mere restart undoes
        nothing that was applied since. A file that is refused is logged, and the last good one
        stays in force; without one, `problem` says why.
        """
        offered = await self._offer(connection)
        await self.refresh(connection)
        if self.accepted and offered not in {None, self.digest}:
            log.warning(
                "%s is as it was, and another %s was applied since (%s): "
                "apply it to put it in force again",
                self._path,
                self.name,
                self.digest,
            )

    async def refresh(self, connection: Connection) -> bool:
        """Take the newest that any process has accepted; True if another one is in force now.

        One that this build cannot read, because a newer build accepted it, is logged once, and the
        last good one stays in force. A build that never had a good one is not ready: going back to
        an older file by itself would undo what someone decided.
        """
        row = await connection.fetchrow(queries.fetch_accepted_file, self.name, self._newest)
        if row is None:
            return False
        digest: str = row["digest"]
        before, self._newest = self._in_force, digest
        try:
            self._in_force = (digest, await asyncio.to_thread(self._parse, row["body"]))
        except Refused as refused:
            self._problem = (
                f"this build cannot read the accepted {self.name} {digest}; "
                f"apply one that it can read, or run the build that accepted it:\n{refused}"
            )
            log.error("%s", self._problem)  # noqa: TRY400 - the traceback tells a reader nothing
            return False
        return before is None or before[0] != digest

    async def apply(self, connection: Connection, body: bytes) -> str:
        """Accept these bytes as the newest, again if they were accepted before.

        They come into force in each process, this one too, with the first `refresh` after the
        transaction committed.

        Returns:
            The digest of the bytes.

        Raises:
            Refused: they are not valid; nothing was stored.
        """
        await asyncio.to_thread(self._parse, body)
        digest = _digest(body)
        await connection.execute(queries.accept_file, self.name, digest, body)
        await audit.append(connection, "file.applied", file=self.name, digest=digest)
        return digest

    async def _offer(self, connection: Connection) -> str | None:
        """Accept the file on disk if it was changed and is valid; its digest if it is valid."""
        try:
            body = self._path.read_bytes() if self._path else None
            if body is None:
                return None
            await asyncio.to_thread(self._parse, body)
        except FileNotFoundError:
            return None
        except (OSError, Refused) as reason:
            self._problem = f"{self._path} is refused:\n{reason}"
            log.error("%s", self._problem)  # noqa: TRY400 - the traceback tells a reader nothing
            return None
        digest = _digest(body)
        async with connection.transaction():
            if await connection.fetchval(queries.offer_file, self.name, digest, body):
                await audit.append(connection, "file.accepted", file=self.name, digest=digest)
        return digest

    def _required(self) -> tuple[str, T]:
        if self._in_force is None:
            raise RuntimeError(self._problem)
        return self._in_force

    @property
    def _remedy(self) -> str:
        return f"write {self._path}, or apply one" if self._path else "apply one"


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
