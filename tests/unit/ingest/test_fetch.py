"""Outgoing requests reach public hosts and allowed ones, and nothing swells beyond its limit."""

import gzip
import zlib
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.fetch import Fetcher, read_capped
from klankbord_ingest.outgoing import Allowed, FetchError, Gate, is_public

NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:a00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_of_a_special_range_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2a00:1450::1"]
)
def test_an_address_of_a_public_host_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_public_that_python_knows_to_be_private(address: IPv4Address) -> None:
    assert not (is_public(address) and (address.is_private or address.is_multicast))


@given(st.ip_addresses(v=6, network="::/3"))
def test_no_ipv6_address_below_the_unicast_range_is_public(address: IPv6Address) -> None:
    assert not is_public(address)


def test_exactly_what_is_allowed_is_permitted() -> None:
    allowed = Allowed.of(["Forum.Internal:443", "10.2.0.7:8448", "127.0.0.1:8008", "[::1]:993"])
    assert allowed.permits("forum.internal", ip_address("192.168.0.9"), 443)
    assert allowed.permits("elsewhere", ip_address("10.2.0.7"), 8448)
    assert allowed.permits("localhost", ip_address("::1"), 993)
    assert not allowed.permits("forum.internal", ip_address("192.168.0.9"), 8443)
    assert not allowed.permits("sub.forum.internal", ip_address("192.168.0.9"), 443)
    assert not allowed.permits("elsewhere", ip_address("127.0.0.1"), 8009)
    assert not allowed.permits("elsewhere", ip_address("127.0.0.2"), 8008)


@pytest.mark.parametrize(
    "entry", ["forum.internal", "10.2.0.0/16", "127.0.0.1:", ":80", "a:b", "u@h:1", "::1:80", ""]
)
def test_what_is_no_host_and_port_is_refused_with_how_to_write_it(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host and port; write it such as"):
        Allowed.of([entry])


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/feed",
        "gopher://example.org",
        "//example.org/feed",
        "http://",
        "http://[::1",
        "http://user:secret@example.org/feed",
        "not an address",
    ],
)
async def test_what_is_no_plain_web_address_is_refused_before_anything_is_resolved(
    url: str,
) -> None:
    with pytest.raises(FetchError) as refused:
        await Fetcher(Gate(Allowed())).get(url)
    assert refused.value.code == "bad_address"


async def in_chunks(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
    ],
)
async def test_a_body_is_decompressed(encoding: str, pack: type[bytes]) -> None:
    body = b"the same words " * 1000
    assert await read_capped(in_chunks(pack(body)), encoding, len(body)) == body


async def test_a_body_one_byte_too_large_is_refused() -> None:
    with pytest.raises(FetchError) as refused:
        await read_capped(in_chunks(b"x" * 5001), "identity", 5000)
    assert refused.value.code == "too_large"


async def test_a_gzip_bomb_is_refused_before_it_unfolds() -> None:
    bomb = gzip.compress(b"\0" * 200_000_000)
    seen = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal seen
        async for chunk in in_chunks(bomb):
            seen += len(chunk)
            yield chunk

    with pytest.raises(FetchError) as refused:
        await read_capped(counted(), "gzip", 2_000_000)
    assert refused.value.code == "too_large"
    assert seen < len(bomb) / 50


@pytest.mark.parametrize(("encoding", "body"), [("br", b"x"), ("gzip", b"no gzip at all")])
async def test_a_body_that_cannot_be_decompressed_is_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(FetchError) as refused:
        await read_capped(in_chunks(body), encoding, 1000)
    assert refused.value.code == "bad_encoding"
