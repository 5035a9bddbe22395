"""Keys and passwords: made once, kept in files that only this user may read.

    <service>.nk        the nkey seed that a service shows to NATS; also provision.nk, operator.nk
    subscriber-<name>.nk and .json: a third party's seed, and what it may read
    <role>.password     PostgreSQL: one per service, reader, and the superuser postgres
    grafana.password    of Grafana's user `admin`
    pseudonym.key       32 random bytes in hexadecimal: who holds them can tell which author is
                        which pseudonym
    operator.token      opens ingest's import door: one line, or the new one and the old one
    <service>.url       the database, with the service's own role and password, for what runs here

While a seed is rotated, NATS takes that of `<name>.nk.next` or of `<name>.nk.old` as well.

The same folder serves an existing NATS: its public keys go into that server's configuration.
"""

import json
import logging
import re
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import nkeys

from klankbord_runtime.permissions import (
    ACCOUNT,
    OPERATOR,
    PROVISION,
    Permissions,
    Quotas,
    Subscriber,
    operator_permissions,
    provision_permissions,
    service_permissions,
    subscriber,
    subscriber_exports,
    subscriber_permissions,
)
from klankbord_runtime.provision import READER
from klankbord_schemas.topology import SERVICES
from klankbord_standalone.explained import ExplainedError
from klankbord_standalone.private_file import keep_private, write_private

log = logging.getLogger(__name__)

SUBSCRIBER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""It stands in subjects and in names of files."""
SUPERUSER = "postgres"
GRAFANA = "grafana"
PSEUDONYM_KEY_BYTES = 32


class CredentialsError(ExplainedError):
    """A key or a password is not there, or is none."""


class Credentials:
    """The keys and passwords of one installation."""

    def __init__(self, folder: Path) -> None:
        """Read from `folder`; nothing is read yet, and nothing is ever made by reading."""
        self.folder = folder.absolute()
        self._skipped: set[Path] = set()

    @classmethod
    def create(cls, folder: Path) -> "Credentials":
        """Make what is missing, keep what is there."""
        credentials = cls(folder)
        credentials.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        services = [service.name for service in SERVICES]
        for name in (*services, PROVISION, OPERATOR):
            keep_private(credentials.seed_file(name), new_seed)
        for name in (*services, READER, SUPERUSER, GRAFANA):
            keep_private(credentials._file(f"{name}.password"), new_password)
        keep_private(
            credentials.pseudonym_key_file,
            lambda: secrets.token_hex(PSEUDONYM_KEY_BYTES) + "\n",
        )
        keep_private(credentials.operator_token_file, new_password)
        return credentials

    @property
    def pseudonym_key_file(self) -> Path:
        """The key that makes pseudonyms of authors, in hexadecimal: losing it splits them."""
        return self._file("pseudonym.key")

    @property
    def operator_token_file(self) -> Path:
        """The token that opens ingest's import door."""
        return self._file("operator.token")

    def operator_token(self) -> str:
        """What stands in that file.

        Raises:
            CredentialsError: there is none.
        """
        tokens = self._read(self.operator_token_file).decode().split()
        if not tokens:
            raise CredentialsError(f"{self.operator_token_file} is empty: remove it, and provision")
        return tokens[0]

    def add_operator_token(self) -> None:
        """Make a new token; the one of today stays good until `drop_old_operator_token`."""
        text = new_password() + self.operator_token() + "\n"
        write_private(self.operator_token_file, text)

    def drop_old_operator_token(self) -> None:
        """Only the newest token is good from now on."""
        write_private(self.operator_token_file, self.operator_token() + "\n")

    def seed_file(self, name: str) -> Path:
        """The file with the nkey seed of a service, of `provision`, `operator` or a subscriber."""
        return self._file(f"{name}.nk")

    def public_key(self, name: str) -> str:
        """The public half of that nkey, as it stands in the server's configuration.

        Raises:
            CredentialsError: there is no such seed, or the file holds none.
        """
        return self._public_key(self.seed_file(name))

    def public_keys(self, name: str) -> list[str]:
        """The keys that NATS is to take from it: one, or two while it is rotated.

        Raises:
            CredentialsError: there is no such seed, or a file holds none.
        """
        more = (file for file in (self.next_seed(name), self.old_seed(name)) if file.exists())
        # sorted, so that a swap of the two changes nothing for NATS
        return sorted(self._public_key(file) for file in (self.seed_file(name), *more))

    def next_seed(self, name: str) -> Path:
        """The seed that is to be used soon; NATS has to learn of it first."""
        return self._file(f"{name}.nk.next")

    def old_seed(self, name: str) -> Path:
        """The seed that was used, for who has not got the new one yet."""
        return self._file(f"{name}.nk.old")

    def make_next_seed(self, name: str) -> None:
        """Make the next seed, unless it was made before."""
        self.public_key(name)  # whoever has none is not made one
        keep_private(self.next_seed(name), new_seed)

    def take_next_seed(self, name: str) -> None:
        """From now on the next seed is the one; that of before is kept as the old one."""
        write_private(self.old_seed(name), self._read(self.seed_file(name)).decode("ascii"))
        self.next_seed(name).replace(self.seed_file(name))

    def drop_old_seed(self, name: str) -> None:
        """NATS is to take the old seed no more."""
        self.old_seed(name).unlink(missing_ok=True)

    def set_password(self, role: str) -> None:
        """Make a new password for that role. The database knows it once it is provisioned."""
        self.password(role)  # a role that has none gets none
        write_private(self._file(f"{role}.password"), new_password())

    def password(self, role: str) -> str:
        """The PostgreSQL password of a service, of `reader` or of the superuser `postgres`; or
        that of Grafana's `admin`, under `grafana`.

        Raises:
            CredentialsError: there is none.
        """
        return self._read(self._file(f"{role}.password")).decode().strip()

    def database_passwords(self) -> dict[str, str]:
        """What `provision_database` takes: the password of every service and of `reader`."""
        return {name: self.password(name) for name in (*(s.name for s in SERVICES), READER)}

    def database_url(self, server: str, name: str) -> str:
        """The database's URI as a service's own role, or as `reader`.

        Args:
            server: the database's URI; the role and the password that it may name are replaced.
            name: of the service, or `reader`.

        Raises:
            CredentialsError: there is no password for it.
        """
        return _as_role(server, f"klankbord_{name}", self.password(name))

    def admin_url(self, server: str) -> str:
        """The database's URI for provisioning.

        Args:
            server: as whom it says, if it names a role with a password; else as the superuser
                `postgres` with the password that is kept here.

        Raises:
            CredentialsError: there is no password for it.
        """
        if urlsplit(server).password:
            return server
        return _as_role(server, SUPERUSER, self.password(SUPERUSER))

    def write_database_url(self, server: str, name: str) -> Path:
        """Write that URI to a file, which whoever connects reads anew."""
        file = self._file(f"{name}.url")
        write_private(file, self.database_url(server, name) + "\n")
        return file

    def passfile(self) -> str:
        """The superuser's password for any server, as every client of PostgreSQL reads it from
        PGPASSFILE (https://www.postgresql.org/docs/current/libpq-pgpass.html).
        """
        password = self.password(SUPERUSER).replace("\\", "\\\\").replace(":", "\\:")
        return f"*:*:*:{SUPERUSER}:{password}\n"

    def add_subscriber(self, subscriber: Subscriber) -> Path:
        """Keep a third party's permissions and make its seed; gives the seed's file.

        It is let in when the server has the new `authorization()` (`NatsServer.admit`).

        Raises:
            CredentialsError: there is another subscriber of that name.
        """
        told = {
            "stream": subscriber.stream,
            "subjects": subscriber.subjects,
            "quotas": asdict(subscriber.quotas),
        }
        kept = self._file(f"{subscriber.user}.json")
        seed_file = self.seed_file(subscriber.user)
        if kept.exists() and self._read_subscriber(kept).subjects != subscriber.subjects:
            raise CredentialsError(
                f"there is a subscriber {subscriber.name} that reads other subjects: "
                "choose another name, or remove that one first"
            )
        keep_private(seed_file, new_seed)
        write_private(kept, json.dumps(told))  # last: with this file the subscriber is there
        return seed_file

    def remove_subscriber(self, subscriber: Subscriber) -> None:
        """Forget a third party's permissions and its seed.

        It is out when the server has the new `authorization()`.
        """
        self._file(f"{subscriber.user}.json").unlink(missing_ok=True)  # first: it is not there now
        for file in (self.seed_file, self.next_seed, self.old_seed):
            file(subscriber.user).unlink(missing_ok=True)

    def subscribers(self) -> list[Subscriber]:
        """Every third party that was added, by name.

        One whose files are not good is left out, with a warning: it must not keep the others out.
        """
        found = []
        for file in sorted(self.folder.glob("subscriber-*.json")):
            try:
                found.append(self._read_subscriber(file))
            except CredentialsError as error:
                if file not in self._skipped:
                    log.warning("%s; this subscriber is not let in", error)
                self._skipped.add(file)
        return found

    def write_authorization(self) -> Path:
        """Write `authorization()` to `auth.conf` in the folder, for a server that includes it."""
        file = self._file("auth.conf")
        file.write_text(self.authorization(), encoding="utf-8")
        return file

    def authorization(self) -> str:
        """The block `accounts` of nats-server's configuration: who may publish and read what.

        Each third party is an account of its own, and reaches into ours through the few subjects
        that its consumer takes. Permissions alone would not hold it: nats-server checks what a
        client publishes to, but not the reply subject that it names, and answers go there.

        It holds public keys only, and may be shown to anyone. JSON is what that format contains.
        """
        may: dict[str, Permissions] = {
            PROVISION: provision_permissions(),
            OPERATOR: operator_permissions(),
        }
        may |= {service.name: service_permissions(service) for service in SERVICES}
        subscribers = self.subscribers()
        ours = {
            "jetstream": "enabled",
            "users": [
                user for name, permissions in may.items() for user in self._users(name, permissions)
            ],
            "exports": [
                export for subscriber in subscribers for export in subscriber_exports(subscriber)
            ],
        }
        theirs = {
            subscriber.user: {
                "users": self._users(subscriber.user, subscriber_permissions(subscriber)),
                "limits": subscriber.quotas.as_limits(),
                "imports": [
                    {"service": {"account": ACCOUNT, "subject": export["service"]}}
                    for export in subscriber_exports(subscriber)
                ],
            }
            for subscriber in subscribers
        }
        return f"accounts: {json.dumps({ACCOUNT: ours} | theirs, indent=2)}\n"

    def _users(self, name: str, permissions: Permissions) -> list[dict[str, Any]]:
        may = permissions.as_config()
        return [{"nkey": key, "permissions": may} for key in self.public_keys(name)]

    def _public_key(self, file: Path) -> str:
        seed = bytearray(self._read(file).strip())
        try:
            return str(nkeys.from_seed(seed).public_key.decode())
        except (nkeys.NkeysError, ValueError) as error:
            raise CredentialsError(f"{file} holds no nkey seed (SU…)") from error

    def _read_subscriber(self, file: Path) -> Subscriber:
        name = file.stem.removeprefix("subscriber-")
        if not SUBSCRIBER_NAME.fullmatch(name):
            raise CredentialsError(f"{file}: {name!r} cannot be a subscriber's name: remove it")
        try:
            told = json.loads(self._read(file))
            found = subscriber(name, tuple(told["subjects"]), Quotas(**told.get("quotas", {})))
        except (ValueError, KeyError, TypeError) as error:
            raise CredentialsError(f"{file} does not say what it reads ({error})") from error
        self.public_key(found.user)
        return found

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


def _as_role(server: str, role: str, password: str) -> str:
    address = urlsplit(server)
    place = address.netloc.rpartition("@")[2]
    return urlunsplit(address._replace(netloc=f"{role}:{quote(password, safe='')}@{place}"))


def new_seed() -> str:
    """A new nkey user seed (https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth)."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode() + "\n"


def new_password() -> str:
    """A new password of 256 random bits."""
    return secrets.token_urlsafe(32) + "\n"
