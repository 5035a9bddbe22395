"""The one way out: connections to addresses that strangers may choose.

A hostile address must not reach this machine, its cloud's metadata service or the private network.
So a name is resolved once, every answer is checked, and the connection goes to a checked address
(Host and SNI keep the name). Everything ingest asks goes through here: documents, interfaces,
web sockets, mailboxes.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Self
from urllib.parse import urlsplit

import httpcore
import httpx

Address = IPv4Address | IPv6Address

PORTS = frozenset({80, 443})
"""Where anyone may be asked; any other port has to be allowed."""
CONNECT_SECONDS = 10.0

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
    """Something could not, or must not, be asked for. The message is for the person who wants it.

    `code` says the same as one word: bad_address, not_public, port_not_allowed,
    too_many_redirects, too_large, too_slow, bad_encoding, unreachable, and what an answer's
    status says: see `web.py`.
    """

    def __init__(self, code: str, why: str) -> None:
        """Say what went wrong."""
        super().__init__(why)
        self.code = code


@dataclass(frozen=True)
class Allowed:
    """Servers of one's own that may be asked although they are not public, or on another port."""

    places: frozenset[tuple[str, int]] = frozenset()
    """Host and port; the host is a name as it is asked for, or an address as it is resolved."""

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Read entries such as `forum.internal.example:443`, `127.0.0.1:8008` and `[::1]:993`.

        Raises:
            ValueError: one of them is no host and port; says how to write it.
        """
        return cls(frozenset(_place(entry) for entry in entries))

    def permits(self, host: str, address: Address, port: int) -> bool:
        """Whether this port of this host was allowed, by its name or by what it resolved to."""
        return (host, port) in self.places or (str(address), port) in self.places


def _place(entry: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{entry}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.path or parts.username is not None:
        raise ValueError(
            f"{entry!r} is no host and port; write it such as forum.internal.example:443, "
            "127.0.0.1:8080 or [::1]:8080"
        )
    return host, port


def is_public(address: Address) -> bool:
    """Whether an address belongs to a host on the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _SPECIAL_V6)


class Gate:
    """Lets connections out to addresses that are public or allowed, and to no others."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        # httpx's context trusts certifi's authorities: an image need not bring any.
        self.tls = httpx.create_ssl_context()
        """How a server shows who it is."""

    async def addresses(self, host: str, port: int, ports: frozenset[int] = PORTS) -> list[Address]:
        """What a host resolves to, every address checked.

        Args:
            host: a name or an address.
            port: the port that is to be asked.
            ports: the ports that need no permission.

        Raises:
            FetchError: it has no address, or one that must not be asked.
        """
        found = await _resolve(host, port)
        for address in found:
            self._check(host, address, port, ports)
        return found

    async def connect(self, host: str, port: int, ports: frozenset[int] = PORTS) -> socket.socket:
        """A connected socket, for a library that speaks something else than HTTP.

        Raises:
            FetchError: it must not be asked, or does not answer.
        """
        addresses = await self.addresses(host, port, ports)
        loop, failure = asyncio.get_running_loop(), ""
        for address in addresses:
            family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.setblocking(False)  # noqa: FBT003  the name says what it is
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await loop.sock_connect(connection, (str(address), port))
            except (OSError, TimeoutError) as error:
                connection.close()
                failure = str(error) or type(error).__name__
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise FetchError("unreachable", f"{host} port {port} takes no connection: {failure}")

    async def open(
        self, host: str, port: int, ports: frozenset[int], tls: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection for a protocol of lines, with TLS where a context is given.

        Raises:
            FetchError: it must not be asked, or does not answer.
        """
        connection = await self.connect(host, port, ports)
        try:
            return await asyncio.open_connection(
                sock=connection, ssl=tls, server_hostname=host if tls else None
            )
        except (OSError, ssl.SSLError) as error:
            connection.close()
            raise FetchError("unreachable", f"{host} port {port}: {error}") from error

    async def start_tls(self, writer: asyncio.StreamWriter, host: str) -> None:
        """Go on in TLS on an open connection, as STARTTLS does.

        Raises:
            FetchError: the server does not, or shows no certificate for that name.
        """
        try:
            await writer.start_tls(self.tls, server_hostname=host)
        except (OSError, ssl.SSLError) as error:
            raise FetchError("unreachable", f"{host}: {error}") from error

    def _check(self, host: str, address: Address, port: int, ports: frozenset[int]) -> None:
        if self._allowed.permits(host.lower(), address, port):
            return
        if not is_public(address):
            named = f"{host} is" if host == str(address) else f"{host} is {address}, which is"
            raise FetchError(
                "not_public",
                f"{named} not a public address; if it is a server of yours, "
                f"add {host}:{port} to KLANKBORD_OUTGOING__ALLOW",
            )
        if port not in ports:
            raise FetchError(
                "port_not_allowed",
                f"{host} is asked for on port {port}, and only "
                f"{' and '.join(map(str, sorted(ports)))} need no permission; "
                f"add {host}:{port} to KLANKBORD_OUTGOING__ALLOW",
            )


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """HTTP's connections: only to addresses that the gate checked, and to those very ones."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of its addresses that answers.

        Raises:
            FetchError: it must not be asked, or does not answer.
        """
        failure: Exception | None = None
        for address in await self._gate.addresses(host, port):
            try:
                return await self._sockets.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise FetchError("unreachable", f"{host} port {port} takes no connection: {failure}")


async def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError("unreachable", f"the name {host!r} has no address: {error}") from error
    return [ip_address(sockaddr[0]) for *_, sockaddr in found]
