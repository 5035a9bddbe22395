"""Addresses that lead inside, however they come: the table of what ingest may never ask for."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any
from unittest.mock import patch

import httpcore
from trust.tried import Tried

from klankbord_ingest.fetch import Fetcher
from klankbord_ingest.outgoing import Allowed, FetchError, Gate

LOOPBACK = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "0", "0.0.0.0", "2130706433", "0x7f000001",
    "0x7f.0.0.1", "017700000001", "0177.0.0.1", "127.0.0.1.", "localhost", "LOCALHOST",
    "localhost.",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]", "[::1%25lo]", "①②⑦.⓪.⓪.①", "１２７．０．０．１", "127。0。0。1",
    "127.0.0.%31",
    "[127.0.0.1]", "127.0.0.1%00", "127.0.0.1%0d%0aX-A:b", "1.1.1.1@127.0.0.1",
    "1.1.1.1:80@localhost",
    "user:secret@127.0.0.1", "%40127.0.0.1", "①.①.①.①@127.1",
)  # fmt: skip
"""This machine, in every spelling; asked for on the tripwire's port."""
ELSEWHERE = (
    "169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.170.2",
    "100.100.100.200", "192.168.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "100.64.0.1",
    "192.0.0.192", "198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "[fc00::1]", "[fd00:ec2::254]",
    "[fe80::1]", "[fe80::1%25eth0]", "[fec0::1]", "[ff02::1]", "[2001::1]", "[2001:db8::1]",
    "[3fff::1]", "[64:ff9b::a9fe:a9fe]", "[::ffff:169.254.169.254]", "[::ffff:10.0.0.1]",
    "[100::1]",
)  # fmt: skip
"""Metadata services, private networks, and what belongs to nobody."""
NO_WEB_ADDRESS = (
    "file:///etc/passwd", "ftp://1.1.1.1/", "gopher://1.1.1.1/_x", "dict://1.1.1.1/", "ldap://1.1.1.1/",
    "jar:http://1.1.1.1!/", "data:text/xml,<rss/>", "javascript:alert(1)", "unix:///run/x.sock",
    "http:127.0.0.1", "http:/127.0.0.1", "http:///127.0.0.1", "//[::1", "http://[::1", "http://[",
    "http://", "http://\n127.0.0.1", "http://1.1.1.1\\@127.0.0.1/", "http://127.0.0.1\t/", "\0", "http://a\0b/",
    "http://1.1.1.1:99999/", "http://1.1.1.1:-1/", "http://1.1.1.1:x/", "http://" + "a" * 70_000,
    "http://" + "a." * 5_000, "http://xn--a/", "http://-/", "http://..../", "http://%zz/",
)  # fmt: skip
PORTS = tuple(f"http://1.1.1.1:{port}/" for port in (1, 22, 25, 4222, 5432, 6379, 8080, 65535))
PUBLIC = "93.184.215.14"


class Recorder(httpcore.AsyncNetworkBackend):
    """Notes every connection that is begun; only the one that redirects is really made."""

    def __init__(self, redirects: int) -> None:
        self.begun: list[tuple[str, int]] = []
        self._redirects = redirects
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, *arguments: Any, **more: Any
    ) -> httpcore.AsyncNetworkStream:
        if port == self._redirects:
            return await self._sockets.connect_tcp(host, port, *arguments, **more)
        self.begun.append((host, port))
        if not ip_address(host).is_loopback:
            raise httpcore.ConnectError("noted; no test connects to anywhere else")
        # this must never come, and so the tripwire is to see it too
        return await self._sockets.connect_tcp(host, port, *arguments, **more)


async def outgoing(tried: Tried) -> None:
    """Every hostile address: asked for, redirected to, and as what a name is bound to anew."""
    touched: list[Any] = []

    def trip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        touched.append(writer.get_extra_info("sockname"))
        writer.close()

    location = ""

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "
        plain = location.encode().translate(None, b"\r\n\0")
        writer.write(head + plain + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    wire = await asyncio.start_server(trip, "127.0.0.1", 0)
    away = await asyncio.start_server(redirect, "127.0.0.1", 0)
    async with wire, away:
        port, redirects = (server.sockets[0].getsockname()[1] for server in (wire, away))
        urls = [f"http://{host}:{port}/" for host in LOOPBACK]
        urls += [f"{scheme}://{host}/" for host in ELSEWHERE for scheme in ("http", "https")]
        urls += [f"http://1.1.1.1{sign}@127.0.0.1:{port}/" for sign in ("", ":80", "%2f", "%23")]
        # one: its TLS context takes long
        fetcher = Fetcher(Gate(Allowed.of([f"redirects.example:{redirects}"])))
        for url in (*urls, *NO_WEB_ADDRESS, *PORTS):
            location = url
            moved = f"http://redirects.example:{redirects}/"
            await _refused(tried, fetcher, f"direct {url}", url, redirects)
            await _refused(tried, fetcher, f"redirect {url}", moved, redirects)
        for host in (*LOOPBACK[:1], *LOOPBACK[15:27], *ELSEWHERE):
            if (address := _plain_address(host)) is not None:
                await _rebound(tried, fetcher, address, redirects)
        tried.check("the tripwire", holds=not touched, found=touched)


async def _refused(tried: Tried, fetcher: Fetcher, name: str, url: str, redirects: int) -> None:
    with _resolver({"redirects.example": [["127.0.0.1"]]}):
        found, begun = await _fetched(fetcher, url, redirects)
    tried.check(name, holds=found is None and not begun, found=(found, begun))


async def _rebound(tried: Tried, fetcher: Fetcher, address: str, redirects: int) -> None:
    """A name that is public when it is looked at and hostile when it is used; and both at once."""
    for name, answers, connects in (
        ("rebound", [[PUBLIC], [address]], [(PUBLIC, 80)]),
        ("hostile among public", [[PUBLIC, address]], []),
        ("public among hostile", [[address, PUBLIC]], []),
    ):
        with _resolver({"rebinds.example": answers}):
            found, begun = await _fetched(fetcher, "http://rebinds.example/", redirects)
        holds = found is None and begun == connects
        tried.check(f"{name} {address}", holds=holds, found=(found, begun))


async def _fetched(
    fetcher: Fetcher, url: str, redirects: int
) -> tuple[object, list[tuple[str, int]]]:
    """What came of asking for it, None where it was refused; and every connection begun."""
    recorder = fetcher._backend._sockets = Recorder(redirects)  # type: ignore[assignment]
    try:
        await fetcher.get(url)
    except FetchError:
        return None, recorder.begun
    except Exception as error:  # noqa: BLE001  whatever else comes out is the finding
        return error, recorder.begun
    return "fetched", recorder.begun


def _plain_address(host: str) -> str | None:
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


def _resolver(names: dict[str, list[list[str]]]) -> Any:
    """These names have these addresses, the next ones at each look-up; for others as ever."""
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo
    left = {name: list(answers) for name, answers in names.items()}

    async def getaddrinfo(host: Any, port: Any, **more: Any) -> Any:
        if host not in left:  # numbers in all their spellings, but no name server is asked
            numeric = 0 if str(host).lower().rstrip(".") == "localhost" else socket.AI_NUMERICHOST
            return await real(host, port, flags=numeric, **more)
        answers = left[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    return patch.object(loop, "getaddrinfo", getaddrinfo)
