"""A short part of what `make trust` does with a cluster: it is provisioned, its leader is killed.

Services and the `klankbord` command are given all of its servers, and it does not matter which of
them are there.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.client import Client
from trust.nodes import NODES, Node, believed, nodes, url

from klankbord_runtime.bus import Message, publish
from klankbord_runtime.faults import TRANSIENT
from klankbord_runtime.permissions import PROVISION
from klankbord_runtime.provision import UNAVAILABLE, Config, apply, check
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.servers import Installation

BATCHES, BATCH = 30, 50

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl comes with setup-system"),
]


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[tuple[list[Node], Installation]]:
    credentials = Credentials.create(tmp_path / "credentials")
    servers = nodes(tmp_path, credentials)
    try:
        for node in servers:
            await node.start()
        with believed(tmp_path / "tls"):
            yield servers, Installation(url(servers), "", credentials)
    finally:
        for node in servers:
            await node.stop()


async def test_what_was_confirmed_survives_the_leader(
    cluster: tuple[list[Node], Installation],
) -> None:
    servers, here = cluster
    async with here.client(PROVISION) as client:
        await apply(client, replicas=NODES)  # nobody leads yet, and nobody answers: it waits
        assert await check(client, replicas=NODES) == []
    async with here.client("ingest", reconnect=True) as client:
        await _publish(client, range(BATCHES // 2))
        leader = (await _ask(here, "STREAM.INFO.POSTS"))["cluster"]["leader"]
        (killed,) = (node for node in servers if node.node == leader)
        await killed.kill()
        await _publish(client, range(BATCHES // 2, BATCHES))
    # it is found, although one of the servers that were named is away
    state = (await _ask(here, "STREAM.INFO.POSTS"))["state"]
    assert state["messages"] == BATCHES * BATCH


async def _publish(client: Client, batches: range) -> None:
    """As the relay does it: what was not confirmed is published again, under the same ids."""
    for batch in batches:
        messages = [
            Message(f"{batch}-{n}", "klankbord.post.received.v1.acme.forum", b"{}")
            for n in range(BATCH)
        ]
        async with asyncio.timeout(60):
            while True:
                try:
                    await publish(client, messages)
                    break
                except TRANSIENT:
                    await asyncio.sleep(0.2)


async def _ask(here: Installation, subject: str) -> Config:
    """What the cluster says, once somebody leads it."""
    async with asyncio.timeout(30):
        while True:
            with suppress(*TRANSIENT):
                async with here.client(PROVISION) as client:
                    answer = await client.request(f"$JS.API.{subject}", b"", timeout=5)
                told: Config = json.loads(answer.data)
                if told.get("error", {}).get("code") != UNAVAILABLE:
                    return told
            await asyncio.sleep(0.2)
