"""Outgoing HTTP, for addresses that strangers may choose: feeds, and what they redirect to.

Where a connection may lead is the gate's to say (`outgoing.py`). A hostile server must not keep us
waiting or fill our memory either: each redirect is checked again, and size and time are capped.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urljoin

import httpcore
import httpx

from klankbord_ingest.outgoing import CheckedBackend, FetchError, Gate

MAX_BYTES = 2 * 1024 * 1024
"""The largest body that is read, counted after decompression."""
MAX_SECONDS = 10.0
"""The longest a fetch may take, from the first name look-up to the last byte."""
HEAD_SECONDS = 30.0
"""The longest until a stream begins, from the first name look-up to the end of its head."""
SILENCE_SECONDS = 120.0
"""A stream of which nothing came for so long, not even a heartbeat, is taken to be dead."""
MAX_ERROR_BYTES = 64 * 1024
"""How much is read of an answer that is an error: it may say why."""
MAX_REDIRECTS = 3
SCHEMES = frozenset({"http", "https"})
FEEDS = "application/atom+xml, application/rss+xml, application/feed+json, */*;q=0.5"

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PERMANENT = frozenset({301, 308})


@dataclass(frozen=True)
class Fetched:
    """What a server answered after redirects."""

    url: str
    """The address that answered."""
    moved_to: str | None
    """The address to ask from now on, where the server says that it moved for good."""
    status: int
    headers: Mapping[str, str]
    """Header fields by their lower-case names."""
    body: bytes
    """The body, decompressed; of an error only the beginning."""


def user_agent(contact: str = "") -> str:
    """How Klankbord names itself to whom it asks, with a way to reach whoever runs it."""
    return f"Klankbord/0.1 (+{contact})" if contact else "Klankbord/0.1"


class Fetcher:
    """Asks addresses that the gate lets through."""

    def __init__(
        self,
        gate: Gate,
        user_agent: str = user_agent(),
        max_seconds: float = MAX_SECONDS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.gate = gate
        self.user_agent = user_agent
        self._backend = CheckedBackend(gate)
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Fetched:
        """Fetch one document.

        Args:
            url: an http or https address.
            headers: request header fields to add, such as `If-None-Match`.

        Raises:
            FetchError: the address is not allowed, or the server did not give a usable answer.
        """
        return await self.request("GET", url, {"Accept": FEEDS, **(headers or {})})

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Fetched:
        """Ask for something, following redirects.

        Args:
            method: GET, HEAD or POST. What is posted is never sent on to another address.
            url: an http or https address.
            headers: request header fields; they stay behind where a redirect leads to another host.
            body: what is sent.
            seconds: how long it may take, where that is not as usual.
            max_bytes: how large the answer may be, where that is not as usual.

        Raises:
            FetchError: the address is not allowed, or the server did not give a usable answer.
        """
        longest = self._max_seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(longest):
                return await self._follow(method, url, headers, body, max_bytes or self._max_bytes)
        except TimeoutError:
            why = f"{shown(url)} did not answer in full within {longest:g} seconds"
            raise FetchError("too_slow", why) from None
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise FetchError("unreachable", f"{shown(url)} gave no answer: {error}") from error

    @asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str]
    ) -> AsyncGenerator[tuple[Fetched, AsyncGenerator[bytes, None]], None]:
        """An answer that does not end: its head, and its body as it comes. It may not redirect.

        Raises:
            FetchError: the address is not allowed, the server gave no answer, or nothing came for
                two minutes.
        """
        try:
            async with AsyncExitStack() as stack:
                pool = await stack.enter_async_context(self._pool())
                asked = self._asked(pool, "GET", url, {**headers, "Accept-Encoding": "identity"})
                try:
                    async with asyncio.timeout(HEAD_SECONDS):
                        response = await stack.enter_async_context(asked)
                        body = await _beginning(response) if response.status != 200 else b""
                except TimeoutError:
                    why = f"{shown(url)} did not begin to answer within {HEAD_SECONDS:g} seconds"
                    raise FetchError("too_slow", why) from None
                head = Fetched(url, None, response.status, _headers(response), body)
                yield head, _alive(response, url)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise FetchError("unreachable", f"{shown(url)} broke off: {error}") from error

    async def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, max_bytes: int
    ) -> Fetched:
        current, moved_to = url, None
        always_permanent = True
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._once(method, current, headers, body, max_bytes)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None or method == "POST":
                return Fetched(current, moved_to, answer.status, answer.headers, answer.body)
            try:
                following = urljoin(current, location)
            except ValueError as error:
                why = f"{shown(current)} redirects to {shown(location)!r}, which is no web address"
                raise FetchError("bad_address", why) from error
            if _origin(following) != _origin(current):
                headers = {name: headers[name] for name in headers if name.lower() in _HARMLESS}
            current = following
            always_permanent = always_permanent and answer.status in _PERMANENT
            moved_to = current if always_permanent else moved_to
        raise FetchError(
            "too_many_redirects", f"{shown(url)} redirects more than {MAX_REDIRECTS} times"
        )

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, max_bytes: int
    ) -> Fetched:
        async with self._pool() as pool, self._asked(pool, method, url, headers, body) as response:
            answer = _headers(response)
            content = b""
            if response.status in _WITH_BODY:
                encoding = answer.get("content-encoding", "identity").lower()
                content = await read_capped(response.aiter_stream(), encoding, max_bytes)
            elif response.status >= 400:
                content = await _beginning(response)
            return Fetched(url, None, response.status, answer, content)

    def _pool(self) -> httpcore.AsyncConnectionPool:
        # It reads no proxy from the environment and keeps nothing between fetches.
        return httpcore.AsyncConnectionPool(
            ssl_context=self.gate.tls, network_backend=self._backend
        )

    @asynccontextmanager
    async def _asked(
        self,
        pool: httpcore.AsyncConnectionPool,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
    ) -> AsyncGenerator[httpcore.Response, None]:
        target = _parse_url(url)
        request = {
            "Host": target.netloc.decode("ascii"),
            "User-Agent": self.user_agent,
            "Accept-Encoding": "gzip, deflate",
            **headers,
        }
        if method == "POST":
            request["Content-Length"] = str(len(body))
        address = httpcore.URL(
            scheme=target.raw_scheme,
            host=target.raw_host,
            port=target.port,
            target=target.raw_path,
        )
        try:
            fields = [
                (name.encode("ascii"), value.encode("latin-1")) for name, value in request.items()
            ]
        except UnicodeError:
            raise FetchError(
                "bad_address", "a header holds what no header can; is the token whole?"
            ) from None
        async with pool.stream(method, address, headers=fields, content=body or None) as response:
            yield response


_HARMLESS = frozenset({"accept", "if-none-match", "if-modified-since"})
"""Headers that may be shown to another host than they were meant for."""
_WITH_BODY = frozenset({200, 201, 202, 203, 206, 207})


def _headers(response: httpcore.Response) -> dict[str, str]:
    """By lower-case names; of one that comes twice the last, but all links."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        # RFC 9110, section 5.3: as one list
        is_more = name == "link" and name in headers
        headers[name] = f"{headers[name]}, {value}" if is_more else value
    return headers


async def _beginning(response: httpcore.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > MAX_ERROR_BYTES:
            break
    return body[:MAX_ERROR_BYTES]


async def _alive(response: httpcore.Response, url: str) -> AsyncGenerator[bytes, None]:
    """The body, for as long as it gives signs of life."""
    chunks = aiter(response.aiter_stream())
    while True:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                chunk = await anext(chunks, None)
        except TimeoutError:
            why = f"{shown(url)} said nothing for {SILENCE_SECONDS:g} seconds"
            raise FetchError("too_slow", why) from None
        if chunk is None:
            return
        yield chunk


def _origin(url: str) -> tuple[str, str, int | None]:
    parsed = _parse_url(url)
    return parsed.scheme, parsed.host, parsed.port


def shown(url: str) -> str:
    """An address for a log or a table: without what stands before its host and in its query, which
    may be a secret.
    """
    scheme, mark, rest = url.partition("?")[0].partition("#")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def _parse_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
        host = parsed.host  # decoded only now: a name may be no IDNA
    except (httpx.InvalidURL, UnicodeError) as error:
        raise FetchError("bad_address", f"{shown(url)!r} is no web address: {error}") from error
    if parsed.scheme not in SCHEMES or not host:
        raise FetchError("bad_address", f"{shown(url)!r} is no http or https address")
    if parsed.userinfo:
        raise FetchError("bad_address", "an address with a name or password in it is not fetched")
    return parsed


async def read_capped(chunks: AsyncIterator[bytes], encoding: str, max_bytes: int) -> bytes:
    """Read a body and decompress it, never holding more than `max_bytes` of it.

    Args:
        chunks: the body as it comes from the network.
        encoding: the Content-Encoding: identity, gzip, x-gzip or deflate.
        max_bytes: the largest body after decompression.

    Raises:
        FetchError: the body is larger, of another encoding, or no such stream.
    """
    if encoding in {"", "identity"}:
        decompressor = None
    elif encoding in {"gzip", "x-gzip", "deflate"}:
        # 47: zlib finds out by itself whether the header is gzip's or zlib's.
        decompressor = zlib.decompressobj(47)
    else:
        raise FetchError("bad_encoding", f"the body has Content-Encoding {encoding!r}; use gzip")
    body = bytearray()
    async for chunk in chunks:
        try:
            # One byte more than fits tells "too large" from "just fits".
            body += (
                chunk
                if decompressor is None
                else decompressor.decompress(chunk, max_bytes + 1 - len(body))
            )
        except zlib.error as error:
            raise FetchError("bad_encoding", f"the body is no {encoding} stream") from error
        if len(body) > max_bytes:
            raise FetchError("too_large", f"the body is larger than {max_bytes:,} bytes")
    if decompressor is not None and body and not decompressor.eof:
        raise FetchError("bad_encoding", f"the {encoding} stream breaks off before its end")
    return bytes(body)
