"""What each server and each service is given of the keys and passwords: its own, and no more.

A folder for each, for its container to mount or for a Kubernetes secret to be made of:

    nats/auth.conf            who may do what: public keys and permissions
    postgres/password         the superuser's
    postgres/admin.url        the database as who may make roles: for provisioning
    <service>/nats.nk         the service's nkey seed
    <service>/postgres.url    the database, with the service's own role and password
    ingest/pseudonym.key      what makes pseudonyms of authors
    ingest/operator.token     what opens the import door
    grafana/admin.password    of Grafana's user `admin`
    grafana/reader.password   of the database's role that reads published views
"""

from collections.abc import Mapping
from pathlib import Path

from klankbord_runtime.provision import READER
from klankbord_schemas.topology import SERVICES
from klankbord_standalone.credentials import GRAFANA, SUPERUSER, Credentials
from klankbord_standalone.private_file import write_private

Share = Mapping[str, str]
"""What one of them is given: the text of each file, by name."""


def shares(credentials: Credentials, database: str) -> Mapping[str, Share]:
    """What each is given, by its name.

    Args:
        credentials: all keys and passwords, made.
        database: the URI of the database. A role and password that it names are provisioning's;
            else that is done as the superuser.
    """
    given: dict[str, dict[str, str]] = {
        "nats": {"auth.conf": credentials.authorization()},
        "postgres": {
            "password": credentials.password(SUPERUSER),
            "admin.url": credentials.admin_url(database),
        },
        "grafana": {
            "admin.password": credentials.password(GRAFANA),
            "reader.password": credentials.password(READER),
        },
    }
    for name in (service.name for service in SERVICES):
        given[name] = {
            "nats.nk": credentials.seed_file(name).read_text("ascii"),
            "postgres.url": credentials.database_url(database, name),
        }
    given["ingest"] |= {
        "pseudonym.key": credentials.pseudonym_key_file.read_text("ascii"),
        "operator.token": credentials.operator_token_file.read_text("ascii"),
    }
    return given


def hand_out(given: Mapping[str, Share], folder: Path) -> None:
    """Write each share to `folder/<name>`, over what was there.

    Only this user enters `folder`. A share itself is open to this user's group too: where it alone
    is mounted, whoever it is for may be another user of that group.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, share in given.items():
        (folder / name).mkdir(mode=0o750, exist_ok=True)
        for file, text in share.items():
            write_private(folder / name / file, text)
            (folder / name / file).chmod(0o640)
