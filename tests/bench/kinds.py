"""What reading a post costs, whatever kind of source it is heard by: verified and read, not stored.

The platforms are those of the conformance suite. What they send or answer is made beforehand, with
texts of real length, and given from memory: what is measured is our reading and no test server.
"""

import gc
import json
import statistics
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from bench.rounds import Round
from bench.sizes import Size
from bench.talk import Talk
from conformance.ear import entry_of, keys_of, source
from conformance.platform import NOW, Asked, Platform, PullPlatform, PushPlatform, StreamPlatform
from conformance.platforms.bluesky import Network
from conformance.platforms.mail import Mailbox
from conformance.platforms_found import platforms
from letters import letters
from websockets.asyncio.client import ClientConnection

from klankbord_ingest.feeds.document import FeedDocument
from klankbord_ingest.feeds.parse import parse
from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.fetch import Fetched, Fetcher
from klankbord_ingest.imap import Delivered
from klankbord_ingest.kind import Cursor, Page, Pull, Push, SourceEntry, Stream, Web
from klankbord_ingest.kinds.mail import page_of
from klankbord_ingest.outgoing import Allowed, Gate
from klankbord_ingest.web import Hosts

NAME = "kinds_slowest_us"
NAMES = (NAME,)
MOST_POSTS = 500
LEAST_READINGS = 3
FIRST_ID = 1_001
NOWHERE = "http://127.0.0.1:1"
SENT, ASKED, STREAMED = "sent", "asked for", "streamed"
LEFT_OUT = ("discord", "mastodon")
"""Kinds whose streams need a server that answers: what comes by them is read as what is asked for,
which is measured."""
SHUT = Gate(Allowed())

Read = Callable[[], Awaitable[int]]
"""Reads everything once, and gives how many posts (or interactions) it was."""


class UnheardError(RuntimeError):
    """Not everything that was said was heard, so what is measured is not what it seems."""


@dataclass(frozen=True)
class Way:
    """One way of listening to one kind."""

    name: str
    """As in `slack, sent`."""
    read: Read


class Kinds:
    """Every kind; each is prepared once."""

    def __init__(self, ways: Sequence[Way], posts: int, seconds: float) -> None:
        self._ways = ways
        self._posts = posts
        self._seconds = seconds

    async def round(self, wanted: Collection[str]) -> Round:
        """Measure every way once."""
        found = Round()
        if NAME in wanted:
            costs = {
                way.name: await cpu_us(way.read, self._posts, self._seconds) for way in self._ways
            }
            kinds = {kind for kind, _ in map(_parted, costs)}
            found.values[NAME] = max(costs.values())
            found.parts[NAME] = costs
            found.notes[NAME] = (
                f"the dearest of {len(costs)} ways of {len(kinds)} kinds; left out: the streams of "
                f"{' and '.join(LEFT_OUT)}"
            )
        return found


def table(costs: Mapping[str, float]) -> str:
    """What each way costs as a Markdown table, the dearest first.

    Args:
        costs: microseconds of processor time a post, by way.
    """
    lines = [
        f"| {' | '.join(_parted(name))} | {1e6 / us:,.0f} | {us:,.0f} |"
        for name, us in sorted(costs.items(), key=lambda item: -item[1])
    ]
    head = ["| kind | what it says is | posts/s on a core | µs/post |", "|---|---|---|---|"]
    return "\n".join([*head, *lines])


async def cpu_us(read: Read, posts: int, seconds: float) -> float:
    """Microseconds of processor time a post: the median of as many readings as fit into that time,
    and of three at the least.
    """
    spent: list[float] = []
    while len(spent) < LEAST_READINGS or sum(spent) < seconds:
        begun = time.process_time()
        await read()
        spent.append(time.process_time() - begun)
    return statistics.median(spent) / posts * 1e6


def _parted(name: str) -> tuple[str, str]:
    kind, _, how = name.partition(", ")
    return kind, how


# Preparing


async def prepared(texts: Sequence[str]) -> list[Way]:
    """Every way in which a kind of Klankbord's own is listened to, with these posts.

    Raises:
        UnheardError: a kind did not hear them all.
    """
    found: list[tuple[Platform, str, Read]] = []
    for sending in platforms(PushPlatform):
        if not sending.only_calls:
            place = sending()
            found.append((place, SENT, _sent(place, texts)))
    for answering in platforms(PullPlatform):
        asked = answering()
        found.append((asked, ASKED, await _asked(asked, texts)))
    for telling in platforms(StreamPlatform):
        if telling.kind not in LEFT_OUT:
            told = telling()
            found.append((told, STREAMED, await _streamed(told, texts)))
    alike = Counter((platform.kind, how) for platform, how, _ in found)
    ways = []
    for platform, how, read in found:
        which = f" ({type(platform).__name__})" if alike[platform.kind, how] > 1 else ""
        ways.append(Way(f"{platform.kind}, {how}{which}", read))
        if (heard := await read()) < len(texts):  # some hear the last ones before them again
            raise UnheardError(f"{ways[-1].name}: of {len(texts)} posts {heard} were heard")
    return ways


def _sent(platform: PushPlatform, texts: Sequence[str]) -> Read:
    """Requests, signed; read as the door does it."""
    entry = entry_of(platform, NOWHERE)
    assert isinstance(entry, Push)
    listed, keys = source(entry), keys_of(entry, platform.secrets)
    requests = [
        platform.signed(platform.said(platform.say(id_, text)), platform.secrets, NOW)
        for id_, text in _numbered(texts)
    ]

    async def read() -> int:
        heard = 0
        for request in requests:
            entry.verify(request, keys, NOW)
            assert entry.answer(request, keys, NOW) is None
            heard += _count(entry.read(request, listed, NOW))
        return heard

    return read


async def _asked(platform: PullPlatform, texts: Sequence[str]) -> Read:
    """Answers to what is asked for after two posts were heard already; given again in order."""
    platform.say("1", "Hello")
    platform.say("2", "Hello again")
    entry, recorder = entry_of(platform, NOWHERE), Recorder(Played(platform))
    begin: Cursor = {}
    async for page in _fetched(entry, _web(entry, platform, recorder), begin):
        begin = page.cursor or begin
    recorder.answers.clear()
    for id_, text in _numbered(texts):
        platform.say(id_, text)
    async for _ in _fetched(entry, _web(entry, platform, recorder), begin):
        pass

    async def read() -> int:
        web = _web(entry, platform, Replayer(recorder.answers))
        return sum([_count(page) async for page in _fetched(entry, web, begin)])

    return read


async def _fetched(entry: SourceEntry, web: Web, cursor: Cursor) -> AsyncGenerator[Page, None]:
    """Every page from the cursor on."""
    assert isinstance(entry, Pull)
    more = True
    while more:
        page = await entry.fetch(web, cursor, datetime.now(UTC))
        yield page
        cursor, more = page.cursor or cursor, page.more


async def _streamed(platform: StreamPlatform, texts: Sequence[str]) -> Read:
    """What is told by a stream: frames of a web socket, answers of long polls, or mails."""
    if isinstance(platform, Network):
        return await _framed(platform, texts)
    if isinstance(platform, Mailbox):
        return _mailed(len(texts))
    await _tell(platform, texts)
    async with platform.running() as base:
        entry = entry_of(platform, base)
        port = base.rpartition(":")[2]
        recorder = Recorder(Fetcher(Gate(Allowed.of([f"127.0.0.1:{port}"]))))
        await _first(entry, _web(entry, platform, recorder), len(texts))

    async def read() -> int:
        web = _web(entry, platform, Replayer(recorder.answers))
        return await _first(entry, web, len(texts))

    return read


async def _framed(platform: Network, texts: Sequence[str]) -> Read:
    await _tell(platform, texts)
    entry = entry_of(platform, "ws://127.0.0.1:1")

    async def read() -> int:
        return await _first(entry, Framed(platform.log), len(texts))

    return read


def _mailed(count: int) -> Read:
    """Mails as `import_mbox_per_s` has them, but for IMAP itself."""
    written = (mail for mail, is_somebodys in letters(2 * count) if is_somebodys)
    bodies = (mail.partition(b"\n")[2] for mail in islice(written, count))
    mails = [Delivered(uid, NOW, body) for uid, body in enumerate(bodies, start=1)]

    async def read() -> int:
        return _count(page_of(mails, None))

    return read


async def _tell(platform: StreamPlatform, texts: Sequence[str]) -> None:
    for id_, text in _numbered(texts):
        await platform.tell(platform.say(id_, text))


async def _first(entry: SourceEntry, web: Web, count: int) -> int:
    """That many of what a stream tells."""
    assert isinstance(entry, Stream)
    heard = 0
    async with aclosing(entry.stream(web, {})) as pages:
        async for page in pages:
            heard += _count(page)
            if heard >= count:
                break
    return heard


def _numbered(texts: Sequence[str]) -> list[tuple[str, str]]:
    return [(str(FIRST_ID + number), text) for number, text in enumerate(texts)]


def _count(page: Page) -> int:
    if page.refused:
        raise UnheardError(f"refused: {page.refused[0]}")
    return len(page.submissions)


# What answers from memory


class Played(Fetcher):
    """Answers as a platform does."""

    def __init__(self, platform: PullPlatform) -> None:
        super().__init__(SHUT)
        self._platform = platform

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Fetched:
        """What it answers."""
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        asked = Asked(method, parts.path, query, _lower(headers), body, NOWHERE)
        answered = self._platform.answer(asked)
        return Fetched(url, None, answered.status, _lower(answered.headers), answered.body)


class Recorder(Fetcher):
    """Has another ask, and keeps what is answered."""

    def __init__(self, asker: Fetcher) -> None:
        super().__init__(SHUT)
        self._asker = asker
        self.answers: list[Fetched] = []

    async def request(self, *given: Any, **more: Any) -> Fetched:
        """What is answered."""
        answer = await self._asker.request(*given, **more)
        self.answers.append(answer)
        return answer


class Replayer(Fetcher):
    """Gives answers in order, and asks nobody."""

    def __init__(self, answers: Sequence[Fetched]) -> None:
        super().__init__(SHUT)
        self._answers = iter(answers)

    async def request(self, *_: Any, **__: Any) -> Fetched:
        """The next answer."""
        answer = next(self._answers, None)
        if answer is None:
            raise UnheardError("more was asked than when it was recorded")
        return answer


class Framed(Web):
    """A web whose one web socket tells these frames."""

    def __init__(self, frames: Sequence[str | bytes]) -> None:
        super().__init__(Fetcher(SHUT), Hosts())
        self._frames = frames

    @asynccontextmanager
    async def websocket(self, *_: Any, **__: Any) -> AsyncGenerator[ClientConnection, None]:
        """It is connected already."""
        yield cast(ClientConnection, self._told())

    async def _told(self) -> AsyncGenerator[str | bytes, None]:
        for frame in self._frames:
            yield frame


class ReaderHere(FeedReader):
    """Does what the feed reader's process and ours do, without a process and a pipe between."""

    def read(self, body: bytes) -> FeedDocument:
        """Read a feed."""
        written = parse(body).model_dump_json(exclude_defaults=True)
        return FeedDocument.model_validate(json.loads(written))


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _web(entry: SourceEntry, platform: Platform, fetcher: Fetcher) -> Web:
    return Web(fetcher, Hosts(), keys_of(entry, platform.secrets), ReaderHere())


@asynccontextmanager
async def kinds(size: Size, seed: int) -> AsyncGenerator[Kinds, None]:
    """Nothing has to be started. The collector passes over what was prepared: no service has it."""
    talk = Talk(seed)
    texts = [talk.text(number) for number in range(min(size.texts, MOST_POSTS))]
    ways = await prepared(texts)
    gc.collect()
    gc.freeze()
    try:
        yield Kinds(ways, len(texts), size.kind_seconds)
    finally:
        gc.unfreeze()
