"""Only who holds a source's secret may post, and only now."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.signature import UnsignedError, secret_key, sign, verify

# The vector of the Standard Webhooks specification's own tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOK_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

THEN = datetime.fromtimestamp(TIMESTAMP, UTC)
KEY = secret_key(SECRET)
OTHER = secret_key("whsec_" + base64.b64encode(b"another secret of 32 bytes long!").decode())


def headers(**changed: str | bytes) -> list[tuple[bytes, bytes]]:
    given = {"id": WEBHOOK_ID, "timestamp": str(TIMESTAMP), "signature": SIGNATURE} | changed
    return [
        (f"webhook-{name}".encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in given.items()
    ]


def test_the_official_vector_is_signed_and_verified() -> None:
    assert sign(KEY, WEBHOOK_ID, THEN, BODY) == SIGNATURE
    assert verify([KEY], headers(), BODY, THEN) == WEBHOOK_ID.encode()


def test_two_secrets_are_good_while_they_are_rotated() -> None:
    assert verify([OTHER, KEY], headers(), BODY, THEN)
    both = f"{sign(OTHER, WEBHOOK_ID, THEN, BODY)} {SIGNATURE}"
    assert verify([KEY], headers(signature=both), BODY, THEN)


def test_signatures_of_other_kinds_beside_a_right_one_are_passed_over() -> None:
    assert verify([KEY], headers(signature=f"v1a,AAAA v2,zz {SIGNATURE}"), BODY, THEN)


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_clock_five_minutes_apart_is_good(seconds: int) -> None:
    assert verify([KEY], headers(), BODY, THEN + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_clock_further_apart_is_refused(seconds: int) -> None:
    with pytest.raises(UnsignedError, match="clock"):
        verify([KEY], headers(), BODY, THEN + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "msg_other"},
        {"id": ""},
        {"id": "x" * 201},
        {"timestamp": str(TIMESTAMP + 1)},
        {"timestamp": ""},
        {"timestamp": "-1614265330"},
        {"timestamp": "1614265330.0"},
        {"timestamp": "9" * 400},
        {"timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"signature": ""},
        {"signature": SIGNATURE.removeprefix("v1,")},
        {"signature": SIGNATURE.replace("v1,", "v1a,")},
        {"signature": SIGNATURE[:-1]},
        {"signature": "v1,é"},
        {"signature": b"v1,\xff\xfe"},
        {"id": "é"},
    ],
)
def test_whatever_else_the_headers_say_is_refused_and_nothing_breaks(
    changed: dict[str, str | bytes],
) -> None:
    with pytest.raises(UnsignedError):
        verify([KEY], headers(**changed), BODY, THEN)


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
def test_a_header_that_is_missing_or_doubled_is_refused(name: str) -> None:
    one = [header for header in headers() if header[0] != f"webhook-{name}".encode()]
    with pytest.raises(UnsignedError, match=f"webhook-{name} is given 0 times"):
        verify([KEY], one, BODY, THEN)
    twice = headers() + [header for header in headers() if header not in one]
    with pytest.raises(UnsignedError, match=f"webhook-{name} is given 2 times"):
        verify([KEY], twice, BODY, THEN)


def test_another_body_or_key_or_no_key_is_refused() -> None:
    for keys, body in (([KEY], BODY + b" "), ([OTHER], BODY), ([], BODY)):
        with pytest.raises(UnsignedError, match="no signature"):
            verify(keys, headers(), body, THEN)


@given(st.lists(st.tuples(st.sampled_from([h[0] for h in headers()]), st.binary(max_size=80))))
def test_random_headers_are_refused_and_nothing_breaks(
    given_headers: list[tuple[bytes, bytes]],
) -> None:
    with pytest.raises(UnsignedError):
        verify([KEY], given_headers, BODY, THEN)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_not base64 at all!",
        "whsec_é",
    ],
)
def test_a_secret_that_is_none_is_refused_with_how_to_make_one(secret: str) -> None:
    with pytest.raises(ValueError, match="openssl rand"):
        secret_key(secret)
