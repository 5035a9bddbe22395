"""What a kind asks its platform with: guarded, patient, and plain about what went wrong."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException

from klankbord_ingest.feeds.document import FeedDocument, UnreadableFeedError
from klankbord_ingest.feeds.worker import FeedReader
from klankbord_ingest.fetch import Fetched, Fetcher, shown
from klankbord_ingest.manners import Limit, limit_of
from klankbord_ingest.outgoing import FetchError
from klankbord_ingest.server_sent import ServerSent, ServerSentReader, TooLargeError

MAX_FRAME = 2 * 1024 * 1024
"""The largest message of a web socket."""
MAX_DEPTH = 100
"""How deep JSON may nest."""
DEFAULT_WAIT = timedelta(minutes=1)
"""How long a server that only says `too many` is left alone."""

Params: TypeAlias = Mapping[str, str | int | Sequence[str]]


class LaterError(FetchError):
    """The platform wishes to be left alone for a while: too_many_requests or unavailable."""

    def __init__(self, code: str, why: str, wish: timedelta | None) -> None:
        """Say why, and for how long."""
        super().__init__(code, why)
        self.wish = wish


class GoneError(FetchError):
    """What is asked for is gone for good (410): nobody asks again until the source is changed."""


class NotFoundError(FetchError):
    """There is no such thing (404), or nobody may know that there is."""


class RefusedTokenError(FetchError):
    """The platform does not let this token in (401), or not to this (403)."""


@dataclass
class Hosts:
    """What hosts said of how often they may be asked; one for all sources of a process."""

    until: dict[str, datetime] = field(default_factory=dict)
    """When each may be asked again, of those that asked to be left alone."""

    def check(self, host: str, now: datetime) -> None:
        """Ask nothing of a host that wishes to be left alone.

        Raises:
            LaterError: it does.
        """
        until = self.until.get(host)
        if until is not None and now < until:
            why = f"{host} asked to be left alone until {until:%H:%M:%S} UTC"
            raise LaterError("too_many_requests", why, until - now)

    def heard(self, host: str, limit: Limit, now: datetime) -> None:
        """Keep what a host said."""
        if limit.wait:
            self.until[host] = now + limit.wait
        else:
            self.until.pop(host, None)


class Web:
    """The web as one source sees it, for one round of asking.

    Every method raises `FetchError`, or one of its kinds above, with words for the operator.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        hosts: Hosts,
        secrets: Mapping[str, Sequence[bytes]] | None = None,
        reader: FeedReader | None = None,
        address: str | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._hosts = hosts
        self._secrets = secrets or {}
        self._reader = reader
        self.address = address
        """Where the platform reaches this source from outside; None where nobody said."""
        self.rate_left: int | None = None
        """How many more requests the platform takes for now, where its last answer says so."""
        self.refused_tokens = 0
        """How many of the tokens were refused in this round: then the next one is taken."""

    @property
    def token(self) -> str:
        """The secret of the role `token`; empty where there is none."""
        return self.secret("token")

    def secret(self, role: str) -> str:
        """The newest secret of a role that was not refused yet; empty where there is none."""
        keys = self._secrets.get(role, ())
        if not keys:
            return ""
        return keys[min(self.refused_tokens, len(keys) - 1)].decode()

    def take_next_token(self) -> bool:
        """Ask with the second secret of each role from now on; False where there is none."""
        self.refused_tokens += 1
        return any(len(keys) > self.refused_tokens for keys in self._secrets.values())

    async def get(
        self,
        url: str,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Fetched:
        """Ask for something; 2xx and 304 are answers, the rest is raised.

        Redirects are followed, at most three, each checked anew; `Authorization` and other
        headers given here stay behind when one leads to another host.

        Args:
            url: an http or https address.
            params: what to add to its query.
            headers: request headers to add, such as `Authorization`.
            seconds: how long it may take, where that is longer than usual, as in a long poll.
            max_bytes: how large the answer may be, where it is larger than usual (2 MiB).
        """
        return await self._ask("GET", url, params, headers, b"", seconds, max_bytes)

    async def get_json(
        self,
        url: str,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Any:
        """The JSON that is answered."""
        return json_of(await self.get(url, params, headers, seconds=seconds, max_bytes=max_bytes))

    async def post(
        self,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        document: Any = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> Fetched:
        """Send a form, or a document as JSON; 2xx is an answer, the rest is raised."""
        if form is not None:
            body, media_type = str(httpx.QueryParams(form)).encode(), FORM
        else:
            body, media_type = json.dumps(document).encode(), "application/json"
        given = {"Content-Type": media_type, **(headers or {})}
        return await self._ask("POST", url, None, given, body, seconds)

    async def events(
        self,
        url: str,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[ServerSent | None, None]:
        """Server-sent events as they come; None for a comment, which is a sign of life."""
        host = self._before(url)
        given = {"Accept": "text/event-stream", **(headers or {})}
        async with self._fetcher.stream(_with(url, params), given) as (head, chunks):
            self._judge(head, host)
            reader = ServerSentReader()
            try:
                async for chunk in chunks:
                    for event in reader.read(chunk):
                        yield event
            except TooLargeError as error:
                raise FetchError("too_large", f"{shown(url)}: {error}") from error

    @asynccontextmanager
    async def websocket(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] = (),
        max_bytes: int = MAX_FRAME,
    ) -> AsyncGenerator[ClientConnection, None]:
        """A web socket, connected and guarded; see https://websockets.readthedocs.io."""
        host = self._before(url)
        is_tls = url.startswith("wss:")
        if not is_tls and not url.startswith("ws:"):
            raise FetchError("bad_address", f"{shown(url)!r} is no ws or wss address")
        port = urlsplit(url).port or (443 if is_tls else 80)
        sock = await self._fetcher.gate.connect(host, port)
        try:
            async with _Direct(
                url,
                sock=sock,
                proxy=None,
                ssl=self._fetcher.gate.tls if is_tls else None,
                additional_headers=dict(headers or {}),
                user_agent_header=self._fetcher.user_agent,
                subprotocols=list(subprotocols) or None,  # type: ignore[arg-type]
                max_size=max_bytes,
                open_timeout=20,
                ping_interval=20,
                ping_timeout=60,
            ) as socket:
                yield socket
        except InvalidStatus as error:
            response = error.response
            given = {name.lower(): value for name, value in response.headers.raw_items()}
            self._judge(
                Fetched(url, None, response.status_code, given, bytes(response.body or b"")), host
            )
            raise FetchError("bad_answer", f"{shown(url)} opened no web socket: {error}") from error
        except (WebSocketException, InvalidHandshake, InvalidURI, OSError, TimeoutError) as error:
            # what is no address is told with its query
            said = error.msg if isinstance(error, InvalidURI) else str(error)
            why = f"{shown(url)}: the web socket broke: {said or type(error).__name__}"
            raise FetchError("unreachable", why) from error
        finally:
            sock.close()

    async def read_feed(self, body: bytes) -> FeedDocument:
        """The feed that a body holds, read in a process of its own.

        Raises:
            FetchError: it is none, or takes more time or memory to read than a feed may.
        """
        assert self._reader is not None
        try:
            return await asyncio.to_thread(self._reader.read, body)
        except UnreadableFeedError as error:
            raise FetchError(error.code, str(error)) from error

    def without_secrets(self, text: str) -> str:
        """The same text, for a log or a table, with no secret of the source in it."""
        for keys in self._secrets.values():
            for key in keys:
                text = text.replace(key.decode("utf-8", "replace"), "…")
        return text

    async def open(
        self, host: str, port: int, ports: frozenset[int], *, is_tls: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection for a protocol of lines, such as IMAP's.

        Args:
            host: a name or an address.
            port: its port.
            ports: the protocol's own ports, which need no permission.
            is_tls: whether it speaks TLS from the start; the certificate is checked.
        """
        self._hosts.check(host, datetime.now(UTC))
        tls: ssl.SSLContext | None = self._fetcher.gate.tls if is_tls else None
        return await self._fetcher.gate.open(host, port, ports, tls)

    async def start_tls(self, writer: asyncio.StreamWriter, host: str) -> None:
        """Go on in TLS on a connection that `open` made; the certificate is checked."""
        await self._fetcher.gate.start_tls(writer, host)

    async def _ask(
        self,
        method: str,
        url: str,
        params: Params | None,
        headers: Mapping[str, str] | None,
        body: bytes,
        seconds: float | None,
        max_bytes: int | None = None,
    ) -> Fetched:
        host = self._before(url)
        given = {"Accept": "application/json", **(headers or {})}
        asked = _with(url, params)
        fetched = await self._fetcher.request(method, asked, given, body, seconds, max_bytes)
        self._judge(fetched, host)
        return fetched

    def _before(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise FetchError("bad_address", f"{shown(url)!r} is no web address: {error}") from None
        self._hosts.check(host, datetime.now(UTC))
        return host

    def _judge(self, answer: Fetched, host: str) -> None:
        """Keep what the answer says of limits, and raise what is no answer to what was asked."""
        now = datetime.now(UTC)
        limit = limit_of(answer.status, answer.headers, now)
        is_later = answer.status in _LATER or (answer.status == HTTPStatus.FORBIDDEN and limit.wait)
        if is_later and limit.wait is None and answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            limit = Limit(limit.left, DEFAULT_WAIT)
        self._hosts.heard(host, limit, now)
        self.rate_left = limit.left if limit.left is not None else self.rate_left
        status = answer.status
        if status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.NOT_MODIFIED:
            return
        known = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown status"
        why = f"{shown(answer.url)} answered {status} ({known}){_said(answer)}"
        if is_later:
            code = "unavailable" if status in _UNAVAILABLE else "too_many_requests"
            raise LaterError(code, why, limit.wait)
        match status:
            case HTTPStatus.UNAUTHORIZED:
                raise RefusedTokenError("token_refused", f"{why}: the token is wrong or expired")
            case HTTPStatus.FORBIDDEN:
                raise RefusedTokenError("not_permitted", f"{why}: the token lacks the permission")
            case HTTPStatus.NOT_FOUND:
                raise NotFoundError("not_found", why)
            case HTTPStatus.GONE:
                raise GoneError("gone", f"{why}: it is gone for good; change or remove the source")
        raise FetchError("bad_answer", why)


class _Direct(connect):
    """A web socket's connection that is led nowhere else: the gate let through this address."""

    def process_redirect(self, exc: Exception) -> Exception:
        """A redirect is an answer like any other that opens nothing."""
        return exc


FORM = "application/x-www-form-urlencoded"
_UNAVAILABLE = frozenset(
    {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
)
_LATER = _UNAVAILABLE | {HTTPStatus.TOO_MANY_REQUESTS}


AnswerT = TypeVar("AnswerT")


async def first_that_fits(
    sizes: Sequence[int], ask: Callable[[int], Awaitable[AnswerT]]
) -> tuple[AnswerT, int]:
    """The first answer that is not too large to be read, and of how many items it is.

    Args:
        sizes: for how many items to ask, the most first.
        ask: asks for so many.

    Raises:
        FetchError: even the smallest answer is too large, or there is none.
    """
    *larger, smallest = sizes
    for size in larger:
        try:
            return await ask(size), size
        except FetchError as error:
            if error.code != "too_large":
                raise
    return await ask(smallest), smallest


def json_of(fetched: Fetched) -> Any:
    """The JSON of an answer.

    Raises:
        FetchError: it is none, or nests deeper than is read.
    """
    try:
        document = json.loads(fetched.body)
    except (ValueError, RecursionError) as error:
        why = f"{shown(fetched.url)} answered no JSON: {error}"
        raise FetchError("no_json", why) from error
    if _is_deeper(document, MAX_DEPTH):
        why = f"{shown(fetched.url)} answered JSON that nests deeper than {MAX_DEPTH}"
        raise FetchError("too_deep", why)
    return document


def _is_deeper(document: Any, depth: int) -> bool:
    level = [document]
    for _ in range(depth):
        level = [
            part
            for value in level
            for part in (
                value.values()
                if isinstance(value, dict)
                else value
                if isinstance(value, list)
                else ()
            )
            if isinstance(part, dict | list)
        ]
        if not level:
            return False
    return True


def _with(url: str, params: Params | None) -> str:
    if not params:
        return url
    given = {name: value for name, value in params.items() if value != ""}
    try:
        return str(httpx.URL(url).copy_merge_params(given))
    except (httpx.InvalidURL, UnicodeError) as error:
        raise FetchError("bad_address", f"{shown(url)!r} is no web address: {error}") from error


def _said(answer: Fetched) -> str:
    """What the platform says of its own refusal: the message of a JSON error."""
    try:
        document = json.loads(answer.body[:10_000])
    except (ValueError, RecursionError):
        return ""
    if isinstance(document, dict) and isinstance(document.get("error"), dict):
        document = document["error"]  # as Google and Meta nest it
    if not isinstance(document, dict):
        return ""
    names = ("message", "error_description", "error_message", "description", "error", "msg")
    named = (document.get(name) for name in names)
    told = next((text for text in named if isinstance(text, str) and text), "")
    return f" and says {told[:200]!r}" if told else ""
