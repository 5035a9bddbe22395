"""Keys and passwords: made once, kept in files that only this user may read.

    <service>.nk        the nkey seed that a service shows to NATS; also provision.nk, operator.nk
    subscriber-<name>.nk and .json: a third party's seed, and what it may read
    <role>.password     PostgreSQL: one per service, reader, and the superuser postgres
    pseudonym.key       32 random bytes in hexadecimal: who holds them can tell which author is
                        which pseudonym

The same folder serves an existing NATS: its public keys go into that server's configuration.
"""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import nkeys

from klankbord_runtime.permissions import (
    OPERATOR,
    PROVISION,
    Permissions,
    Subscriber,
    operator_permissions,
    provision_permissions,
    service_permissions,
    subscriber_permissions,
)
from klankbord_runtime.provision import READER
from klankbord_schemas.topology import SERVICES

SUPERUSER = "postgres"
PSEUDONYM_KEY_BYTES = 32


class CredentialsError(RuntimeError):
    """A key or a password is not there, or is none."""


class Credentials:
    """The keys and passwords of one installation."""

    def __init__(self, folder: Path) -> None:
        """Read from `folder`; nothing is read yet, and nothing is ever made by reading."""
        self.folder = folder.absolute()

    @classmethod
    def create(cls, folder: Path) -> "Credentials":
        """Make what is missing, keep what is there."""
        credentials = cls(folder)
        credentials.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        services = [service.name for service in SERVICES]
        for name in (*services, PROVISION, OPERATOR):
            _keep(credentials.seed_file(name), new_seed)
        for name in (*services, READER, SUPERUSER):
            _keep(credentials._file(f"{name}.password"), new_password)
        _keep(
            credentials.pseudonym_key_file,
            lambda: secrets.token_hex(PSEUDONYM_KEY_BYTES).encode() + b"\n",
        )
        return credentials

    @property
    def pseudonym_key_file(self) -> Path:
        """The key that makes pseudonyms of authors, in hexadecimal: losing it splits them."""
        return self._file("pseudonym.key")

    def seed_file(self, name: str) -> Path:
        """The file with the nkey seed of a service, of `provision`, `operator` or a subscriber."""
        return self._file(f"{name}.nk")

    def public_key(self, name: str) -> str:
        """The public half of that nkey, as it stands in the server's configuration.

        Raises:
            CredentialsError: there is no such seed, or the file holds none.
        """
        seed = bytearray(self._read(self.seed_file(name)).strip())
        try:
            return str(nkeys.from_seed(seed).public_key.decode())
        except (nkeys.NkeysError, ValueError) as error:
            raise CredentialsError(f"{self.seed_file(name)} holds no nkey seed (SU…)") from error

    def password(self, role: str) -> str:
        """The PostgreSQL password of a service, of `reader` or of the superuser `postgres`.

        Raises:
            CredentialsError: there is none.
        """
        return self._read(self._file(f"{role}.password")).decode().strip()

    def database_passwords(self) -> dict[str, str]:
        """What `provision_database` takes: the password of every service and of `reader`."""
        return {name: self.password(name) for name in (*(s.name for s in SERVICES), READER)}

    def add_subscriber(self, subscriber: Subscriber) -> Path:
        """Keep a third party's permissions and make its seed; gives the seed's file.

        It is let in when the server has the new `authorization()` (`NatsServer.reload`).

        Raises:
            CredentialsError: there is another subscriber of that name.
        """
        told = json.dumps({"stream": subscriber.stream, "subjects": subscriber.subjects})
        kept = self._file(f"{subscriber.user}.json")
        _keep(kept, told.encode)
        if kept.read_text(encoding="utf-8") != told:
            raise CredentialsError(
                f"there is a subscriber {subscriber.name} that reads other subjects: "
                "choose another name, or remove that one first"
            )
        seed_file = self.seed_file(subscriber.user)
        _keep(seed_file, new_seed)
        return seed_file

    def subscribers(self) -> list[Subscriber]:
        """Every third party that was added, by name."""
        found = []
        for file in sorted(self.folder.glob("subscriber-*.json")):
            told = json.loads(file.read_text(encoding="utf-8"))
            name = file.stem.removeprefix("subscriber-")
            found.append(Subscriber(name, told["stream"], tuple(told["subjects"])))
        return found

    def authorization(self) -> str:
        """The block `authorization` of nats-server's configuration: who may publish and read what.

        It holds public keys only, and may be shown to anyone.
        """
        may: dict[str, Permissions] = {
            PROVISION: provision_permissions(),
            OPERATOR: operator_permissions(),
        }
        may |= {service.name: service_permissions(service) for service in SERVICES}
        may |= {s.user: subscriber_permissions(s) for s in self.subscribers()}
        users = "".join(
            f"    # {name}\n    "
            + json.dumps({"nkey": self.public_key(name), "permissions": permissions.as_config()})
            + "\n"
            for name, permissions in may.items()
        )
        return f"authorization {{\n  users: [\n{users}  ]\n}}\n"

    def _file(self, name: str) -> Path:
        return self.folder / name

    def _read(self, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except FileNotFoundError:
            raise CredentialsError(
                f"{file} is not there: `klankbord provision` makes what is missing in this folder, "
                "or name the folder that has it"
            ) from None


def new_seed() -> bytes:
    """A new nkey user seed (https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth)."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed + b"\n"


def new_password() -> bytes:
    """A new password of 256 random bits."""
    return secrets.token_urlsafe(32).encode() + b"\n"


def _keep(file: Path, make: Callable[[], bytes]) -> None:
    """Write the file if it is missing: complete or not at all, and never over another."""
    if file.exists():
        return
    written = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        output.write(make())
        output.flush()
        os.fsync(output.fileno())
    try:
        file.hardlink_to(written)
    except FileExistsError:  # another process was faster: its key is the one
        return
    finally:
        written.unlink()
