"""What a backup holds: `manifest.json`, written last, so that a folder without it is no backup.

manifest.json            this
database.dump            every service's schema and the audit log, in pg_dump's custom format
streams/<STREAM>         each stream, as nats-server packs it
config/                  klankbord.yaml, policy.yaml, routing.yaml, queries.yaml, streams.yaml
credentials/, secrets/   only where they were asked for
"""

import asyncio
import hashlib
import hmac
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from klankbord_runtime.migrate import migrations
from klankbord_schemas.topology import SERVICES
from klankbord_standalone.explained import ExplainedError
from klankbord_standalone.private_file import write_private
from klankbord_standalone.snapshot import StreamCopy

FILE = "manifest.json"
DUMP = "database.dump"
STREAMS = "streams"
CONFIG = "config"
CREDENTIALS = "credentials"
SECRETS = "secrets"


class BackupRefusedError(ExplainedError):
    """A folder is no backup, or none that can be restored here; the text says why."""


class Manifest(BaseModel):
    """What a backup holds, and what it was taken of."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: Literal[1] = 1
    klankbord: str
    """The version of the build that took it."""
    nats: str
    """The version of nats-server."""
    postgres: int
    """The major version of PostgreSQL."""
    owner: str
    """The database role that owned the audit log."""
    as_of: datetime
    """The moment that it goes back to: what was committed by then is in it, and nothing later."""
    said_since: datetime
    """What was said from then on may be in the outbox only, and is published when restored."""
    pseudonym_key: str
    """A digest of the key that made the pseudonyms."""
    audit_head: str
    """The hash that vouches for the audit log within."""
    migrations: dict[str, dict[str, str]]
    """By service, the checksum of each migration that was applied, by its name."""
    rows: dict[str, int]
    """How many rows each table has."""
    streams: list[StreamCopy]
    files: dict[str, str]
    """The SHA-256 of every file, by its path within the folder."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The manifest of a backup.

        Raises:
            BackupRefusedError: there is none, or none that this build can read.
        """
        file = folder / FILE
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            raise BackupRefusedError(
                f"{folder} is no backup, or one that was never finished: {FILE} is missing. "
                "Take another"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            raise BackupRefusedError(
                f"{file} cannot be read ({'.'.join(map(str, first['loc']))}: {first['msg']}): it "
                "is damaged, or of a newer Klankbord"
            ) from error

    def write(self, folder: Path) -> None:
        """Write it: from now on the folder is a backup."""
        write_private(folder / FILE, self.model_dump_json(indent=2))

    async def verify(self, folder: Path) -> None:
        """Read every file, and compare.

        Raises:
            BackupRefusedError: one is missing, or is not as it was written.
        """
        for name, expected in self.files.items():
            try:
                found = await asyncio.to_thread(sha256_of, folder / name)
            except OSError as error:
                raise BackupRefusedError(
                    f"{folder / name} cannot be read ({error.strerror}): this backup is not "
                    "whole; take another one"
                ) from error
            if found != expected:
                raise BackupRefusedError(
                    f"{folder / name} is damaged: its SHA-256 is not the one of {FILE}. Nothing "
                    "was changed; take another backup"
                )

    def require_known_schema(self) -> None:
        """Make sure that this build knows the schema within.

        Raises:
            BackupRefusedError: it was taken by a newer build, or by one with other migrations.
        """
        for service, applied in self.migrations.items():
            known = known_migrations(service)
            for name, checksum in applied.items():
                if known.get(name) != checksum:
                    raise BackupRefusedError(
                        f"this backup is of Klankbord {self.klankbord}, whose schema {service} has "
                        f"the migration {name}, which this build ({build_version()}) does not "
                        "have so: restore it with that version, or a newer one"
                    )


def known_migrations(service: str) -> dict[str, str]:
    """The checksum of each migration of a service in this build, by name; none it does not have."""
    if service not in {known.name for known in SERVICES}:
        return {}
    return {f"{one.package}/{one.name}": one.checksum for one in migrations(f"klankbord_{service}")}


def build_version() -> str:
    """The version of this build."""
    return version("klankbord-standalone")


def digest_of_key(key: bytes) -> str:
    """What tells two pseudonym keys apart and tells nothing else of them."""
    return hmac.digest(key, b"klankbord backup", "sha256").hex()


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
