"""Whether NATS lets a key in, and waiting until it does, or does not."""

import asyncio

from nats.errors import Error as NatsError

from klankbord_standalone.child import ServerFailedError
from klankbord_standalone.servers import Installation

PATIENCE = 15.0
"""Seconds until a running server has taken its new list of users."""
LOOK_EVERY = 0.2
REFUSED = "authorization violation"


async def let_in(installation: Installation, user: str, seed: str) -> None:
    """Wait until the server lets this key of the user in.

    Raises:
        ServerFailedError: it does not; says what to do about an existing server.
    """
    refusal: Exception = TimeoutError("no answer")
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with installation.client(user, seed=seed):
                        return
                except (NatsError, OSError) as error:  # OSError: it restarts just now
                    refusal = error
                await asyncio.sleep(LOOK_EVERY)
    except TimeoutError:
        file = installation.credentials.write_authorization()
        raise ServerFailedError(
            f"NATS at {installation.nats_url} does not let {user} in ({refusal}). An "
            f"existing server takes new users from its configuration: let it include {file}, "
            "which now names this one, restart it, and give this command again"
        ) from None


async def kept_out(installation: Installation, user: str, seed: str) -> None:
    """Wait until the server lets this key in no more: by then who was in with it is out.

    Raises:
        ServerFailedError: it lets it in still; says what to do about an existing server.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with installation.client(user, seed=seed):
                        pass
                except NatsError as error:
                    if REFUSED in str(error).lower():
                        return
                except OSError:  # it restarts just now
                    pass
                await asyncio.sleep(LOOK_EVERY)
    except TimeoutError:
        file = installation.credentials.write_authorization()
        raise ServerFailedError(
            f"NATS at {installation.nats_url} still lets a key of {user} in that is to be good no "
            f"more: let the server read {file} (restart it, or a cluster's servers one by one)"
        ) from None
