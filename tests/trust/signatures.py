"""Deliveries to the webhook door, signed rightly and wrongly: the table of who gets in."""

import base64
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trust.tried import Tried

from klankbord_ingest.signature import UnsignedError, secret_key, sign, verify

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
