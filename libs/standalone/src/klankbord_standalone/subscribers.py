"""`klankbord subscriber add`: let a third party read some subjects, and nothing else."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from nats.errors import Error as NatsError

from klankbord_runtime.permissions import PROVISION, Subscriber, subscriber
from klankbord_runtime.provision import apply_consumer, subscriber_config
from klankbord_schemas.topology import inbox_prefix
from klankbord_standalone.child import ServerFailedError
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


def remember(installation: Installation, name: str, subjects: tuple[str, ...]) -> Subscriber:
    """Make the subscriber's credential.

    Raises:
        NoOneStreamError: the subjects are kept by no stream, or by several.
        CredentialsError: there is another subscriber of that name.
    """
    added = subscriber(name, subjects)
    installation.credentials.add_subscriber(added)
    return added


async def invite(installation: Installation, added: Subscriber, copy_to: Path | None) -> Invitation:
    """Make its durable consumer, and wait until the server lets it in.

    Raises:
        ServerFailedError: the server does not let it in.
        ProvisionError: the server refuses the consumer.
    """
    async with installation.client(PROVISION) as client:
        await apply_consumer(client, added.stream, subscriber_config(added))
    await _wait_until_let_in(installation, added)
    seed_file = installation.seed_file(added.user)
    if copy_to is not None:
        seed_file = Path(shutil.copy(seed_file, copy_to))
    return Invitation(
        nats_url=installation.nats_url,
        seed_file=str(seed_file),
        inbox_prefix=inbox_prefix(added.user),
        stream=added.stream,
        durable=added.user,
        subjects=list(added.subjects),
    )


async def _wait_until_let_in(installation: Installation, added: Subscriber) -> None:
    deadline = asyncio.get_running_loop().time() + LET_IN_PATIENCE
    while True:
        try:
            async with installation.client(added.user):
                return
        except NatsError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise ServerFailedError(
                    f"NATS does not let {added.user} in ({error}). An existing server takes new "
                    f"users from its configuration: put this block there and restart it\n"
                    f"{installation.credentials.authorization()}"
                ) from None
        await asyncio.sleep(0.2)
