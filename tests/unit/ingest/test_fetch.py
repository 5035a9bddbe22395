"""Outgoing requests reach public hosts and allowed ones, and nothing swells beyond its limit."""

import gzip
import zlib
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klankbord_ingest.fetch import Allowed, Fetcher, FetchError, is_public, read_capped

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


def test_a_host_or_a_network_can_be_allowed() -> None:
    allowed = Allowed.of(["Forum.Internal", "10.2.0.0/16", "127.0.0.1", "[::1]"])
    assert allowed.permits("forum.internal", ip_address("192.168.0.9"))
    assert allowed.permits("elsewhere", ip_address("10.2.3.4"))
    assert allowed.permits("localhost", ip_address("::1"))
    assert not allowed.permits("elsewhere", ip_address("10.3.0.1"))
    assert not allowed.permits("elsewhere", ip_address("127.0.0.2"))


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
        await Fetcher(Allowed()).get(url)
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
