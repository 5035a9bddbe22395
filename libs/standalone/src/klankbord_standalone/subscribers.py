"""`klankbord subscriber add`: let a third party read some subjects, and nothing else."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from nats.errors import Error as NatsError

from klankbord_runtime.permissions import PROVISION, Subscriber, subscriber
from klankbord_runtime.provision import apply_consumer, subscriber_config
from klankbord_schemas.topology import inbox_prefix
from klankbord_standalone.child import ServerFailedError
from klankbord_standalone.credentials import SUBSCRIBER_NAME
from klankbord_standalone.explained import UsageError
from klankbord_standalone.private_file import keep_private
from klankbord_standalone.servers import Installation

LET_IN_PATIENCE = 15.0
"""Seconds until a running server has taken the new user."""


@dataclass(frozen=True)
class Invitation:
    """What a third party needs to read its events."""

    nats_url: str
    seed_file: str
    inbox_prefix: str
    stream: str
    durable: str
    subjects: list[str]


def wanted(name: str, subjects: tuple[str, ...]) -> Subscriber:
    """The third party that is asked for; nothing is made yet.

    Raises:
        UsageError: it cannot have that name.
        NoOneStreamError: the subjects are kept by no stream, or by several.
    """
    if not SUBSCRIBER_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a subscriber's name: take 1 to 63 of a-z, 0-9 and -, "
            "beginning with a letter or a digit, such as product-team"
        )
    return subscriber(name, subjects)


async def invite(installation: Installation, guest: Subscriber, copy_to: Path | None) -> Invitation:
    """Make its credential, wait until the server lets it in, and make its durable consumer.

    Doing it again for the same subjects changes nothing.

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
    await _wait_until_let_in(installation, guest)
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


async def _wait_until_let_in(installation: Installation, guest: Subscriber) -> None:
    refusal: Exception = TimeoutError("no answer")
    try:
        async with asyncio.timeout(LET_IN_PATIENCE):
            while True:
                try:
                    async with installation.client(guest.user):
                        return
                except (NatsError, OSError) as error:  # OSError: it restarts just now
                    refusal = error
                await asyncio.sleep(0.2)
    except TimeoutError:
        file = installation.credentials.write_authorization()
        raise ServerFailedError(
            f"NATS at {installation.nats_url} does not let {guest.user} in ({refusal}). An "
            f"existing server takes new users from its configuration: let it include {file}, "
            "which now names this one, restart it, and give this command again"
        ) from None
