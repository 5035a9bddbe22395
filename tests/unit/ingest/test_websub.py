"""A hub is found where a feed names it, and heard only about what was asked for."""

import hashlib
import hmac
import time

import pytest

from klankbord_ingest.feeds.websub import (
    Hub,
    callback_id,
    hub_of,
    hub_secret,
    is_asked_for,
    is_signed,
    request_for,
)

URL = "https://blog.example.org/feed.xml"
HUB, TOPIC = "https://hub.example.net/", "https://blog.example.org/atom"
KEY, OLD_KEY = b"a secret of this source", b"the secret before that"
ATOM = f"""<feed xmlns="http://www.w3.org/2005/Atom">
  <link href="{HUB}?a=1&amp;b=2" rel="hub"/><link rel='self' href='{TOPIC}'/>
  <entry><link rel="self" href="https://blog.example.org/1.atom"/></entry></feed>""".encode()


def test_a_hub_is_named_in_headers() -> None:
    for link in (
        f'<{HUB}>; rel="hub", <{TOPIC}>; rel="self"',
        f'<https://x.example/1>; rel="next"; title="a; <c>", <{TOPIC}>;rel=self, <{HUB}>;rel=hub',
        f'<{HUB}>; rel="preconnect hub", <{TOPIC}>; rel="SELF"',
        f'</>; rel="hub", <{TOPIC}>; rel="self"',
    ):
        expected = HUB if "</>" not in link else "https://blog.example.org/"
        assert hub_of(URL, {"link": link}, b"") == Hub(expected, TOPIC), link


def test_a_hub_is_named_in_the_feed_itself() -> None:
    assert hub_of(URL, {}, ATOM) == Hub(f"{HUB}?a=1&b=2", TOPIC)
    rss = f'<rss><channel><atom:link rel="hub" href="{HUB}"/><item/></channel></rss>'.encode()
    assert hub_of(URL, {}, rss) == Hub(HUB, URL)


def test_headers_go_before_the_feed() -> None:
    assert hub_of(URL, {"link": "<https://other.example/>; rel=hub"}, ATOM) == Hub(
        "https://other.example/", URL
    )


@pytest.mark.parametrize(
    ("link", "body"),
    [
        ("", b""),
        ("<ftp://hub.example/>; rel=hub", b""),
        ("<javascript:alert(1)>; rel=hub", b""),
        ("<http://[>; rel=self", b'<feed><link rel="hub" href="file:///etc/passwd"/></feed>'),
        ("", b'<feed><entry><link rel="hub" href="https://hub.example/"/></entry></feed>'),
        ("rel=hub", b"<link>"),
    ],
)
def test_what_names_no_hub_has_none(link: str, body: bytes) -> None:
    assert hub_of(URL, {"link": link}, body) is None


def test_finding_a_hub_takes_no_longer_than_the_feed_is_long() -> None:
    begin = time.monotonic()
    for hostile in (b"<link " * 400_000, b"<link " + b"a='" * 700_000, b"<" * 2_000_000):
        assert hub_of(URL, {"link": '<a>; a="' * 500}, hostile) is None
    assert time.monotonic() - begin < 1


def test_the_callback_is_for_one_topic_and_for_no_other() -> None:
    callback = callback_id(KEY, TOPIC)
    assert is_asked_for((KEY,), callback, TOPIC)
    assert is_asked_for((OLD_KEY, KEY), callback, TOPIC)
    for keys, given, topic in (
        ((KEY,), callback, URL),
        ((KEY,), callback[:-1], TOPIC),
        ((OLD_KEY,), callback, TOPIC),
        ((), callback, TOPIC),
        ((KEY,), "é", TOPIC),
    ):
        assert not is_asked_for(keys, given, topic)


@pytest.mark.parametrize("method", ["sha256", "sha1", "sha512"])
def test_what_the_hub_signs_is_right(method: str) -> None:
    callback = callback_id(KEY, TOPIC)
    right = hmac.new(hub_secret(KEY, callback).encode(), ATOM, getattr(hashlib, method)).hexdigest()
    assert is_signed((OLD_KEY, KEY), callback, f"{method}={right}", ATOM)
    for keys, given, body in (
        ((KEY,), f"{method}={right}", ATOM + b" "),
        ((OLD_KEY,), f"{method}={right}", ATOM),
        ((KEY,), right, ATOM),
        ((KEY,), f"md5={right}", ATOM),
        ((KEY,), f"{method}={right[:-1]}", ATOM),
        ((KEY,), f"{method}=é", ATOM),
        ((KEY,), "", ATOM),
        ((), f"{method}={right}", ATOM),
    ):
        assert not is_signed(keys, callback, given, body)


def test_no_hub_learns_the_sources_own_secret() -> None:
    form = request_for(TOPIC, KEY, "https://listen.example.org/v1/sources/blog", 864_000)
    assert form["hub.mode"] == "subscribe"
    assert form["hub.topic"] == TOPIC
    assert form["hub.callback"].startswith("https://listen.example.org/v1/sources/blog/")
    assert KEY.decode() not in "".join(form.values())
    assert len(form["hub.secret"]) < 200
