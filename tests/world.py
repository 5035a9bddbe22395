"""What several tests need: settings of a service in an installation, a post, and patience."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pydantic import SecretStr
from typing_extensions import TypeVar

from klankbord_runtime.settings import HttpSettings, NatsSettings, PostgresSettings, ServiceSettings
from klankbord_schemas import Post, PostReceived, post_identity
from klankbord_standalone.servers import Installation

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


Migrated: TypeAlias = Callable[[str], Awaitable[str]]
"""The fixture that makes a service's tables."""

SettingsT = TypeVar("SettingsT", bound=ServiceSettings, default=ServiceSettings)


def settings(
    installation: Installation,
    service: str,
    cls: type[SettingsT] = ServiceSettings,  # type: ignore[assignment] # python/mypy#3737
    **more: Any,
) -> SettingsT:
    """Settings of that class for a service in the installation; `more` goes before the usual."""
    usual = {
        "nats": NatsSettings(url=installation.nats_url, seed_file=installation.seed_file(service)),
        "postgres": PostgresSettings(url=SecretStr(installation.postgres_url(service))),
        "http": HttpSettings(port=0),
    }
    return cls(**(usual | more))


def post(name: str) -> PostReceived:
    said = Post(
        community="acme",
        source="forum",
        platform="forum",
        post=post_identity("acme", "forum", name),
        native_id=name,
        operation="create",
        published=NOW,
        published_trust="attested",
        content=f"This is {name}.",
    )
    return PostReceived.of(said, 1, NOW)


async def eventually(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until it gives something true, and give that; fail when it does not within that time."""
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)
