"""How long and how much streams keep, changed on a real nats-server: nothing is lost unasked."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from klankbord_runtime.provision import Change, ProvisionError, check
from klankbord_schemas.topology import DAY, STREAMS, Stream
from klankbord_standalone.servers import Installation

MIB = 1024**2


def kept(**what: int) -> Sequence[Stream]:
    """The topology's streams, with POSTS kept so."""
    return [replace(s, **what) if s.name == "POSTS" else s for s in STREAMS]  # type: ignore[arg-type]


async def say(installation: Installation, number: int, size: int = 10) -> None:
    async with installation.client("ingest") as client:
        for _ in range(number):
            await client.request("klankbord.post.received.v1.acme.forum", b"x" * size)


async def differences(installation: Installation, streams: Sequence[Stream]) -> list[str]:
    async with installation.client("provision") as client:
        return await check(client, streams=streams)


async def posts(installation: Installation) -> int:
    async with installation.client("operator") as client:
        return (await client.jetstream().stream_info("POSTS")).state.messages


async def test_more_is_kept_when_it_is_said_and_then_nothing_differs(
    installation: Installation,
) -> None:
    more = kept(max_age=90 * DAY, max_bytes=100 * 1024 * MIB)
    assert await differences(installation, more) == [
        "stream POSTS: max_age is 30d, and should be 90d",
        "stream POSTS: max_bytes is 20GiB, and should be 100GiB",
    ]
    (change,) = await installation.provision(streams=more)
    assert (change.kind, change.what) == ("changed", "stream POSTS")
    assert await differences(installation, more) == []


async def test_an_age_that_would_remove_events_is_not_applied_unasked(
    installation: Installation,
) -> None:
    await say(installation, 3)
    await asyncio.sleep(1.1)
    await say(installation, 2)
    head = await installation.audit_head()
    short = kept(max_age=1)  # a file cannot say so little: real ones take a day
    (change,) = await installation.provision(streams=short)
    assert change == Change(
        "kept", "stream POSTS", ("max_age 1 s would remove the 3 events that are older",)
    )
    assert await posts(installation) == 5
    assert await differences(installation, short)
    assert await installation.audit_head() == head  # nothing was done, so nothing is noted


async def test_what_else_differs_is_set_right_all_the_same(installation: Installation) -> None:
    await say(installation, 3)
    await asyncio.sleep(1.1)
    both = kept(max_age=1, max_bytes=100 * 1024 * MIB)
    changed, left = await installation.provision(streams=both)
    assert (changed.kind, left.kind) == ("changed", "kept")
    assert await posts(installation) == 3
    assert await differences(installation, both) == [
        "stream POSTS: max_age is 30d, and should be 1 s"
    ]


async def test_a_shorter_age_that_removes_nothing_is_applied(installation: Installation) -> None:
    await say(installation, 3)
    (change,) = await installation.provision(streams=kept(max_age=7 * DAY))
    assert change.kind == "changed"
    assert await posts(installation) == 3


async def test_a_size_below_what_is_there_is_not_applied_unasked(
    installation: Installation,
) -> None:
    await say(installation, 20, size=100_000)
    small = kept(max_bytes=MIB)
    (change,) = await installation.provision(streams=small)
    assert change.kind == "kept"
    assert "no new event would be taken" in change.details[0]
    (change,) = await installation.provision(streams=small, shrink=True)
    assert change.kind == "changed"
    assert await posts(installation) == 20
    async with installation.client("ingest") as client:
        answer = await client.request("klankbord.post.received.v1.acme.forum", b"x")
    assert "maximum bytes exceeded" in json.loads(answer.data)["error"]["description"]


async def test_more_than_the_server_may_keep_is_refused_with_the_setting_to_change(
    installation: Installation,
) -> None:
    with pytest.raises(ProvisionError, match=r"max_file_store.*nats\.conf"):
        await installation.provision(streams=kept(max_bytes=5 * 1024**4))
