"""Who gets in and what gets out: signatures, outgoing requests, and permissions on the bus.

Each table here is written by hand, from what was promised, and not derived from the code.
"""

import asyncio
import base64
import hmac
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import httpcore
from figures import Row
from nats.aio.client import Client
from trust.part import Say
from world import eventually

from klankbord_ingest.fetch import Allowed, Fetcher, FetchError
from klankbord_ingest.signature import UnsignedError, secret_key, sign, verify
from klankbord_runtime.permissions import subscriber
from klankbord_runtime.provision import apply, apply_consumer, subscriber_config
from klankbord_standalone.credentials import Credentials
from klankbord_standalone.nats_server import NatsServer
from klankbord_standalone.servers import Installation


@dataclass
class Tried:
    """How many cases were tried, and which went wrong."""

    cases: int = 0
    failures: list[str] = field(default_factory=list)

    def check(self, name: str, *, holds: bool, found: object = "") -> None:
        """Count a case."""
        self.cases += 1
        if not holds:
            self.failures.append(f"{name}: {found!r}"[:300])


OWES = ("doors_cases", "doors_failures")


async def run(seed: int, say: Say) -> list[Row]:
    """All three, in some 15 s."""
    tried = Tried()
    signatures(tried)
    say(f"{tried.cases} signatures; outgoing requests")
    await outgoing(tried)
    say(f"{tried.cases} cases; permissions on the bus")
    await bus(tried)
    found = "; ".join(tried.failures)[:500]
    return [
        Row("doors_cases", tried.cases, "cases", ">= 1000"),
        Row("doors_failures", len(tried.failures), "cases", "== 0", note=found),
    ]


# --- signatures --------------------------------------------------------------------------------

# The vector of the Standard Webhooks specification's own tests.
KEY = secret_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
ID, MOMENT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
THEN = datetime.fromtimestamp(MOMENT, UTC)
OTHER = secret_key("whsec_" + base64.b64encode(bytes(range(32))).decode())

Headers = list[tuple[bytes, bytes]]
RIGHT, WRONG = True, False


@dataclass(frozen=True)
class Signed:
    """A delivery, and whether it is who it says."""

    name: str
    is_right: bool
    headers: Headers
    body: bytes = BODY
    keys: tuple[bytes, ...] = (KEY,)
    now: datetime = THEN


def signatures(tried: Tried) -> None:
    """Every way to sign, rightly and wrongly."""
    for case in _deliveries():
        try:
            is_right = bool(verify(case.keys, case.headers, case.body, case.now))
        except UnsignedError:
            is_right = False
        except Exception as error:  # noqa: BLE001  whatever else comes out is the finding
            tried.check(case.name, holds=False, found=error)
            continue
        tried.check(case.name, holds=is_right is case.is_right, found=is_right)


def _headers(
    id_: str | bytes = ID, timestamp: str | bytes = str(MOMENT), signature: str | bytes = SIGNATURE
) -> Headers:
    values = {"webhook-id": id_, "webhook-timestamp": timestamp, "webhook-signature": signature}
    return [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in values.items()
    ]


def _mac(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _deliveries() -> Iterator[Signed]:
    yield Signed("the official vector", RIGHT, _headers())
    for name, body in (("empty", b""), ("binary", bytes(range(256))), ("large", b"x" * 2**20)):
        yield Signed(name, RIGHT, _headers(signature=sign(KEY, ID, THEN, body)), body)
        yield Signed(f"{name}, of another", WRONG, _headers(), body)
    yield from _tampered()
    yield from _untimely()
    yield from _odd_headers()
    yield from _odd_signatures()
    other = sign(OTHER, ID, THEN, BODY)
    yield Signed("the second secret", RIGHT, _headers(), keys=(OTHER, KEY))
    yield Signed("the first of two", RIGHT, _headers(signature=other), keys=(OTHER, KEY))
    yield Signed("another secret", WRONG, _headers(signature=other))
    yield Signed("no secret", WRONG, _headers(), keys=())
    yield Signed("an empty secret", WRONG, _headers(), keys=(b"",))
    yield Signed("a secret cut short", WRONG, _headers(), keys=(KEY[:-1],))
    yield Signed("a secret as it is written", WRONG, _headers(), keys=(b"whsec_" + KEY,))
    for name, signed in (
        ("the body alone", BODY),
        ("no id", b"%d.%b" % (MOMENT, BODY)),
        ("no timestamp", ID.encode() + b"." + BODY),
        ("another order", b"%d.%b.%b" % (MOMENT, ID.encode(), BODY)),
        ("other dots", f"{ID}:{MOMENT}:".encode() + BODY),
    ):
        yield Signed(f"signs {name}", WRONG, _headers(signature=f"v1,{_mac(KEY, signed)}"))
    moved = ID + f".{MOMENT}"
    yield Signed("a part moved over the dot", WRONG, _headers(id_=moved))


def _tampered() -> Iterator[Signed]:
    """One bit is another."""
    for at in range(len(BODY)):
        body = BODY[:at] + bytes([BODY[at] ^ 1 << at % 8]) + BODY[at + 1 :]
        yield Signed(f"bit in byte {at} of the body", WRONG, _headers(), body)
    for place in ("id_", "timestamp", "signature"):
        value = {"id_": ID, "timestamp": str(MOMENT), "signature": SIGNATURE}[place].encode()
        for at in range(len(value)):
            if place == "signature" and at == len(value) - 2:
                continue  # its low bits are beyond the digest in base64: see `_odd_signatures`
            changed = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
            yield Signed(f"bit in byte {at} of {place}", WRONG, _headers(**{place: changed}))


def _untimely() -> Iterator[Signed]:
    for seconds in (-86_400, -3_600, -301, -300, -299, -1, 0, 1, 299, 300, 301, 3_600, 86_400):
        now = THEN + timedelta(seconds=seconds)
        yield Signed(f"heard {seconds} s later", abs(seconds) <= 300, _headers(), now=now)
    for text in (
        "", "0", "-1", "1e9", "0x60", "1614265330.0", " 1614265330", "+1614265330", "1614265330 ",
        "1_614_265_330", "9" * 20, "9" * 5000, "١٦١٤٢٦٥٣٣٠", "NaN",
    ):  # fmt: skip
        signature = f"v1,{_mac(KEY, f'{ID}.{text}.'.encode() + BODY)}"
        odd = _headers(timestamp=text, signature=signature)
        yield Signed(f"timestamp {text[:20]!r}", WRONG, odd)


def _odd_headers() -> Iterator[Signed]:
    for at, (name, value) in enumerate(_headers()):
        rest = [header for header in _headers() if header[0] != name]
        word = name.decode()
        yield Signed(f"{word} is missing", WRONG, rest)
        yield Signed(f"{word} is empty", WRONG, [*rest, (name, b"")])
        yield Signed(f"{word} twice", WRONG, [*_headers(), (name, value)])
        yield Signed(f"{word} twice, one empty", WRONG, [(name, b""), *_headers()])
        yield Signed(f"{word} not ASCII", WRONG, [*rest, (name, "é".encode())])
        yield Signed(f"{word} no UTF-8", WRONG, [*rest, (name, b"\xff\xfe")])
        yield Signed(f"{word} with NUL", WRONG, [*rest, (name, value + b"\0")])
        yield Signed(f"{word} in another's place", WRONG, [*rest, (name, _headers()[at - 1][1])])
        joined = [
            *rest,
            (name, value + b", " + value),
        ]  # as a proxy joins two; a space parts signatures
        yield Signed(f"{word} joined", name == b"webhook-signature", joined)
        underscored = name.replace(b"-", b"_")
        yield Signed(f"{word} with underscores", WRONG, [*rest, (underscored, value)])
    for size, fits in ((1, RIGHT), (200, RIGHT), (201, WRONG), (100_000, WRONG)):
        id_ = "x" * size
        signature = sign(KEY, id_, THEN, BODY)
        yield Signed(f"an id of {size}", fits, _headers(id_, signature=signature))
    svix = [(name.replace(b"webhook", b"svix"), value) for name, value in _headers()]
    yield Signed("another scheme's names", WRONG, svix)
    yield Signed("headers of others beside", RIGHT, [(b"cookie", b"a=b"), *_headers()])


def _odd_signatures() -> Iterator[Signed]:
    right = SIGNATURE.removeprefix("v1,")
    hexed = base64.b64decode(right).hex()
    zero = "v1," + base64.b64encode(bytes(32)).decode()
    for text, is_right in (
        (f"{SIGNATURE} {zero}", RIGHT),
        (f"{zero} {SIGNATURE}", RIGHT),
        (f"v1a,{right} {SIGNATURE} v2,x", RIGHT),
        (" ".join([zero] * 500 + [SIGNATURE]), RIGHT),
        (f"{SIGNATURE}  {zero}", RIGHT),
        (" ".join([zero] * 500), WRONG),
        (f"{zero},{SIGNATURE}", WRONG),
        (f"{zero}\t{SIGNATURE}", WRONG),
        (f"{zero};{SIGNATURE}", WRONG),
        (right, WRONG),
        (f"v1 {right}", WRONG),
        (f"v1={right}", WRONG),
        (f"v1,{hexed}", WRONG),
        (f"V1,{right}", WRONG),
        (f"v0,{right}", WRONG),
        (f"v2,{right}", WRONG),
        (f"v1a,{right}", WRONG),
        (f"v11,{right}", WRONG),
        (f",{right}", WRONG),
        ("v1,", WRONG),
        ("v1", WRONG),
        (",", WRONG),
        ("null", WRONG),
        (f"v1,{right.rstrip('=')}", WRONG),
        (f"v1,{right}=", WRONG),
        (f"v1,{right}AAAA", WRONG),
        (f"v1,{right[:-2]}F=", WRONG),  # the same digest to a lenient reader of base64
        (f"v1,{right.replace('+', '-').replace('/', '_')}", WRONG),
        (f"v1,{right.lower()}", WRONG),
        (f"v1,{right[:22]}", WRONG),
        (f'"{SIGNATURE}"', WRONG),
        (f"v1,\r\n{right}", WRONG),
        (f"sha256={hexed}", WRONG),
        (f"t={MOMENT},v1={hexed}", WRONG),
        ("x" * 100_000, WRONG),
    ):
        yield Signed(f"signature {text[:60]!r}", is_right, _headers(signature=text))


# --- outgoing requests -------------------------------------------------------------------------

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
        fetcher = Fetcher(Allowed.of(["redirects.example"]))  # one: its TLS context takes long
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
    found: object = "fetched"
    recorder = fetcher._backend._sockets = Recorder(redirects)  # type: ignore[assignment]
    with _resolver({"redirects.example": [["127.0.0.1"]]}):
        try:
            await fetcher.get(url)
        except FetchError:
            found = None
        except Exception as error:  # noqa: BLE001  whatever else comes out is the finding
            found = error
    tried.check(name, holds=found is None and not recorder.begun, found=(found, recorder.begun))


async def _rebound(tried: Tried, fetcher: Fetcher, address: str, redirects: int) -> None:
    """A name that is public when it is looked at and hostile when it is used; and both at once."""
    for name, answers, connects in (
        ("rebound", [[PUBLIC], [address]], [(PUBLIC, 80)]),
        ("hostile among public", [[PUBLIC, address]], []),
        ("public among hostile", [[address, PUBLIC]], []),
    ):
        recorder = fetcher._backend._sockets = Recorder(redirects)  # type: ignore[assignment]
        found: object = "fetched"
        with _resolver({"rebinds.example": answers}):
            try:
                await fetcher.get("http://rebinds.example/")
            except FetchError:
                found = None
            except Exception as error:  # noqa: BLE001  whatever else comes out is the finding
                found = error
        holds = found is None and recorder.begun == connects
        tried.check(f"{name} {address}", holds=holds, found=(found, recorder.begun))


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


# --- the bus -----------------------------------------------------------------------------------

EVENTS = {
    "klankbord.post.received.v1.acme.forum": "ingest",
    "klankbord.interaction.received.v1.acme.forum": "ingest",
    "klankbord.member.seen.v1.acme.p-1": "ingest",
    "klankbord.member.erased.v1.acme.d1g357": "ingest",
    "klankbord.erasure.completed.v1.acme.ingest": "ingest",
    "klankbord.erasure.completed.v1.acme.moderation": "moderation",
    "klankbord.erasure.completed.v1.acme.routing": "routing",
    "klankbord.erasure.completed.v1.acme.metrics": "metrics",
    "klankbord.post.flagged.v1.acme.spam": "moderation",
    "klankbord.feedback.routed.v1.acme.product": "routing",
    "klankbord.feedback.withdrawn.v1.acme.product": "routing",
    "klankbord.community.measured.v1.acme.posts": "metrics",
}
"""Each event, and the one who may say it."""
CONSUMERS = {
    "INGEST.ingest-erasures": "ingest",
    "INGEST.moderation-erasures": "moderation",
    "INGEST.routing-erasures": "routing",
    "INGEST.metrics-erasures": "metrics",
    "INGEST.moderation-posts": "moderation",
    "INGEST.routing-posts": "routing",
    "MODERATION.routing-flags": "routing",
    "INGEST.metrics-ingest": "metrics",
    "MODERATION.metrics-flags": "metrics",
    "ROUTING.metrics-feedback": "metrics",
    "ROUTING.subscriber-product": "subscriber-product",
}
"""Each durable consumer, and the one who may read it."""
ASKED_BY = {
    "INGEST": {"ingest", "moderation", "routing", "metrics"},
    "MEMBERS": {"ingest"},
    "MODERATION": {"moderation", "routing", "metrics"},
    "ROUTING": {"routing", "metrics"},
    "METRICS": {"metrics"},
    "DEAD": {"ingest", "moderation", "routing", "metrics"},
}
"""Each stream, and who may ask how it is; besides the operator, who may ask of all."""
SERVICES = ("ingest", "moderation", "routing", "metrics")
USERS = (*SERVICES, "operator", "subscriber-product")


def may(user: str) -> dict[str, bool]:
    """Every subject there is, and whether that user may publish to it."""
    operator = user == "operator"
    table = {subject: user == owner for subject, owner in EVENTS.items()}
    for service in SERVICES:
        table[f"klankbord.dead.{service}.x"] = user == service or operator
    for address, owner in CONSUMERS.items():
        stream, _, name = address.partition(".")
        own = user == owner
        guest = owner not in SERVICES  # the operator is kept from what the services read
        table |= {
            f"$JS.API.CONSUMER.INFO.{address}": own or operator,
            f"$JS.API.CONSUMER.MSG.NEXT.{address}": own or (operator and guest),
            f"$JS.ACK.{address}.1.1.1.1.0": own or (operator and guest),
            f"$JS.ACK._.x.{address}.1.1.1.1.0.x": own or (operator and guest),
            f"$JS.API.CONSUMER.DELETE.{address}": operator and guest,
            f"$JS.API.CONSUMER.DURABLE.CREATE.{address}": operator and guest,
            f"$JS.API.CONSUMER.CREATE.{address}": operator and guest,
            f"$JS.API.CONSUMER.CREATE.{address}.klankbord.>": operator and guest,
            f"$JS.API.CONSUMER.PAUSE.{address}": False,
            f"$JS.API.CONSUMER.UNPIN.{address}": False,
            f"$JS.API.CONSUMER.LEADER.STEPDOWN.{address}": False,
            f"klankbord.replay.{stream}.{name}": operator,
        }
    for stream, asking in ASKED_BY.items():
        table |= {
            f"$JS.API.STREAM.INFO.{stream}": user in asking or operator,
            f"$JS.API.STREAM.MSG.GET.{stream}": operator,
            f"$JS.API.STREAM.MSG.DELETE.{stream}": operator,  # to erase
            f"$JS.API.CONSUMER.LIST.{stream}": operator,
            f"$JS.API.CONSUMER.NAMES.{stream}": operator,
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.another": operator,
            **{
                f"$JS.API.STREAM.{act}.{stream}": False
                for act in ("CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE")
            },
            f"$JS.API.DIRECT.GET.{stream}": False,
            f"$JS.API.STREAM.PEER.REMOVE.{stream}": False,
            f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}": False,
        }
    table |= {
        "$JS.API.STREAM.LIST": operator,
        "$JS.API.STREAM.NAMES": operator,
        "$JS.API.INFO": operator,
        "$JS.API.META.LEADER.STEPDOWN": False,
        "$SYS.REQ.SERVER.PING": False,
        "$SYS.REQ.ACCOUNT.KLANKBORD.CONNZ": False,
        "klankbord.x": False,
        "klankbord.post.received.v2.acme.forum": False,
        "klankbord.member.gone.v1.acme.p-1": False,
        "klankbord.erasure.completed.v1.acme.nobody": False,
        "anything": False,
        **{f"_INBOX_{other}.x": False for other in USERS},
    }
    return table


HEARD_BY_NOBODY = (
    ">", "*", "klankbord.>", "klankbord.post.received.>", "klankbord.member.>", "klankbord.dead.>",
    "klankbord.replay.>", "$JS.>", "$JS.API.>", "$JS.ACK.>", "$JS.EVENT.>", "$SYS.>", "_INBOX.>",
)  # fmt: skip


async def bus(tried: Tried) -> None:
    """Each user tries each subject on a real server."""
    folder = Path(tempfile.mkdtemp(prefix="klankbord-doors-"))
    credentials = Credentials.create(folder / "credentials")
    product = subscriber("product", ("klankbord.feedback.routed.v1.*.product",))
    credentials.add_subscriber(product)
    server = NatsServer(folder / "nats", credentials.authorization())
    await server.start()
    try:
        here = Installation(server.url, "", credentials)
        async with here.client("provision") as client:
            await apply(client)
            await apply_consumer(client, product.stream, subscriber_config(product))
        for user in USERS:
            async with _told(here, user) as (client, told):
                await _try_each(tried, user, client, told)
        async with here.client("provision") as client:
            for stream in ASKED_BY:
                found = await client.jetstream().stream_info(stream)
                tried.check(f"{stream} is there", holds=found.config.name == stream)
    finally:
        await server.stop()
        shutil.rmtree(folder)


async def _try_each(tried: Tried, user: str, client: Client, told: list[str]) -> None:
    for subject in may(user):
        await client.publish(subject, b"")
    await _all_told(client, told)
    for subject, allowed in may(user).items():
        refused = any(f'publish to "{subject.lower()}"' in line for line in told)
        tried.check(f"{user} says {subject}", holds=refused is not allowed, found=told[-3:])
    others = [f"_INBOX_{other}.>" for other in (*USERS, "provision") if other != user]
    for subject in (*HEARD_BY_NOBODY, *others):
        await client.subscribe(subject)
    own = f"_INBOX_{user}.x"
    await client.subscribe(own)
    await _all_told(client, told)
    for subject in (*HEARD_BY_NOBODY, *others, own):
        refused = any(f'subscription to "{subject.lower()}"' in line for line in told)
        tried.check(f"{user} hears {subject}", holds=refused is (subject != own), found=told[-3:])


@asynccontextmanager
async def _told(here: Installation, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A connection as that user, and what the server refuses it."""
    told: list[str] = []

    async def note(error: Exception) -> None:
        told.append(str(error).lower())

    client = Client()
    await client.connect(
        here.nats_url,
        nkeys_seed=str(here.seed_file(user)),
        inbox_prefix=f"_INBOX_{user}",
        allow_reconnect=False,
        error_cb=note,
    )
    try:
        yield client, told
    finally:
        await client.close()


async def _all_told(client: Client, told: list[str]) -> None:
    """Wait until the server was told of everything so far: it refuses in order."""
    last = f"nobody.may.{uuid4()}"
    await client.publish(last, b"")
    await client.flush()
    await eventually(lambda: any(last in line for line in told))
