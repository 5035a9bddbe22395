"""Plain HMAC: signed in the way that the operator says, or not heard at all."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from klankbord_ingest.kind import RefusedError, Request, UnsignedError
from klankbord_ingest.kinds.hmac import PlainHmac
from klankbord_ingest.sources import source_of
from klankbord_ingest.submission import InteractionSubmission, PostSubmission
from klankbord_runtime.accepted import Refused
from klankbord_runtime.yamlfile import read_yaml
from klankbord_schemas.community import Community

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY, OLD_KEY = b"a secret of the sender", b"the secret before that"
COMMUNITY = Community(slug="acme", name="Acme", time_zone="UTC", languages=("en",))
POST = {"nativeId": "7", "published": "2026-11-22T11:00:00Z", "content": "Hello"}
LIKE = {"kind": "like", "object": "7", "published": "2026-11-22T11:05:00Z"}
BODY = json.dumps(POST).encode()


def entry(**fields: Any) -> PlainHmac:
    return PlainHmac.model_validate(
        {"kind": "hmac", "name": "crm", "community": "acme", "prefix": "sha256=", **fields}
    )


def request(
    body: bytes = BODY, media_type: str = "application/json", method: str = "POST", **headers: str
) -> Request:
    given = {"content-type": media_type} | {
        name.replace("_", "-").lower(): value for name, value in headers.items()
    }
    fields = [(name.encode(), value.encode()) for name, value in given.items()]
    return Request(method, "", {}, fields, body)


def signed(signed_bytes: bytes, key: bytes = KEY) -> str:
    return "sha256=" + hmac.new(key, signed_bytes, hashlib.sha256).hexdigest()


def verified(kind: PlainHmac, asked: Request, *keys: bytes) -> str | None:
    return kind.verify(asked, {"signature": keys or (KEY,)}, NOW)


def test_the_vector_of_rfc_4231_is_right() -> None:
    # test case 2 of https://www.rfc-editor.org/rfc/rfc4231
    vector = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    asked = request(b"what do ya want for nothing?", x_signature=f"sha256={vector}")
    assert verified(entry(), asked, b"Jefe") == vector


def test_a_signed_body_is_heard_and_named_by_its_signature() -> None:
    asked = request(x_signature=signed(BODY))
    assert verified(entry(), asked) == verified(entry(), asked) == signed(BODY)[7:]


def test_two_secrets_are_good_while_they_are_rotated() -> None:
    for key in (KEY, OLD_KEY):
        assert verified(entry(), request(x_signature=signed(BODY, key)), KEY, OLD_KEY)


def test_the_header_the_encoding_and_the_case_are_the_operators_choice() -> None:
    digest = hmac.digest(KEY, BODY, "sha256")
    kind = entry(header="X-Acme-Digest", prefix="", encoding="base64")
    assert verified(kind, request(x_acme_digest=base64.b64encode(digest).decode()))
    assert verified(entry(prefix=""), request(x_signature=digest.hex().upper()))
    with pytest.raises(UnsignedError):
        verified(kind, request(x_acme_digest=digest.hex()))


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(x_signature=""),
        request(x_signature="sha256="),
        request(x_signature=signed(BODY)[7:]),
        request(x_signature=signed(BODY)[:-2]),
        request(x_signature=signed(BODY, b"another secret")),
        request(BODY + b" ", x_signature=signed(BODY)),
        request(x_signature="sha256=" + "é" * 64),
        request(x_signature="sha256=" + "0" * 10_000),
        Request("POST", "", {}, [(b"x-signature", signed(BODY).encode())] * 2, BODY),
    ],
)
def test_what_is_unsigned_tampered_with_or_doubled_is_refused(asked: Request) -> None:
    with pytest.raises(UnsignedError):
        verified(entry(), asked)


def test_without_a_secret_nothing_is_right() -> None:
    with pytest.raises(UnsignedError):
        entry().verify(request(x_signature=signed(BODY, b"")), {"signature": ()}, NOW)


TIMED = entry(timestamp_header="X-Time", signed="v0:{timestamp}:{body}")


def at(moment: datetime) -> Request:
    written = str(int(moment.timestamp()))
    return request(x_time=written, x_signature=signed(f"v0:{written}:".encode() + BODY))


def test_a_signed_time_is_checked() -> None:
    assert verified(TIMED, at(NOW - timedelta(minutes=5)))
    assert verified(TIMED, at(NOW + timedelta(minutes=5)))
    for apart in (timedelta(seconds=301), timedelta(seconds=-301), timedelta(days=1)):
        with pytest.raises(UnsignedError, match="clock"):
            verified(TIMED, at(NOW + apart))


@pytest.mark.parametrize("written", ["", "now", "-1", "1e9", "²", "9" * 20])
def test_a_time_that_is_none_is_refused(written: str) -> None:
    text = f"v0:{written}:".encode() + BODY
    with pytest.raises(UnsignedError, match="seconds since 1970"):
        verified(TIMED, request(x_time=written, x_signature=signed(text)))


def test_the_time_of_another_delivery_is_refused() -> None:
    early, late = at(NOW - timedelta(minutes=20)), at(NOW)
    mixed = request(x_time=late.header("x-time"), x_signature=early.header("x-signature"))
    with pytest.raises(UnsignedError):
        verified(TIMED, mixed)


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp_header": "X-Time"},
        {"timestamp_header": "X-Time", "signed": "{body}"},
        {"signed": "{timestamp}.{body}"},
        {"signed": "{body}{timestamp}"},
        {"signed": "{body!r}"},
        {"signed": ""},
        {"header": "X Signature"},
        {"encoding": "base32"},
        {"tolerance": "2h"},
    ],
)
def test_a_way_of_signing_that_protects_from_nothing_is_refused(fields: dict[str, str]) -> None:
    written = {"kind": "hmac", "name": "crm", "community": "acme", **fields}
    with pytest.raises(Refused):
        read_yaml(json.dumps(written).encode(), PlainHmac)


def test_a_body_is_read_as_the_webhook_reads_it() -> None:
    source = source_of(entry(), COMMUNITY)
    kind = entry()
    batch = json.dumps({"posts": [POST], "interactions": [LIKE]}).encode()
    read = kind.read(request(batch), source, NOW).submissions
    assert read == [PostSubmission.model_validate(POST), InteractionSubmission.model_validate(LIKE)]
    event = {"specversion": "1.0", "id": "1", "source": "/x", "type": "org.example.said"}
    events = json.dumps([event | {"data": POST}] * 2).encode()
    heard = kind.read(request(events, "application/cloudevents-batch+json"), source, NOW)
    assert heard.submissions == [PostSubmission.model_validate(POST)] * 2
    with pytest.raises(RefusedError):
        kind.read(request(b'{"posts": [{}]}'), source, NOW)
