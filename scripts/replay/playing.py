"""What plays the platform while recorded payloads are read: a source, a request, an answer."""

import json
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from scripts.replay.expectations import expectation_of
from scripts.replay.tally import UnreadError
from websockets.asyncio.server import ServerConnection, serve

from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.fetch import Fetched, Fetcher
from klankbord_ingest.kind import FetchError, Page, Push, Request, Source
from klankbord_ingest.kinds import installed
from klankbord_ingest.outgoing import Allowed, Gate
from klankbord_ingest.server_sent import ServerSent
from klankbord_ingest.sources import source_of
from klankbord_ingest.web import Hosts, Params, Web
from klankbord_schemas.community import Community

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""When all of it is heard."""
COMMUNITY = Community(slug="replay", name="Replay", time_zone="UTC", languages=("en",))


@dataclass(frozen=True)
class File:
    """One file of the payloads."""

    path: Path
    name: str
    """Where it lies in its folder."""

    @property
    def body(self) -> bytes:
        """All of it."""
        return self.path.read_bytes()

    @property
    def text(self) -> str:
        """All of it as text."""
        return self.path.read_text("utf-8")


def source_of_kind(kind: str, **fields: Any) -> Source:
    """A source of that kind, as `klankbord.yaml` might list it.

    Raises:
        UnreadError: no such kind is installed.
    """
    known = installed().get(kind)
    if known is None:
        raise UnreadError(f"no kind {kind} here")
    said = {"kind": kind, "name": f"replay-{kind}", "community": COMMUNITY.slug, **fields}
    return source_of(known.model_validate(said), COMMUNITY)


def pushed(
    source: Source,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    path: str = "",
    method: str = "POST",
) -> Page:
    """What a request says that is taken to be signed.

    Raises:
        klankbord_ingest.kind.RefusedError: nothing that the platform sends.
    """
    assert isinstance(source.entry, Push)
    given = {"content-type": "application/json"}
    given |= {name.lower(): value for name, value in (headers or {}).items()}
    fields = [(name.encode(), value.encode()) for name, value in given.items()]
    request = Request(method, path, {}, fields, body)
    if source.entry.answer(request, {}, NOW) is not None:
        return Page(passed_over={"handshake": 1})
    return source.entry.read(request, source, NOW)


class Recorded(Fetcher):
    """Answers with what was recorded, and asks nobody."""

    def __init__(self, answer: Callable[[str, str], Fetched]) -> None:
        super().__init__(_SHUT)
        self._answer = answer

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],  # noqa: ARG002  the signature is Fetcher's
        body: bytes = b"",  # noqa: ARG002
        seconds: float | None = None,  # noqa: ARG002
        max_bytes: int | None = None,  # noqa: ARG002
    ) -> Fetched:
        """What was answered to that method and address."""
        return self._answer(method, url)


_SHUT = Gate(Allowed())


def answering(body: bytes, *, reader: FeedReader | None = None) -> Web:
    """A web that answers everything with this body."""
    return _web(lambda _, url: _answer(url, body), reader)


def answering_at(lists: Mapping[str, Any]) -> Web:
    """A web that answers these addresses, by how their paths end, and nothing else."""

    def answer(_: str, url: str) -> Fetched:
        path = urlsplit(url).path
        found = next((value for end, value in lists.items() if path.endswith(end)), None)
        return _answer(url, json.dumps(found).encode(), 404 if found is None else 200)

    return _web(answer)


class Streaming(Web):
    """A web whose streams bring these events, and then end."""

    def __init__(self, web: Web, events: Iterable[ServerSent]) -> None:
        self.__dict__.update(web.__dict__)
        self._events = list(events)

    async def events(
        self,
        url: str,  # noqa: ARG002  the signature is Web's
        params: Params | None = None,  # noqa: ARG002
        headers: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> AsyncGenerator[ServerSent | None, None]:
        """What was recorded."""
        for event in self._events:
            yield event


@asynccontextmanager
async def socket_of(frames: Iterable[bytes]) -> AsyncGenerator[tuple[str, Web], None]:
    """A real web socket on this machine that sends these frames and closes, and who may ask it."""

    async def send(socket: ServerConnection) -> None:
        for frame in frames:
            await socket.send(frame)

    async with serve(send, "127.0.0.1", 0) as server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield f"ws://{place}", Web(Fetcher(Gate(Allowed.of([place]))), Hosts())


async def to_its_end(pages: AsyncGenerator[Page, None]) -> AsyncGenerator[Page, None]:
    """The pages of a stream, whose end is none of the payload's faults."""
    try:
        async for page in pages:
            yield page
    except FetchError as error:
        if error.code not in {"ended", "unreachable"}:
            raise


def _answer(url: str, body: bytes, status: int = 200) -> Fetched:
    return Fetched(url, None, status, {"content-type": "application/json"}, body)


def _web(answer: Callable[[str, str], Fetched], reader: FeedReader | None = None) -> Web:
    return Web(Recorded(answer), Hosts(), {"token": [b"replayed-token"]}, reader)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files of a folder over HTTP, with an ETag and the headers that a file asks for."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Serve a file, or say that it is as it was."""
            body = (folder / unquote(self.path.partition("?")[0]).lstrip("/")).read_bytes()
            etag = f'"{sha256(body).hexdigest()}"'
            is_known = self.headers["If-None-Match"] == etag
            expected = expectation_of(body)
            self.send_response(304 if is_known else 200)
            for name, value in (expected.headers if expected else {}).items():
                self.send_header(name, value)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(0 if is_known else len(body)))
            self.end_headers()
            if not is_known:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads a line per request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def address_of(home: str, file: File) -> str:
    """Where a file is served."""
    return home + quote(file.name)


def asking(home: str, reader: FeedReader) -> Web:
    """A web that asks that local server, through the same guard as any other."""
    place = home.removeprefix("http://").rstrip("/")
    return Web(Fetcher(Gate(Allowed.of([place]))), Hosts(), reader=reader)
