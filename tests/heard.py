"""An ingest with one source, that can be ended and begun again; and what it said on the bus."""

import json
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from world import eventually, settings

from klankbord_ingest.app import create
from klankbord_ingest.settings import OutgoingSettings, Settings
from klankbord_runtime.service import Service
from klankbord_runtime.settings import HttpSettings
from klankbord_standalone.child import free_port
from klankbord_standalone.servers import Installation

COMMUNITIES = """
communities:
  - {slug: demo, name: Demo, time_zone: Europe/Amsterdam, languages: [en, nl, sv]}
sources:
"""


class Ear:
    """Ingest, as it runs in production, with its listener and its doors."""

    def __init__(self, own: Settings) -> None:
        self.own = own
        self._stack = AsyncExitStack()
        self._service: Service | None = None

    @classmethod
    def of(
        cls, installation: Installation, folder: Path, port: int, secrets: dict[str, str]
    ) -> Self:
        """An ingest that may ask that port of this machine; `secrets` are files by their names."""
        (folder / "pseudonym.key").write_bytes(bytes(range(32)))
        (folder / "operator.token").write_text("a token of at least 32 characters that I have\n")
        for name, secret in secrets.items():
            (folder / name).write_text(secret + "\n")
        own = settings(
            installation,
            "ingest",
            Settings,
            http=HttpSettings(port=free_port()),
            outgoing=OutgoingSettings(allow=(f"127.0.0.1:{port}",)),
            config_dir=folder,
            secrets_dir=folder,
            pseudonym_key_file=folder / "pseudonym.key",
            operator_token_file=folder / "operator.token",
        )
        return cls(own)

    async def begin(self, entry: dict[str, Any]) -> None:
        """Listen to this source, named `place`, until it is healthy."""
        file = self.own.config_file("klankbord.yaml")
        assert file is not None
        line = json.dumps({"name": "place", "community": "demo", **entry})
        file.write_text(f"{COMMUNITIES}  - {line}\n")
        self._service = create(self.own)
        await self._stack.enter_async_context(self._service.running())
        await eventually(self.is_healthy)

    async def end(self) -> None:
        """Listen no more; what was heard stays."""
        await self._stack.aclose()

    async def is_healthy(self) -> bool:
        """Whether every way of listening went well the last time."""
        rows = await self.rows("select healthy and last_success is not null as so from listening")
        return bool(rows) and all(row["so"] for row in rows)

    async def heard(self, *native_ids: str) -> None:
        """Wait until something was heard of each of these."""

        async def are_all() -> bool:
            return set(native_ids) <= {one["data"].get("nativeId") for one in await self.events()}

        await eventually(are_all, 30)

    async def versions(self) -> Counter[tuple[str, str]]:
        """How often each version of a post, and each interaction, was said on the bus."""
        told = [one["data"] for one in await self.events()]
        return Counter(
            (one["operation"] if "operation" in one else one["kind"], one["nativeId"])
            for one in told
            if "nativeId" in one and ("operation" in one or "kind" in one)
        )

    async def events(self) -> list[dict[str, Any]]:
        """Every event, in order."""
        rows = await self.rows("select body from outbox order by batch, position")
        return [json.loads(bytes(row["body"])) for row in rows]

    async def rows(self, query: str) -> list[Any]:
        """What is in the database."""
        assert self._service is not None
        async with self._service.database.connection() as connection:
            return list(await connection.fetch(query))
