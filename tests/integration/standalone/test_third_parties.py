"""What a hostile third party tries on a real server; and keys that come and go there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from world import eventually

from klankbord_runtime.permissions import PROVISION, Quotas
from klankbord_runtime.provision import NANOSECONDS, apply
from klankbord_standalone import admission
from klankbord_standalone.child import ServerFailedError
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.explained import UsageError
from klankbord_standalone.nats_server import NatsServer
from klankbord_standalone.rotation import drop_old_seeds, take_new_seeds
from klankbord_standalone.servers import Installation
from klankbord_standalone.subscribers import (
    finish_rotation,
    invite,
    known,
    readings,
    remove,
    rotate,
    wanted,
)

SUBJECT = "klankbord.feedback.routed.v1.*.product"
QUOTAS = Quotas(connections=2, subscriptions=20, payload=1024, requests=2, batch=5, in_hand=8)
PRODUCT = wanted("product", (SUBJECT,), QUOTAS)
REFUSED = "Authorization Violation"


@pytest.fixture
async def here(place: Path) -> AsyncIterator[Installation]:
    """A NATS that takes new users as the embedded one does, and 30 events for product."""
    credentials = Credentials.create(place / "credentials")
    server = NatsServer(place / "nats", credentials.authorization())
    await server.start()

    async def welcome() -> None:
        while True:
            if (current := credentials.authorization()) != server.authorization:
                await server.admit(current)
            await asyncio.sleep(0.05)

    welcoming = asyncio.create_task(welcome())
    installation = Installation(server.url, "", credentials)
    try:
        async with installation.client(PROVISION) as client:
            await apply(client)
        await say(installation, 30)
        yield installation
    finally:
        welcoming.cancel()
        await asyncio.gather(welcoming, return_exceptions=True)
        await server.stop()


async def say(here: Installation, count: int) -> None:
    async with here.client("routing") as client:
        for number in range(count):
            subject = "klankbord.feedback.routed.v1.forum.product"
            await client.jetstream().publish(subject, str(number).encode())


class Guest:
    """A third party that keeps what the server complains about."""

    def __init__(self, here: Installation) -> None:
        self._here = here
        self.told: list[str] = []

    def was_told(self, words: str) -> bool:
        return any(words in told for told in self.told)

    async def _note(self, error: Exception) -> None:
        self.told.append(str(error).lower())

    @asynccontextmanager
    async def connected(self, seed: str | None = None) -> AsyncIterator[Client]:
        file = self._here.seed_file(PRODUCT.user)
        client = await nats.connect(
            self._here.nats_url,
            nkeys_seed_str=seed or file.read_text("ascii").strip(),
            inbox_prefix=f"_INBOX_{PRODUCT.user}",
            allow_reconnect=False,
            error_cb=self._note,
        )
        try:
            yield client
        finally:
            await client.close()


async def read(client: Client, count: int, *, acknowledge: bool = True) -> list[int]:
    reading = await client.jetstream().pull_subscribe_bind(PRODUCT.user, PRODUCT.stream)
    messages = await reading.fetch(count, timeout=2)
    if acknowledge:
        await asyncio.gather(*(message.ack_sync() for message in messages))
    return [int(message.data) for message in messages]


async def test_it_is_held_to_its_quotas(here: Installation) -> None:
    await invite(here, PRODUCT, None)
    guest = Guest(here)
    async with guest.connected(), guest.connected():
        with pytest.raises(NatsError, match="maximum account active connections exceeded"):
            async with guest.connected():
                pass
    async with guest.connected() as client:
        for number in range(QUOTAS.subscriptions + 5):
            with suppress(NatsError):  # by then the connection is closed
                await client.subscribe(f"_INBOX_{PRODUCT.user}.{number}")
        await eventually(lambda: client.is_closed)
    async with guest.connected() as client:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{PRODUCT.stream}.{PRODUCT.user}"
        await client.publish(subject, b" " * (QUOTAS.payload + 1))
        await eventually(lambda: client.is_closed)
    async with guest.connected() as client:
        assert await read(client, QUOTAS.batch + 1) == [], "more than one request may ask for"
        assert await read(client, 5, acknowledge=False) == [0, 1, 2, 3, 4]
        assert await read(client, 5, acknowledge=False) == [5, 6, 7], "no more in hand"


async def test_no_request_waits_until_nats_forgets_the_way_back(here: Installation) -> None:
    """After two minutes its answer would arrive nowhere; tried so with nats-server 2.15.1."""
    await invite(here, PRODUCT, None)
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{PRODUCT.stream}.{PRODUCT.user}"
    async with Guest(here).connected() as client:
        answers = await client.subscribe(reply := f"_INBOX_{PRODUCT.user}.answers")
        for seconds in (61, 60):
            request = json.dumps({"batch": 1, "expires": seconds * NANOSECONDS}).encode()
            await client.publish(subject, request, reply=reply)
        refusal, event = [await answers.next_msg(timeout=5) for _ in range(2)]
    assert "Exceeded MaxRequestExpires" in (refusal.headers or {})["Description"]
    assert event.data == b"0"


async def test_it_says_nothing_and_reads_nothing_else(here: Installation) -> None:
    await invite(here, PRODUCT, None)
    guest = Guest(here)
    async with guest.connected() as client:
        for subject in (
            "klankbord.feedback.routed.v1.forum.product",
            "klankbord.member.erased.v1.forum.ingest",
            "$JS.API.STREAM.SNAPSHOT.MEMBERS",
            "$JS.API.STREAM.RESTORE.MEMBERS",
            "$JS.API.STREAM.MSG.GET.MEMBERS",
            "$JS.API.DIRECT.GET.MEMBERS",
            "$JS.API.CONSUMER.CREATE.MEMBERS",
            f"$JS.API.CONSUMER.DELETE.{PRODUCT.stream}.{PRODUCT.user}",
            f"$JS.API.CONSUMER.RESET.{PRODUCT.stream}.{PRODUCT.user}",
            "$JS.API.CONSUMER.MSG.NEXT.ROUTING.metrics-feedback",
        ):
            guest.told.clear()
            await client.publish(subject, b"{}", reply=client.new_inbox())
            await client.flush()
            denied = f'permissions violation for publish to "{subject.lower()}"'
            await eventually(partial(guest.was_told, denied))
        for subject in ("klankbord.>", ">", "_INBOX_provision.>", "$JS.EVENT.>"):
            guest.told.clear()
            await client.subscribe(subject)
            await client.flush()
            await eventually(partial(guest.was_told, "violation for subscription"))
        assert await read(client, 5) == [0, 1, 2, 3, 4]


async def test_it_goes_on_after_a_pause_and_is_out_once_it_is_removed(here: Installation) -> None:
    await invite(here, PRODUCT, None)
    guest, seed = Guest(here), here.seed_file(PRODUCT.user).read_text("ascii").strip()
    async with guest.connected() as client:
        assert await read(client, 5) == [0, 1, 2, 3, 4]
    await say(here, 5)
    async with guest.connected() as client:
        assert await read(client, 5) == [5, 6, 7, 8, 9]
        (told,) = await readings(here)
        assert (told.subscriber, told.waiting, told.in_hand) == (PRODUCT, 25, 0)
        await remove(here, known(here, "product"))
        await eventually(lambda: client.is_closed)
    with pytest.raises(NatsError, match=REFUSED):
        async with guest.connected(seed):
            pass
    assert await readings(here) == []
    assert not list(here.credentials.folder.glob("subscriber-*"))
    with pytest.raises(UsageError, match="there is no subscriber"):
        known(here, "product")


async def test_another_key_reads_on_and_the_old_one_is_refused(
    here: Installation, tmp_path: Path
) -> None:
    await invite(here, PRODUCT, None)
    guest, file = Guest(here), here.seed_file(PRODUCT.user)
    first = file.read_text("ascii").strip()
    async with guest.connected() as client:
        assert await read(client, 5) == [0, 1, 2, 3, 4]
        copy = await rotate(here, PRODUCT, tmp_path / "new.nk", _quietly, keep_old=False)
        await eventually(lambda: client.is_closed)
    assert copy.read_text() == file.read_text() != first
    with pytest.raises(NatsError, match=REFUSED):
        async with guest.connected(first):
            pass
    async with guest.connected() as client:
        assert await read(client, 5) == [5, 6, 7, 8, 9]

    second = file.read_text("ascii").strip()
    await rotate(here, PRODUCT, None, _quietly, keep_old=True)
    async with guest.connected(second) as old, guest.connected() as new:
        assert await read(old, 2) == [10, 11]
        assert await read(new, 2) == [12, 13]
    with pytest.raises(UsageError, match="is good still"):
        await rotate(here, PRODUCT, None, _quietly, keep_old=True)
    await finish_rotation(here, PRODUCT, _quietly)
    with pytest.raises(NatsError, match=REFUSED):
        async with guest.connected(second):
            pass


async def test_quotas_are_changed_by_adding_it_again(here: Installation) -> None:
    await invite(here, PRODUCT, None)
    more = replace(PRODUCT, quotas=replace(QUOTAS, batch=20, in_hand=50))
    await invite(here, more, None)
    async with Guest(here).connected() as client:
        assert len(await read(client, 20)) == 20
    assert known(here, "product") == more
    with pytest.raises(UsageError, match="0 batch is no quota"):
        wanted("product", (SUBJECT,), Quotas(batch=0))


def _quietly(_: str) -> None:
    """Nobody is told."""


async def test_an_existing_nats_is_told_first_and_each_step_may_be_given_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "PATIENCE", 0.5)
    credentials = Credentials.create(place / "credentials")
    server = NatsServer(place / "nats", credentials.authorization())
    await server.start()
    here = Installation(server.url, "", credentials)
    try:
        old = here.seed_file("routing").read_text("ascii").strip()
        with pytest.raises(ServerFailedError, match=r"let it include .*auth\.conf"):
            await take_new_seeds(here, ["routing"], _quietly)
        assert here.seed_file("routing").read_text("ascii").strip() == old, "nothing is used yet"
        both = credentials.authorization()
        assert (credentials.folder / "auth.conf").read_text() == both
        await server.admit(both)
        await take_new_seeds(here, ["routing"], _quietly)
        assert credentials.authorization() == both, "NATS need not be told again"
        async with here.client("routing", seed=old), here.client("routing"):
            pass
        with pytest.raises(ServerFailedError, match="still lets a key of routing in"):
            await drop_old_seeds(here, ["routing"], _quietly)
        async with here.client("operator", reconnect=True) as lasting:
            both = credentials.authorization()
            credentials.make_next_seed("operator")
            credentials.take_next_seed("operator")
            credentials.drop_old_seed("operator")
            assert credentials.authorization() != both
            await server.admit(credentials.authorization())
            await eventually(lambda: lasting.is_connected and lasting.stats["reconnects"])
        with pytest.raises(NatsError, match=REFUSED):
            async with here.client("routing", seed=old):
                pass
        async with here.client("routing"):
            pass
    finally:
        await server.stop()
