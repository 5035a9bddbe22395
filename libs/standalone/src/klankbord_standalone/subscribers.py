"""`klankbord subscriber`: let a third party read some subjects, and nothing else; until it may not.

What one may do is held by nats-server: by permissions and accounts (docs/adr/0008), and by quotas.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from klankbord_runtime.bus import consumer_state
from klankbord_runtime.permissions import OPERATOR, PROVISION, USUAL, Quotas, Subscriber, subscriber
from klankbord_runtime.provision import apply_consumer, remove_consumer, subscriber_config
from klankbord_schemas.topology import inbox_prefix
from klankbord_standalone.admission import kept_out, let_in
from klankbord_standalone.credentials import SUBSCRIBER_NAME
from klankbord_standalone.explained import UsageError
from klankbord_standalone.private_file import keep_private
from klankbord_standalone.rotation import Say, drop_old_seeds, take_new_seeds
from klankbord_standalone.servers import Installation


@dataclass(frozen=True)
class Invitation:
    """What a third party needs to read its events."""

    nats_url: str
    seed_file: str
    inbox_prefix: str
    stream: str
    durable: str
    subjects: list[str]


@dataclass(frozen=True)
class Reading:
    """A third party, and how far it is."""

    subscriber: Subscriber
    waiting: int | None
    """Events that it has not been given; None where it has no consumer."""
    in_hand: int | None
    """Events that it was given and has not acknowledged."""
    last_active: str | None
    """When it last acknowledged one."""
    rotating: bool
    """Whether its old key is good still."""


def wanted(name: str, subjects: tuple[str, ...], quotas: Quotas = USUAL) -> Subscriber:
    """The third party that is asked for; nothing is made yet.

    Raises:
        UsageError: it cannot have that name, or a quota that is none.
        NoOneStreamError: the subjects are kept by no stream, or by several.
    """
    if not SUBSCRIBER_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a subscriber's name: take 1 to 63 of a-z, 0-9 and -, "
            "beginning with a letter or a digit, such as product-team"
        )
    for quota, most in vars(quotas).items():
        if most < 1:
            raise UsageError(f"{most} {quota} is no quota: give 1 or more")
    return subscriber(name, subjects, quotas)


async def invite(installation: Installation, guest: Subscriber, copy_to: Path | None) -> Invitation:
    """Make its credential, wait until the server lets it in, and make its durable consumer.

    Doing it again for the same subjects changes the quotas, and nothing else.

    Args:
        installation: what it is to read from.
        guest: as `wanted` gives it.
        copy_to: the file for a copy of the key, or a folder to put it in.

    Raises:
        UsageError: the copy cannot be put there; nothing was made.
        CredentialsError: there is another subscriber of that name.
        ServerFailedError: the server does not let it in.
        ProvisionError: the server refuses the consumer.
    """
    seed_file = installation.seed_file(guest.user)
    if copy_to is not None:
        copy_to = place_for_copy(seed_file, copy_to)
    installation.credentials.add_subscriber(guest)
    if copy_to is not None:
        keep_private(copy_to, seed_file.read_text)
        copy_to.chmod(0o600)
    await let_in(installation, guest.user, seed_file.read_text("ascii").strip())
    # only now: an embedded server lets it in by a restart
    async with installation.client(PROVISION) as client:
        await apply_consumer(client, guest.stream, subscriber_config(guest))
    return Invitation(
        nats_url=installation.nats_url,
        seed_file=str(copy_to or seed_file),
        inbox_prefix=inbox_prefix(guest.user),
        stream=guest.stream,
        durable=guest.user,
        subjects=list(guest.subjects),
    )


def place_for_copy(seed_file: Path, asked: Path) -> Path:
    """The file that the key can be copied to, over no other: `asked`, or in that folder.

    Raises:
        UsageError: it cannot be copied there.
    """
    copy = asked / seed_file.name if asked.is_dir() else asked
    if not os.access(copy.parent, os.W_OK | os.X_OK) or not copy.parent.is_dir():
        raise UsageError(f"{copy.parent} is no folder that can be written to: make it first")
    if copy.exists() and not (
        seed_file.exists() and copy.is_file() and copy.read_bytes() == seed_file.read_bytes()
    ):
        raise UsageError(f"{copy} is there already, and is not this key: choose another file")
    return copy


def known(installation: Installation, name: str) -> Subscriber:
    """The third party of that name.

    Raises:
        UsageError: there is none; says which there are.
    """
    there = {guest.name: guest for guest in installation.credentials.subscribers()}
    if name not in there:
        raise UsageError(f"there is no subscriber {name!r}: {', '.join(there) or 'there is none'}")
    return there[name]


async def readings(installation: Installation) -> list[Reading]:
    """Every third party, and how far it is."""
    found = []
    async with installation.client(OPERATOR) as client:
        for guest in installation.credentials.subscribers():
            state = await consumer_state(client, guest.stream, guest.user)
            found.append(
                Reading(
                    guest,
                    waiting=None if state is None else state["num_pending"],
                    in_hand=None if state is None else state["num_ack_pending"],
                    last_active=None if state is None else state["ack_floor"].get("last_active"),
                    rotating=installation.credentials.old_seed(guest.user).exists(),
                )
            )
    return found


async def remove(installation: Installation, guest: Subscriber) -> None:
    """Take its place in the stream and its key away; comes back when it is out.

    Raises:
        ServerFailedError: the server lets it in still; says what to do. It can read nothing.
        ProvisionError: the server does not delete its consumer.
    """
    seeds = [
        file.read_text("ascii").strip()
        for file in (
            installation.seed_file(guest.user),
            installation.credentials.old_seed(guest.user),
        )
        if file.exists()
    ]
    async with installation.client(PROVISION) as client:
        await remove_consumer(client, guest.stream, guest.user)
    installation.credentials.remove_subscriber(guest)
    installation.credentials.write_authorization()
    for seed in seeds:
        await kept_out(installation, guest.user, seed)


async def rotate(
    installation: Installation, guest: Subscriber, copy_to: Path | None, say: Say, *, keep_old: bool
) -> Path:
    """Give it another key; it goes on where it was. Gives the file of the new one.

    Args:
        installation: what it reads from.
        guest: the third party.
        copy_to: the file for a copy of the key, or a folder to put it in.
        say: told what is being done.
        keep_old: whether its old key stays good, until `finish_rotation`.

    Raises:
        UsageError: the copy cannot be put there, or the last rotation is not finished.
        ServerFailedError: the server does not know of it yet; says what to do.
    """
    seed_file = installation.seed_file(guest.user)
    if installation.credentials.old_seed(guest.user).exists():
        raise UsageError(
            f"the old key of {guest.name} is good still: end that with --finish, then rotate"
        )
    if copy_to is not None:
        copy_to = place_for_copy(seed_file, copy_to)
        if copy_to.exists():
            raise UsageError(f"{copy_to} holds the key of today: choose another file")
    await take_new_seeds(installation, [guest.user], say)
    if copy_to is not None:
        keep_private(copy_to, seed_file.read_text)
    if not keep_old:
        await drop_old_seeds(installation, [guest.user], say)
    return copy_to or seed_file


async def finish_rotation(installation: Installation, guest: Subscriber, say: Say) -> None:
    """Let its old key be good no more.

    Raises:
        UsageError: it has no old key.
        ServerFailedError: the server lets it in still; says what to do.
    """
    if not installation.credentials.old_seed(guest.user).exists():
        raise UsageError(f"{guest.name} has no old key that is good")
    await drop_old_seeds(installation, [guest.user], say)
