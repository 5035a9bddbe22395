"""Waits until an installation is at rest: nothing on its way, everything measured, all ready."""

import asyncio
from contextlib import suppress

import asyncpg
import httpx
from nats.errors import Error as NatsError
from stage import Staged
from trust.listening import SUBSCRIBERS
from trust.part import Say

from klankbord_runtime.permissions import OPERATOR
from klankbord_schemas.topology import CONSUMERS, SERVICES

TOLD_EVERY = 5.0
RECOVERED_WITHIN = 120.0
"""Seconds after which the audit no longer waits for the last event to be handled."""


async def recovered(scene: Staged, say: Say) -> float:
    """Wait until nothing is on its way: the moment, in the loop's time."""
    now = asyncio.get_running_loop().time
    told = now()
    deadline = told + RECOVERED_WITHIN
    while now() < deadline:
        try:
            left = await on_its_way(scene)
        except (NatsError, OSError, asyncpg.PostgresError) as error:
            left = {f"{type(error).__name__}: {error}": 1}  # a server comes back: look again
        if not left:
            break
        if now() - told > TOLD_EVERY:
            told = now()
            say("on their way: " + ", ".join(f"{n} {name}" for name, n in left.items()))
        await asyncio.sleep(0.2)
    return now()


async def on_its_way(scene: Staged, *, third_parties: bool = False) -> dict[str, int]:
    """How many events each consumer has not handled, and each service has said, not published.

    A third party whose acknowledgement was lost is told again after half a minute: that is its own
    affair, and no lag of the services.
    """
    left: dict[str, int] = {}
    async with scene.everything.installation.client(OPERATOR) as client:
        readers = [(c.stream, c.name) for c in CONSUMERS]
        if third_parties:
            readers += [(s.stream, s.user) for s in SUBSCRIBERS]
        for stream, name in readers:
            state = await client.jetstream().consumer_info(stream, name)
            left[name] = (state.num_pending or 0) + (state.num_ack_pending or 0)
    for service in SERVICES:
        (row,) = await scene.fetch(
            service.name, "select coalesce(sum(size), 0)::int as size from outbox_pending"
        )
        left[f"outbox of {service.name}"] = row["size"]
    return {name: count for name, count in left.items() if count}


async def settled(scene: Staged) -> None:
    """Wait until everything that was heard is measured, and that is heard by third parties."""
    with suppress(TimeoutError):  # the audit says what is missing
        async with asyncio.timeout(RECOVERED_WITHIN):
            quiet = 0
            while quiet < 3:
                rows = await scene.fetch(
                    "reader", "select is_settled from metrics.published_community"
                )
                is_measured = all(row["is_settled"] for row in rows)
                try:
                    left = await on_its_way(scene, third_parties=True)
                except NatsError:  # a cluster may still be electing its leaders
                    is_measured = False
                quiet = quiet + 1 if is_measured and not left else 0
                await asyncio.sleep(0.5)


async def ready(scene: Staged) -> None:
    """Wait until every replica is; what was killed often is started again ever more slowly."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        for process in scene.replicas:
            await process.ready(http)
