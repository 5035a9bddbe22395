"""`klankbord tail` against the real NATS."""

import asyncio
from contextlib import aclosing

import pytest
from nats.js.api import DeliverPolicy

from klankbord_standalone import tail as module
from klankbord_standalone.explained import UsageError
from klankbord_standalone.servers import Installation
from klankbord_standalone.tail import Since, tail

QUIET = 10.0
POSTS = "klankbord.post.received.>"
ALL = Since(DeliverPolicy.ALL)


async def test_a_tail_of_a_quiet_system_waits(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So short a wait ends now with nats-py's own timeout, now with the builtin one."""
    monkeypatch.setattr(module, "WAIT", 0.01)
    await installation.provision()
    async with aclosing(tail(installation, POSTS, ALL, None, follow=True)) as events:
        with pytest.raises(TimeoutError) as ended:
            async with asyncio.timeout(QUIET) as patience:
                await anext(events)
    assert patience.expired(), ended


@pytest.mark.parametrize("name", ["a b", "a.b", "*", ""])
async def test_a_durable_name_that_can_be_none_is_refused(
    installation: Installation, name: str
) -> None:
    with pytest.raises(UsageError, match="cannot be a name"):
        await anext(tail(installation, POSTS, ALL, name, follow=False))


async def test_a_durable_name_keeps_the_place_in_one_subject(installation: Installation) -> None:
    await installation.provision()
    one = "klankbord.post.received.v1.acme.>"
    assert [event async for event in tail(installation, one, ALL, "mine", follow=False)] == []
    with pytest.raises(UsageError, match=r"mine keeps the place in klankbord.*acme"):
        await anext(tail(installation, POSTS, ALL, "mine", follow=False))
