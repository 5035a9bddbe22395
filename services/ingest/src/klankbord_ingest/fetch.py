"""Outgoing HTTP GET for addresses that strangers may choose: feeds, and what they redirect to.

A hostile address must not reach this machine, its cloud's metadata service or the private
network; a hostile server must not keep us waiting or fill our memory. So the name is resolved
once, every answer is checked, the connection goes to a checked address (Host and SNI keep the
name), each redirect is checked again, and size and time are capped.
"""

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self
from urllib.parse import urljoin

import httpcore
import httpx

Address = IPv4Address | IPv6Address

MAX_BYTES = 2 * 1024 * 1024
"""The largest body that is read, counted after decompression."""
MAX_SECONDS = 10.0
"""The longest a fetch may take, from the first name look-up to the last byte."""
MAX_REDIRECTS = 3
PORTS = {"http": 80, "https": 443}
USER_AGENT = "Klankbord/0.1 (+feeds)"

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PERMANENT = frozenset({301, 308})

# `ipaddress.is_global` is not enough: it is true for multicast, NAT64, 6to4 relays and more.
# https://www.iana.org/assignments/iana-ipv4-special-registry
_SPECIAL_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# https://www.iana.org/assignments/ipv6-address-space: all public hosts are in 2000::/3. What lies
# outside it (loopback, unique local, link local, mapped and translated IPv4) is special as a whole.
_PUBLIC_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


class FetchError(Exception):
    """A document could not, or must not, be fetched. The message is for the person who asked.

    `code` says the same as one word: bad_address, not_public, port_not_allowed,
    too_many_redirects, too_large, too_slow, bad_encoding, unreachable.
    """

    def __init__(self, code: str, why: str) -> None:
        """Say what went wrong."""
        super().__init__(why)
        self.code = code


@dataclass(frozen=True)
class Allowed:
    """Hosts and networks of one's own that may be fetched although they are not public."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Read entries such as `forum.internal.example`, `10.2.0.0/16` and `127.0.0.1`."""
        hosts, networks = set(), []
        for entry in entries:
            try:
                networks.append(ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                hosts.add(entry.lower())
        return cls(frozenset(hosts), tuple(networks))

    def permits(self, host: str, address: Address) -> bool:
        """Whether this address of this host was allowed by name or by network."""
        return host in self.hosts or any(address in network for network in self.networks)


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
    """The body, decompressed; empty for a status that is not 200."""


def is_public(address: Address) -> bool:
    """Whether an address belongs to a host on the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _SPECIAL_V6)


class Fetcher:
    """Fetches documents from addresses that are public or allowed."""

    def __init__(
        self, allowed: Allowed, max_seconds: float = MAX_SECONDS, max_bytes: int = MAX_BYTES
    ) -> None:
        self._backend = _CheckedBackend(allowed)
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes
        # httpx's context trusts certifi's authorities: an image need not bring any.
        self._tls = httpx.create_ssl_context()

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Fetched:
        """Fetch one document.

        Args:
            url: an http or https address.
            headers: request header fields to add, such as `If-None-Match`.

        Raises:
            FetchError: the address is not allowed, or the server did not give a usable answer.
        """
        try:
            async with asyncio.timeout(self._max_seconds):
                return await self._follow(url, headers or {})
        except TimeoutError:
            raise FetchError(
                "too_slow", f"{url} did not answer in full within {self._max_seconds:g} seconds"
            ) from None
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise FetchError("unreachable", f"{url} gave no answer: {error}") from error

    async def _follow(self, url: str, headers: Mapping[str, str]) -> Fetched:
        current, moved_to = url, None
        always_permanent = True
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._get_one(current, headers)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                return Fetched(current, moved_to, answer.status, answer.headers, answer.body)
            try:
                current = urljoin(current, location)
            except ValueError as error:
                why = f"{current} redirects to {location!r}, which is no web address: {error}"
                raise FetchError("bad_address", why) from error
            always_permanent = always_permanent and answer.status in _PERMANENT
            moved_to = current if always_permanent else moved_to
        raise FetchError("too_many_redirects", f"{url} redirects more than {MAX_REDIRECTS} times")

    async def _get_one(self, url: str, headers: Mapping[str, str]) -> Fetched:
        target = _parse_url(url)
        request = {
            "Host": target.netloc.decode("ascii"),
            "User-Agent": USER_AGENT,
            "Accept": "application/atom+xml, application/rss+xml, application/feed+json, */*;q=0.5",
            "Accept-Encoding": "gzip, deflate",
            **headers,
        }
        # The pool reads no proxy from the environment and keeps nothing between fetches.
        async with httpcore.AsyncConnectionPool(
            ssl_context=self._tls, network_backend=self._backend
        ) as pool:
            address = httpcore.URL(
                scheme=target.raw_scheme,
                host=target.raw_host,
                port=target.port,
                target=target.raw_path,
            )
            fields = [
                (name.encode("ascii"), value.encode("latin-1")) for name, value in request.items()
            ]
            async with pool.stream("GET", address, headers=fields) as response:
                answer = {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in response.headers
                }
                body = b""
                if response.status == 200:
                    encoding = answer.get("content-encoding", "identity").lower()
                    body = await read_capped(response.aiter_stream(), encoding, self._max_bytes)
                return Fetched(url, None, response.status, answer, body)


def _parse_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
        host = parsed.host  # decoded only now: a name may be no IDNA
    except (httpx.InvalidURL, UnicodeError) as error:
        raise FetchError("bad_address", f"{url!r} is no web address: {error}") from error
    if parsed.scheme not in PORTS or not host:
        raise FetchError("bad_address", f"{url!r} is no http or https address")
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


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that were resolved and checked here, and to those very ones."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await _resolve(host, port)
        for address in addresses:
            self._check(host, address, port)
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._sockets.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise FetchError("unreachable", f"{host} port {port} takes no connection: {failure}")

    def _check(self, host: str, address: Address, port: int) -> None:
        if self._allowed.permits(host.lower(), address):
            return
        if not is_public(address):
            raise FetchError(
                "not_public",
                f"{host} is {address}, which is not a public address; if it is a server of yours, "
                "add the host or its network to the allowed addresses",
            )
        if port not in PORTS.values():
            raise FetchError(
                "port_not_allowed",
                f"{host} is asked for on port {port}; only 80 and 443 are fetched from, "
                "unless the host is added to the allowed addresses",
            )


async def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError("unreachable", f"the name {host!r} has no address: {error}") from error
    return [ip_address(sockaddr[0]) for *_, sockaddr in found]
