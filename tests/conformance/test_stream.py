"""What every kind that keeps a connection promises."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from urllib.parse import urlsplit

import pytest
from conformance.ear import Ear, entry_of, web_of
from conformance.platform import StreamPlatform
from conformance.platforms_found import at

from klankbord_ingest.kind import FetchError, Stream

PATIENCE = 10.0


class Place:
    """A source to which a connection is kept."""

    def __init__(self, platform: StreamPlatform, base: str) -> None:
        self.platform = platform
        self.base = base
        self.ear = Ear()
        self.connected = asyncio.Event()
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Connect with the cursor that is kept, as a process that was just started."""
        self.connected.clear()
        self._task = asyncio.create_task(self._listen())
        async with asyncio.timeout(PATIENCE):
            await self.connected.wait()

    async def _listen(self) -> None:
        entry = entry_of(self.platform, self.base)
        assert isinstance(entry, Stream)
        port = urlsplit(self.base).port
        assert port is not None
        with suppress(FetchError):
            async with aclosing(
                entry.stream(web_of(entry, self.platform, [port]), self.ear.cursor)
            ) as pages:
                async for page in pages:
                    self.ear.hear(page)
                    self.connected.set()
                    self._heard.set()

    async def until(self, standing: dict[str, str]) -> None:
        """Wait until these posts stand, among others."""
        async with asyncio.timeout(PATIENCE):
            while not standing.items() <= self.ear.standing.items():
                self._heard.clear()
                await self._heard.wait()

    async def until_gone(self, post: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while post in self.ear.standing or post not in self.ear.histories:
                self._heard.clear()
                await self._heard.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ended(self) -> None:
        assert self._task is not None
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(self._task, return_exceptions=True)

    async def say(self, id_: str, text: str) -> dict[str, str]:
        await self.platform.tell(self.platform.say(id_, text))
        return {self.platform.native_id(id_): text}


@pytest.fixture
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    platform: StreamPlatform = request.param()
    async with platform.running() as base:
        place = Place(platform, base)
        await place.listen()
        yield place
        await place.stop()


@at(StreamPlatform)
async def test_what_is_said_is_heard_once(place: Place) -> None:
    for number in range(1, 21):
        await place.until(await place.say(str(1000 + number), f"Hello {number}"))
    assert place.ear.new == 20


@at(StreamPlatform, lambda platform: platform.edits)
async def test_an_edit_is_a_version_of_the_same_post(place: Place) -> None:
    await place.until(await place.say("1001", "Hello"))
    await place.platform.tell(place.platform.edit("1001", "Hello again"))
    await place.until({place.platform.native_id("1001"): "Hello again"})


@at(StreamPlatform, lambda platform: platform.deletes)
async def test_a_delete_takes_the_post_that_it_names(place: Place) -> None:
    await place.until(await place.say("1001", "Hello"))
    await place.platform.tell(place.platform.delete("1001"))
    await place.until_gone(place.platform.native_id("1001"))


@at(StreamPlatform)
async def test_a_bad_item_hinders_no_other(place: Place) -> None:
    await place.platform.spoil()
    await place.until(await place.say("1001", "Hello"))
    assert place.ear.refused


@at(StreamPlatform)
async def test_after_a_broken_connection_it_goes_on_where_it_stopped(place: Place) -> None:
    await place.until(await place.say("1001", "Hello 1"))
    await place.platform.break_off()
    await place.ended()
    missed = await place.say("1002", "Hello 2")
    await place.listen()
    if place.platform.remembers:
        await place.until(missed)
    await place.until(await place.say("1003", "Hello 3"))
    assert place.ear.new == len(place.ear.standing) == 3 if place.platform.remembers else 2
