"""What several tests need: settings of a service in an installation, a post, and patience."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from klankbord_runtime.settings import HttpSettings, NatsSettings, PostgresSettings, ServiceSettings
from klankbord_schemas import Post, PostReceived, post_identity
from klankbord_standalone.servers import Installation

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def settings(installation: Installation, service: str) -> ServiceSettings:
    return ServiceSettings(
        nats=NatsSettings(url=installation.nats_url, seed_file=installation.seed_file(service)),
        postgres=PostgresSettings(url=SecretStr(installation.postgres_url(service))),
        http=HttpSettings(port=0),
    )


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


async def eventually(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until it holds; fail when it does not within that time."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)
