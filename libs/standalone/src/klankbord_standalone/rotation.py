"""`klankbord rotate`: new keys and passwords, while everything runs.

An nkey is rotated in three steps, so that at each moment the one that a service has is good: NATS
learns of the new key beside the old one; the new one takes its place in the files; NATS forgets the
old one. A role of PostgreSQL has one password: it is set anew, connections that are open stay
open, and for each new one a service reads the file anew and tries again until it fits.

The pseudonym key is not rotated: with another one every member becomes a stranger. The superuser's
password is PostgreSQL's own affair (`alter role`).
"""

from collections.abc import Callable, Iterable, Sequence

from klankbord_runtime.permissions import OPERATOR, PROVISION
from klankbord_runtime.provision import READER, provision_database
from klankbord_schemas.topology import SERVICES
from klankbord_standalone.admission import kept_out, let_in
from klankbord_standalone.credentials import SUPERUSER, Credentials
from klankbord_standalone.explained import UsageError
from klankbord_standalone.servers import Installation

NAMES_OF_SERVICES = tuple(service.name for service in SERVICES)
WITH_SEED = (*NAMES_OF_SERVICES, PROVISION, OPERATOR)
WITH_PASSWORD = (*NAMES_OF_SERVICES, READER)
ALL = (*WITH_SEED, READER)
NEVER = {
    "pseudonym": "the pseudonym key is never rotated: with another one every member becomes a "
    "stranger, and nobody could be erased who came before",
    SUPERUSER: "the superuser's password is set in PostgreSQL (alter role postgres password …) and "
    "in the file postgres.password, while nothing runs",
}

Say = Callable[[str], None]


def named(name: str) -> tuple[str, ...]:
    """Whose keys and passwords are meant.

    Raises:
        UsageError: nobody's; says which names there are.
    """
    if name == "all":
        return ALL
    if name in ALL:
        return (name,)
    why = NEVER.get(name, f"{name!r} is none of {', '.join(ALL)}, or all")
    raise UsageError(f"{why}. A third party's key: `klankbord subscriber rotate`")


async def begin(installation: Installation, names: Sequence[str], say: Say) -> None:
    """Let both be good, and let the new ones be used from now on.

    Given again after it failed, it goes on, or says that `finish` does.

    Raises:
        UsageError: the last rotation was not finished.
        ServerFailedError: NATS does not know the new keys yet; says what to do.
    """
    credentials = installation.credentials
    seeds = [name for name in names if name in WITH_SEED]
    if unfinished := [name for name in seeds if credentials.old_seed(name).exists()]:
        raise UsageError(
            f"the last rotation of {', '.join(unfinished)} is not finished: give --finish first"
        )
    await installation.note("credentials.rotated", names=list(names))
    await take_new_seeds(installation, seeds, say)
    if passwords := [name for name in names if name in WITH_PASSWORD]:
        say("setting new passwords")
        for name in passwords:
            credentials.set_password(name)
        for name in set(passwords) & set(NAMES_OF_SERVICES):
            credentials.write_database_url(installation.admin_url, name)
        await provision_database(installation.admin_url, credentials.database_passwords())
    if OPERATOR in names:
        credentials.add_operator_token()


async def take_new_seeds(installation: Installation, names: Iterable[str], say: Say) -> None:
    """Make new seeds, wait until NATS takes them beside the old ones, and put them in place.

    Raises:
        ServerFailedError: NATS does not know the new keys yet; says what to do.
    """
    credentials, names = installation.credentials, list(names)
    for name in names:
        credentials.make_next_seed(name)
    credentials.write_authorization()
    say("waiting until NATS knows the new keys")
    for name in names:
        await let_in(installation, name, _text(credentials, name))
    for name in names:
        credentials.take_next_seed(name)


async def finish(installation: Installation, names: Sequence[str], say: Say) -> None:
    """Let only the new ones be good, also where `begin` failed before the database knew them.

    Raises:
        UsageError: there is nothing to finish.
        ServerFailedError: NATS lets an old key in still; says what to do.
    """
    credentials = installation.credentials
    seeds = [name for name in names if credentials.old_seed(name).exists()]
    if not seeds:
        credentials.write_authorization()  # one that was killed may not have come to that
        raise UsageError(f"no rotation of {', '.join(names)} is to be finished")
    await installation.note("credentials.retired", names=seeds)
    await provision_database(installation.admin_url, credentials.database_passwords())
    if OPERATOR in seeds:
        credentials.drop_old_operator_token()
    await drop_old_seeds(installation, seeds, say)


async def drop_old_seeds(installation: Installation, names: Iterable[str], say: Say) -> None:
    """Let the old seeds be good no more, and wait until NATS refuses them.

    Raises:
        ServerFailedError: NATS lets one in still; says what to do.
    """
    credentials = installation.credentials
    old = {name: credentials.old_seed(name).read_text("ascii").strip() for name in names}
    for name in old:
        credentials.drop_old_seed(name)
    credentials.write_authorization()
    say("waiting until NATS refuses the old keys")
    for name, seed in old.items():
        await kept_out(installation, name, seed)


def _text(credentials: Credentials, name: str) -> str:
    return credentials.next_seed(name).read_text("ascii").strip()
